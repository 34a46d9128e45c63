// Runs a program under limits, optionally confined, and collects what it wrote.
//
// Confined means: landlock (read and execute only what is listed, write nothing, no TCP), a seccomp
// deny-list that ends the program at the first forbidden system call and tells which one it was, no
// capabilities, and no way to gain any. Bounded, which every run is, means: a wall clock, resource
// limits, caps on what is read from the program, an own session whose processes are killed with it,
// no inherited descriptors, and death with the parent. For calls within a process see epc_guard.h.

#ifndef EPC_SPAWN_H
#define EPC_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A resource limit that is to be left as it is inherited.
#define EPC_UNLIMITED UINT64_MAX

/// What a confined program may open; nothing else can be read, and nothing at all be written.
typedef struct epc_confinement {
  /// Files and directories whose files can be read; ends with NULL. Missing ones are skipped.
  const char *const *readable;
  /// Files that can also be executed (the program, its dynamic loader); ends with NULL.
  const char *const *executable;
  /// Run without landlock where the kernel has none; otherwise that is `EPC_STAGE_LANDLOCK`.
  bool accept_missing_landlock;
} epc_confinement;

/// A program to run and the bounds it runs in.
typedef struct epc_spawn_options {
  /// Absolute path of the program.
  const char *program;
  /// `argv`, ending with NULL.
  const char *const *arguments;
  /// The whole environment, ending with NULL.
  const char *const *environment;
  /// Working directory; NULL keeps the caller's.
  const char *directory;
  /// The descriptor (1 or 3) whose bytes are the output. Standard output joins standard error if 3.
  int output_descriptor;
  /// The program is killed when it writes more output than this.
  size_t output_limit;
  /// At most this many of the last bytes of standard error are kept.
  size_t error_limit;
  /// Wall-clock limit in milliseconds.
  uint32_t wall_milliseconds;
  /// Resource limits; each may be `EPC_UNLIMITED`.
  uint64_t cpu_seconds;
  uint64_t address_space_bytes;
  uint64_t stack_bytes;
  uint64_t file_size_bytes;
  uint64_t open_files;
  /// NULL runs the program with the caller's rights.
  const epc_confinement *confinement;
  /// A descriptor that becomes readable when the run is to be given up, or -1.
  int interrupt_descriptor;
} epc_spawn_options;

/// How far a run came; anything but `EPC_STAGE_RAN` means that no code of the program ran.
typedef enum epc_stage {
  EPC_STAGE_RAN = 0,
  EPC_STAGE_ARGUMENTS,
  EPC_STAGE_RESOURCES,
  EPC_STAGE_LANDLOCK,
  EPC_STAGE_FORK,
  EPC_STAGE_DESCRIPTORS,
  EPC_STAGE_DIRECTORY,
  EPC_STAGE_LIMITS,
  EPC_STAGE_PRIVILEGES,
  EPC_STAGE_SECCOMP,
  EPC_STAGE_EXECUTE,
  EPC_STAGE_WAIT,
} epc_stage;

/// Why the parent ended a run, if it did.
typedef enum epc_stop {
  EPC_STOP_NONE = 0,
  EPC_STOP_WALL_CLOCK,
  EPC_STOP_OUTPUT_LIMIT,
  EPC_STOP_DENIED_CALL,
  EPC_STOP_INTERRUPT,
} epc_stop;

/// What became of a run. Release with `epc_spawn_result_free`.
typedef struct epc_spawn_result {
  epc_stage stage;
  /// The `errno` of a stage that failed.
  int stage_errno;
  epc_stop stop;
  /// Exit status, or -1 when a signal ended the program.
  int exit_status;
  /// The signal that ended the program, or 0.
  int signal;
  /// Number of the forbidden system call, or -1 when there was none or it is not known.
  int denied_call;
  /// The landlock ABI in force; 0 when there is none.
  int landlock_abi;
  bool error_truncated;
  uint8_t *output;
  size_t output_size;
  uint8_t *error;
  size_t error_size;
  uint64_t wall_nanoseconds;
  /// User and system time of the program and of the children it waited for.
  uint64_t cpu_nanoseconds;
} epc_spawn_result;

/// Runs a program to its end. Fills `result` in every case; true if the program was started.
/// Blocks the calling thread, which has to outlive the run (the program dies with that thread).
bool epc_spawn(const epc_spawn_options *options, epc_spawn_result *result);

/// Releases what `epc_spawn` allocated.
void epc_spawn_result_free(epc_spawn_result *result);

/// Name of a system call on the deny-list ("socket"), or NULL.
const char *epc_denied_call_name(int number);

/// What a denied system call would have done, as a verb phrase ("use the network"), or NULL.
const char *epc_denied_call_action(int number);

/// The landlock ABI of the running kernel; 0 when it has none or it is switched off.
int epc_landlock_abi(void);

#ifdef __cplusplus
}
#endif

#endif
