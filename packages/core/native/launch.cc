// Starts the launcher: clone3(2) and execveat(2). Linux 5.9 (close_range). No capability of its own.
// Blocks the calling thread until the child has executed (about 70 microseconds, whatever this process's size).
//
// CLONE_VM | CLONE_VFORK: the child runs in this process's memory, on a stack of its own, while this thread waits;
// fork(2) would copy the page tables of a whole V8. So the child makes raw system calls alone, on data prepared before.
#include "addon.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <string>
#include <vector>

namespace {

constexpr size_t kStackSize = 64 * 1024;

struct Launch {
  int program;
  char* argv[2];
  char* envp[1];
  // fds[i] becomes descriptor i of the launcher. The copies are made above every number that is a target.
  int* fds;
  unsigned count;
  sigset_t all;
  int error;
};

int MoveDescriptors(Launch* launch) {
  unsigned above = launch->count + 1;
  for (unsigned i = 0; i < launch->count; i++)
    if (static_cast<unsigned>(launch->fds[i]) > above) above = static_cast<unsigned>(launch->fds[i]);
  int program = fcntl(launch->program, F_DUPFD_CLOEXEC, above + 1);
  if (program < 0) return -1;
  for (unsigned i = 0; i < launch->count; i++) {
    launch->fds[i] = fcntl(launch->fds[i], F_DUPFD_CLOEXEC, above + 1);
    if (launch->fds[i] < 0) return -1;
  }
  for (unsigned i = 0; i < launch->count; i++)
    if (dup3(launch->fds[i], static_cast<int>(i), 0) < 0) return -1;
  // The program goes right behind them, and nothing else is left. It closes with the exec.
  if (dup3(program, static_cast<int>(launch->count), O_CLOEXEC) < 0) return -1;
  return static_cast<int>(syscall(SYS_close_range, launch->count + 1, ~0U, 0));
}

// In the child. errno is this thread's own, which the parent does not read meanwhile.
int RunChild(void* argument) {
  auto* launch = static_cast<Launch*>(argument);
  if (MoveDescriptors(launch) == 0)
    syscall(SYS_execveat, launch->count, "", launch->argv, launch->envp, AT_EMPTY_PATH);
  launch->error = errno;
  syscall(SYS_exit, 127);
  return 0;
}

// clone(2) with a function and a stack, which clone3(2) leaves to assembly. CLONE_CLEAR_SIGHAND would not do: it keeps
// what is ignored, and Node ignores SIGPIPE, which survives exec. Handlers end with the exec.
int StartChild(void* argument) {
  struct sigaction defaults = {};
  defaults.sa_handler = SIG_DFL;
  // CLONE_VM without CLONE_SIGHAND: the table of handlers is the child's own.
  for (int signal = 1; signal < NSIG; signal++) sigaction(signal, &defaults, nullptr);
  return RunChild(argument);
}

int Clone(Launch* launch, int* pidfd) {
  void* stack = mmap(nullptr, kStackSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -1;
  sigset_t before;
  sigfillset(&launch->all);
  // A handler of ours must not run in the child; the launcher starts with everything blocked.
  pthread_sigmask(SIG_SETMASK, &launch->all, &before);
  int pid = clone(StartChild, static_cast<char*>(stack) + kStackSize, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                  launch, pidfd);
  int error = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  munmap(stack, kStackSize);
  errno = error;
  return pid;
}

std::vector<int> Descriptors(const Napi::Int32Array& array, int table) {
  std::vector<int> fds(array.Data(), array.Data() + array.ElementLength());
  fds.insert(fds.begin() + 3, table);
  return fds;
}

int WriteTable(const Napi::Buffer<uint8_t>& bytes) {
  int fd = static_cast<int>(syscall(SYS_memfd_create, "table", 1U /* MFD_CLOEXEC */));
  if (fd < 0) return -1;
  for (size_t at = 0; at < bytes.Length();) {
    ssize_t size = write(fd, bytes.Data() + at, bytes.Length() - at);
    if (size < 0) {
      int error = errno;
      close(fd);
      errno = error;
      return -1;
    }
    at += static_cast<size_t>(size);
  }
  return fd;
}

// launch(program, title, table, fds, out): descriptors of `fds` become 0, 1, 2, then 4 and on; the table is 3.
// out: pid, pidfd. Returns 0 or -errno.
Napi::Value StartLauncher(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::string title = Text(info, 1);
  auto out = info[4].As<Napi::Int32Array>();
  UniqueFd table(WriteTable(info[2].As<Napi::Buffer<uint8_t>>()));
  if (!table) return Result(env, -1);
  std::vector<int> fds = Descriptors(info[3].As<Napi::Int32Array>(), table.get());
  Launch launch = {};
  launch.program = Fd(info, 0);
  launch.argv[0] = title.data();
  launch.fds = fds.data();
  launch.count = static_cast<unsigned>(fds.size());
  int pidfd = -1;
  int pid = Clone(&launch, &pidfd);
  if (pid < 0) return Result(env, -1);
  if (launch.error != 0) {
    UniqueFd gone(pidfd);
    siginfo_t ignored;
    while (waitid(P_PIDFD, static_cast<id_t>(pidfd), &ignored, WEXITED | __WALL) < 0 && errno == EINTR) {
    }
    return Napi::Number::New(env, -launch.error);
  }
  out[0] = pid;
  out[1] = pidfd;
  return Napi::Number::New(env, 0);
}

}  // namespace

void InitLaunch(Napi::Env env, Napi::Object exports) {
  exports["startLauncher"] = Napi::Function::New(env, StartLauncher);
}
