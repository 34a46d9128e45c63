// Worker processes that share memory with the process that starts them and do not outlive it.

#ifndef EPC_WORKER_H
#define EPC_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The descriptor that a worker finds the shared memory at.
#define EPC_WORKER_DESCRIPTOR 3

/// Starts a program as a worker: the shared memory at `EPC_WORKER_DESCRIPTOR`, no input, no output
/// but standard error, no other descriptors. Returns its process, or -1 with `errno`.
pid_t epc_worker_spawn(
    const char *program, const char *const *arguments, const char *const *environment,
    int shared);

/// Makes a worker die with its parent. False if the parent is not `parent`: it is gone already.
bool epc_worker_bind(pid_t parent);

/// Whether a worker has ended, and how: an exit status, or else a signal.
bool epc_worker_ended(pid_t worker, int *exit_status, int *signal);

/// Kills a worker if it runs, and waits until it is gone.
void epc_worker_kill(pid_t worker);

#ifdef __cplusplus
}
#endif

#endif
