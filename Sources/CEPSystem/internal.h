// What the files of this target share.

#ifndef EPC_INTERNAL_H
#define EPC_INTERNAL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "include/epc_spawn.h"

#define EPC_INTERNAL __attribute__((visibility("hidden")))

// landlock.c

/// A ruleset with the rules of `confinement`, as a descriptor; -1 with `errno` if that fails.
EPC_INTERNAL int epc_landlock_ruleset(const epc_confinement *confinement, int abi);

/// Puts the calling thread under a ruleset. Async-signal-safe.
EPC_INTERNAL int epc_landlock_restrict(int ruleset);

// seccomp.c

/// Puts the calling process under the deny-list. Async-signal-safe; call in a forked child.
/// Only an `execveat` that carries `cookie` as its sixth argument passes: a one-time key, since the
/// program that it starts has no way to know it.
/// The descriptor that reports forbidden calls; -1 if the kernel has none to give (then such a call
/// ends the process with SIGSYS); -2 with `errno` if there is no filter.
EPC_INTERNAL int epc_seccomp_restrict(uint64_t cookie);

/// The forbidden call that waits on a report descriptor, or -1.
EPC_INTERNAL int epc_seccomp_reported_call(int listener);

// session.c

/// Kills every process of a session, whatever group it is in. The session's number must be taken, by
/// its leader's not having been waited for.
EPC_INTERNAL void epc_session_kill(pid_t session);

// child.c

/// What the child tells the parent before the program starts; a listener may ride along.
struct epc_child_message {
  int32_t stage;
  int32_t error;
};

/// Everything the child needs, prepared before the fork, since it may not allocate.
struct epc_child {
  const epc_spawn_options *options;
  pid_t parent;
  int input;
  int output;
  int error;
  int status;
  int ruleset;
  uint64_t cookie;
};

/// Becomes the program, or reports why it cannot and exits. Async-signal-safe.
EPC_INTERNAL void epc_child_main(const struct epc_child *child) __attribute__((noreturn));

// capture.c

/// Bytes read from a pipe, up to a limit.
struct epc_capture {
  uint8_t *bytes;
  size_t size;
  size_t capacity;
  size_t limit;
  /// Forget the oldest bytes at the limit (true), or stop there (false).
  bool keeps_tail;
  bool exceeded;
  bool failed;
};

/// Reads what a non-blocking descriptor has. False once there is nothing more to come.
EPC_INTERNAL bool epc_capture_read(struct epc_capture *capture, int descriptor);

/// Cuts a capture that keeps its tail down to its limit.
EPC_INTERNAL void epc_capture_finish(struct epc_capture *capture);

#endif
