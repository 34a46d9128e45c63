// The deny-list as a BPF program, put together in the child just before exec.
//
// A forbidden call is answered by SECCOMP_RET_USER_NOTIF: it blocks, the parent reads which call it
// was from the listener and kills the program. Where no listener can be had (an outer sandbox
// has one already, or the kernel is older than 5.0) the call ends the process with SIGSYS instead.

#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// Headers of the oldest system that builds this lack some of these; the numbers are the same on
// every architecture.
#ifndef SYS_memfd_secret
#define SYS_memfd_secret 447
#endif
#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif
#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

#if defined(__x86_64__)
#define EPC_AUDIT_ARCH AUDIT_ARCH_X86_64
#define EPC_X32_BIT 0x40000000u
#elif defined(__aarch64__)
#define EPC_AUDIT_ARCH AUDIT_ARCH_AARCH64
#else
#error "the deny-list has not been checked for this architecture"
#endif

// set_mempolicy_home_node. Later calls are unknown to this list, so they do not exist in the jail.
#define EPC_LAST_KNOWN_CALL 450u

#define EPC_PR_SET_VMA 0x53564d41u
#define EPC_TIOCSTI 0x5412u
#define EPC_TIOCLINUX 0x541cu

struct denied_call {
  uint32_t number;
  const char *name;
  const char *action;
};

static const struct denied_call denied_calls[] = {
#define DENY(name, action) {SYS_##name, #name, action},
#include "denied_calls.h"
#undef DENY
};
enum { denied_count = sizeof denied_calls / sizeof denied_calls[0] };

// Calls that are denied for some arguments only.
static const struct denied_call conditional_calls[] = {
    {SYS_clone, "clone", "start a process"},
    {SYS_execve, "execve", "start a process"},
    {SYS_execveat, "execveat", "start a process"},
#ifdef SYS_open
    {SYS_open, "open", "write a file"},
#endif
    {SYS_openat, "openat", "write a file"},
    {SYS_kill, "kill", "signal another process"},
    {SYS_tkill, "tkill", "signal another process"},
    {SYS_tgkill, "tgkill", "signal another process"},
    {SYS_rt_sigqueueinfo, "rt_sigqueueinfo", "signal another process"},
    {SYS_rt_tgsigqueueinfo, "rt_tgsigqueueinfo", "signal another process"},
    {SYS_fcntl, "fcntl", "signal another process"},
    {SYS_prlimit64, "prlimit64", "control another process"},
    {SYS_ioctl, "ioctl", "use a terminal"},
};
enum { conditional_count = sizeof conditional_calls / sizeof conditional_calls[0] };

static const struct denied_call *find(int number) {
  for (int i = 0; i < denied_count; i++) {
    if ((int)denied_calls[i].number == number) return &denied_calls[i];
  }
  for (int i = 0; i < conditional_count; i++) {
    if ((int)conditional_calls[i].number == number) return &conditional_calls[i];
  }
  return NULL;
}

const char *epc_denied_call_name(int number) {
  const struct denied_call *call = find(number);
  return call != NULL ? call->name : NULL;
}

const char *epc_denied_call_action(int number) {
  const struct denied_call *call = find(number);
  return call != NULL ? call->action : NULL;
}

struct program {
  struct sock_filter code[1024];
  unsigned short count;
  bool overflow;
  /// What a forbidden call returns.
  uint32_t denial;
};

static void emit(struct program *p, uint16_t code, uint32_t k, uint8_t yes, uint8_t no) {
  if (p->count >= sizeof p->code / sizeof p->code[0]) {
    p->overflow = true;
    return;
  }
  p->code[p->count++] = (struct sock_filter){.code = code, .jt = yes, .jf = no, .k = k};
}

static void load(struct program *p, size_t offset) {
  emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void give(struct program *p, uint32_t answer) { emit(p, BPF_RET | BPF_K, answer, 0, 0); }

/// Runs the next `length` instructions only for this call.
static void only_for(struct program *p, uint32_t number, uint8_t length) {
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, number, 0, length);
}

static void always(struct program *p, uint32_t number, uint32_t answer) {
  only_for(p, number, 1);
  give(p, answer);
}

// Both words of an argument; this file is for little-endian machines, as are the two above.
static size_t low_word(int argument) {
  return offsetof(struct seccomp_data, args) + 8u * (size_t)argument;
}

static size_t high_word(int argument) { return low_word(argument) + 4u; }

/// Allows a call only if the low word of an argument is `value`, as the kernel reads an int.
static void require_value(struct program *p, uint32_t number, int argument, uint32_t value) {
  only_for(p, number, 4);
  load(p, low_word(argument));
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
  give(p, p->denial);
  give(p, SECCOMP_RET_ALLOW);
}

/// Allows a call only if an argument is one of two values.
static void require_either(
    struct program *p, uint32_t number, int argument, uint32_t first, uint32_t second,
    uint32_t answer) {
  only_for(p, number, 5);
  load(p, low_word(argument));
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, first, 2, 0);
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, second, 1, 0);
  give(p, answer);
  give(p, SECCOMP_RET_ALLOW);
}

