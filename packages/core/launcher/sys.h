// System calls without a libc: each returns its value or -errno. x86_64 and aarch64.
#pragma once

#include <asm/unistd.h>
#include <linux/fcntl.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// From <errno.h>'s kernel half; the C library's header would bring its own errno.
#include <asm-generic/errno.h>

// Where linux-libc-dev is older than the kernel that runs us.
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

static inline long syscall6(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long result;
	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#else
#error "the launcher knows x86_64 and aarch64"
#endif
}

// sys(openat, AT_FDCWD, path, flags, 0): up to six arguments, pointers and integers alike.
#define SYS_ARG(x) ((long)(x))
#define SYS_0(n) syscall6(n, 0, 0, 0, 0, 0, 0)
#define SYS_1(n, a) syscall6(n, SYS_ARG(a), 0, 0, 0, 0, 0)
#define SYS_2(n, a, b) syscall6(n, SYS_ARG(a), SYS_ARG(b), 0, 0, 0, 0)
#define SYS_3(n, a, b, c) syscall6(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), 0, 0, 0)
#define SYS_4(n, a, b, c, d) syscall6(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), 0, 0)
#define SYS_5(n, a, b, c, d, e) syscall6(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), SYS_ARG(e), 0)
#define SYS_6(n, a, b, c, d, e, f) \
	syscall6(n, SYS_ARG(a), SYS_ARG(b), SYS_ARG(c), SYS_ARG(d), SYS_ARG(e), SYS_ARG(f))
#define SYS_PICK(_0, _1, _2, _3, _4, _5, _6, name, ...) name
#define sys(name, ...) \
	SYS_PICK(0 __VA_OPT__(, ) __VA_ARGS__, SYS_6, SYS_5, SYS_4, SYS_3, SYS_2, SYS_1, SYS_0) \
	(__NR_##name __VA_OPT__(, ) __VA_ARGS__)

#define STDIN 0
#define STDOUT 1
#define STDERR 2

#define SIG_KILL 9
#define SIG_CHLD 17
#define WAIT_NOHANG 1
#define WAIT_ALL 0x40000000 // __WALL: children with any exit signal

_Noreturn static inline void leave(int status)
{
	for (;;) {
		sys(exit_group, status);
		// A filter may refuse even that (its default being an errno): nothing but a fault ends the process then.
		__builtin_trap();
	}
}

// The kernel's sigset_t is one 64-bit word on both architectures.
static inline void block_signals(uint64_t set)
{
	sys(rt_sigprocmask, 2 /* SIG_SETMASK */, &set, NULL, sizeof set);
}

struct kernel_stat_ids {
	uint32_t mode;
	uint32_t rdev_major, rdev_minor;
	uint32_t uid, gid;
	uint64_t size;
};

// fork(2): a child with a copy of the memory. `pidfd` may be NULL. By clone(2): a container's filter may be loaded by
// now, and many refuse clone3, whose flags they can't see.
static inline long fork_process(int *pidfd)
{
	return sys(clone, SIG_CHLD | (pidfd ? CLONE_PIDFD : 0), NULL, pidfd, NULL, NULL);
}

// clone3(2) onto a stack of the child's own (args->stack, args->stack_size): it begins in `run`, which never returns. For
// children that share the memory (CLONE_VM), where the caller's stack goes on being used.
static inline long clone_onto_stack(struct clone_args *args, void (*run)(void *), void *argument)
{
#if defined(__x86_64__)
	register void (*entry)(void *) __asm__("r8") = run;
	register void *given __asm__("r9") = argument;
	long result;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "mov %%r9, %%rdi\n\t"
			 "call *%%r8\n\t"
			 "1:"
			 : "=a"(result)
			 : "a"(__NR_clone3), "D"(args), "S"(sizeof *args), "r"(entry), "r"(given)
			 : "rcx", "r11", "memory");
	return result;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = __NR_clone3;
	register long x0 __asm__("x0") = (long)args;
	register long x1 __asm__("x1") = sizeof *args;
	register void (*entry)(void *) __asm__("x9") = run;
	register void *given __asm__("x10") = argument;
	__asm__ volatile("svc #0\n\t"
			 "cbnz x0, 1f\n\t"
			 "mov x29, #0\n\t"
			 "mov x0, x10\n\t"
			 "blr x9\n\t"
			 "1:"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(entry), "r"(given)
			 : "x30", "memory");
	return x0;
#endif
}
