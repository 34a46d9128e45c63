// Watches over calls into code of others: a crash or a hang in one ends the process with one line on
// standard error and exit status 1, rather than with a signal or not at all.

#ifndef EPC_GUARD_H
#define EPC_GUARD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Begins to watch the calling thread. If it crashes, calls `exit`, or is still within after so many
/// milliseconds, the line is `error: WHO crashed in WHAT: ...` and so on. The texts are copied, cut to
/// 200 bytes. Does not nest.
void epc_guard_begin(const char *who, const char *what, uint32_t milliseconds);

/// Ends the watch of the calling thread.
void epc_guard_end(void);

#ifdef __cplusplus
}
#endif

#endif
