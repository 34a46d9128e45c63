// Turns SIGINT, SIGTERM and SIGHUP into a readable descriptor while something must be cleaned up.

#ifndef EPC_INTERRUPTS_H
#define EPC_INTERRUPTS_H

#ifdef __cplusplus
extern "C" {
#endif

/// Starts watching; calls nest, from any thread. A descriptor that becomes and stays readable once a
/// signal came, or -1. Only signals with the default action are watched: a host's handler stays.
int epc_interrupts_watch(void);

/// Ends one `epc_interrupts_watch`. The last one restores the default actions and then raises the
/// signal that came meanwhile, which as a rule ends the process. The signal, or 0.
int epc_interrupts_unwatch(void);

#ifdef __cplusplus
}
#endif

#endif
