// A child for the length of one call, which makes something that only a process of its own can make.
//
// It shares our memory and descriptors (CLONE_VM | CLONE_FILES): copying the page tables of a large Node process takes
// ten milliseconds, this takes fifty microseconds. Therefore it must not touch what belongs to our threads: no
// errno, no malloc, nothing of the C library. It makes raw system calls on data that its parent prepared, and ends.
#pragma once

#include <csignal>
#include <cstdint>
#include <linux/sched.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// A system call without the C library: the result, or -errno.
inline long RawCall(long number, long a = 0, long b = 0, long c = 0, long d = 0) {
#if defined(__x86_64__)
  long result;
  register long r10 __asm__("r10") = d;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                   : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
  return x0;
#else
#error "Holdfast runs on x86_64 and aarch64"
#endif
}

class BorrowedChild {
 public:
  // Starts `run(argument)`. `flags`: CLONE_NEW…. All signals stay blocked in the child, and in this thread until the
  // child was reaped: a handler of ours must not run on its stack.
  BorrowedChild(int (*run)(void*), void* argument, int flags) {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
    // No exit signal: nobody is told, and only a wait with __WALL sees it.
    pid_ = clone(run, stack_ + sizeof stack_, CLONE_VM | CLONE_FILES | CLONE_PIDFD | flags, argument, &pidfd_);
    if (pid_ < 0) {
      error_ = errno;
      pidfd_ = -1;
    }
  }
  ~BorrowedChild() {
    Reap();
    if (pidfd_ >= 0) close(pidfd_);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  BorrowedChild(const BorrowedChild&) = delete;
  BorrowedChild& operator=(const BorrowedChild&) = delete;

  // 0, or the errno of clone.
  int error() const { return error_; }
  pid_t pid() const { return pid_; }

  // Waits until it has ended. It never waits for anything itself, so this is short.
  void Reap() {
    if (pid_ <= 0 || reaped_) return;
    siginfo_t end;
    while (waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd_), &end, WEXITED | __WALL) < 0 &&
           errno == EINTR) {
    }
    reaped_ = true;
  }

  int ReleasePidfd() {
    int pidfd = pidfd_;
    pidfd_ = -1;
    return pidfd;
  }

 private:
  // On the parent's own stack, which stands still until the child is gone.
  alignas(16) char stack_[16384];
  sigset_t before_;
  pid_t pid_ = -1;
  int pidfd_ = -1;
  int error_ = 0;
  bool reaped_ = false;
};

// A child with memory of its own, for as long as this object lives. Made with fork's flags, but by the plain call: what
// the C library runs before and after a fork is for a process that goes on.
class LivingChild {
 public:
  // `run` never returns, and makes raw system calls alone. `flags`: CLONE_NEW….
  LivingChild(int (*run)(void*), int flags) {
    clone_args args = {};
    args.flags = static_cast<unsigned>(flags) | CLONE_PIDFD;
    args.pidfd = reinterpret_cast<uint64_t>(&pidfd_);
    pid_ = static_cast<pid_t>(RawCall(SYS_clone3, reinterpret_cast<long>(&args), sizeof args));
    if (pid_ == 0) run(nullptr);
    if (pid_ < 0) error_ = -pid_;
  }
  ~LivingChild() {
    if (pid_ <= 0) return;
    RawCall(SYS_pidfd_send_signal, pidfd_, SIGKILL, 0, 0);
    siginfo_t end;
    while (waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd_), &end, WEXITED | __WALL) < 0 &&
           errno == EINTR) {
    }
    close(pidfd_);
  }
  LivingChild(const LivingChild&) = delete;
  LivingChild& operator=(const LivingChild&) = delete;

  // 0, or the errno of clone3.
  int error() const { return error_; }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int pidfd_ = -1;
  int error_ = 0;
};