/// Denies a call if an argument is one of two values.
static void forbid_either(
    struct program *p, uint32_t number, int argument, uint32_t first, uint32_t second) {
  only_for(p, number, 5);
  load(p, low_word(argument));
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, first, 1, 0);
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, second, 0, 1);
  give(p, p->denial);
  give(p, SECCOMP_RET_ALLOW);
}

/// Denies a call if any of `bits` is set in an argument.
static void forbid_bits(struct program *p, uint32_t number, int argument, uint32_t bits) {
  only_for(p, number, 4);
  load(p, low_word(argument));
  emit(p, BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1);
  give(p, p->denial);
  give(p, SECCOMP_RET_ALLOW);
}

/// Denies a call unless all of `bits`, a single bit, is set in an argument.
static void require_bit(struct program *p, uint32_t number, int argument, uint32_t bit) {
  only_for(p, number, 4);
  load(p, low_word(argument));
  emit(p, BPF_JMP | BPF_JSET | BPF_K, bit, 1, 0);
  give(p, p->denial);
  give(p, SECCOMP_RET_ALLOW);
}

/// Allows the one exec that knows the cookie.
static void require_cookie(struct program *p, uint32_t number, uint64_t cookie) {
  only_for(p, number, 6);
  load(p, low_word(5));
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)cookie, 0, 2);
  load(p, high_word(5));
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(cookie >> 32), 1, 0);
  give(p, p->denial);
  give(p, SECCOMP_RET_ALLOW);
}

static void build(struct program *p, uint64_t cookie, uint32_t denial) {
  p->count = 0;
  p->overflow = false;
  p->denial = denial;
  const uint32_t self = (uint32_t)getpid();
  const uint32_t missing = SECCOMP_RET_ERRNO | ENOSYS;

  load(p, offsetof(struct seccomp_data, arch));
  emit(p, BPF_JMP | BPF_JEQ | BPF_K, EPC_AUDIT_ARCH, 1, 0);
  give(p, SECCOMP_RET_KILL_PROCESS);
  load(p, offsetof(struct seccomp_data, nr));
#ifdef EPC_X32_BIT
  emit(p, BPF_JMP | BPF_JGE | BPF_K, EPC_X32_BIT, 0, 1);
  give(p, SECCOMP_RET_KILL_PROCESS);
#endif
  emit(p, BPF_JMP | BPF_JGT | BPF_K, EPC_LAST_KNOWN_CALL, 0, 1);
  give(p, missing);
  // Their flags are behind a pointer, which a filter cannot follow; libc then uses the older call.
  always(p, SYS_clone3, missing);
  always(p, SYS_openat2, missing);

  for (int i = 0; i < denied_count; i++) always(p, denied_calls[i].number, denial);

  require_bit(p, SYS_clone, 0, CLONE_THREAD);
  always(p, SYS_execve, denial);
  require_cookie(p, SYS_execveat, cookie);
  const uint32_t writing = O_ACCMODE | O_CREAT | O_TRUNC;
#ifdef SYS_open
  forbid_bits(p, SYS_open, 1, writing);
#endif
  forbid_bits(p, SYS_openat, 2, writing);
  require_value(p, SYS_kill, 0, self);
  require_value(p, SYS_tkill, 0, self);
  require_value(p, SYS_tgkill, 0, self);
  require_value(p, SYS_rt_sigqueueinfo, 0, self);
  require_value(p, SYS_rt_tgsigqueueinfo, 0, self);
  require_either(p, SYS_prlimit64, 0, 0, self, denial);
  forbid_either(p, SYS_fcntl, 1, F_SETOWN, F_SETOWN_EX);
  forbid_either(p, SYS_ioctl, 1, EPC_TIOCSTI, EPC_TIOCLINUX);
  // libc and the allocator name threads and mappings; nothing else is needed, and the parent-death
  // signal must stay.
  require_either(p, SYS_prctl, 0, PR_SET_NAME, EPC_PR_SET_VMA, SECCOMP_RET_ERRNO | EPERM);
  give(p, SECCOMP_RET_ALLOW);
}

static int install(struct program *p, unsigned int flags) {
  if (p->overflow) {
    errno = E2BIG;
    return -1;
  }
  const struct sock_fprog program = {.len = p->count, .filter = p->code};
  return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

int epc_seccomp_restrict(uint64_t cookie) {
  struct program program;
  build(&program, cookie, SECCOMP_RET_USER_NOTIF);
  const int listener = install(&program, SECCOMP_FILTER_FLAG_NEW_LISTENER);
  if (listener >= 0) return listener;
  build(&program, cookie, SECCOMP_RET_KILL_PROCESS);
  return install(&program, 0) == 0 ? -1 : -2;
}

int epc_seccomp_reported_call(int listener) {
  // The kernel refuses a buffer that is not all zero, and may know a larger structure than we do.
  union {
    struct seccomp_notif notice;
    uint8_t room[512];
  } buffer;
  memset(&buffer, 0, sizeof buffer);
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &buffer) != 0) return -1;
  return buffer.notice.data.nr;
}
