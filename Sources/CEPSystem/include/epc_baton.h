// A thread that runs in turns with the one that made it: while one runs, the other waits. So code that
// blocks can be called by code that must not.

#ifndef EPC_BATON_H
#define EPC_BATON_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct epc_baton epc_baton;

/// Makes a thread that waits for its first turn and then calls `body(context)`; NULL with errno set
/// where there is none to be had.
epc_baton *_Nullable epc_baton_make(void (*_Nonnull body)(void *_Nonnull), void *_Nonnull context);

/// Gives the thread its turn, and returns when it yields or ends. Nothing once it has ended.
void epc_baton_resume(epc_baton *_Nonnull baton);

/// From the thread: gives the turn back, and returns at the next.
void epc_baton_yield(epc_baton *_Nonnull baton);

/// Frees a thread whose body has returned; it never returns where that has not.
void epc_baton_free(epc_baton *_Nonnull baton);

#ifdef __cplusplus
}
#endif

#endif
