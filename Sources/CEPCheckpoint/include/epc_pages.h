// Memory by pages.
#ifndef EPC_PAGES_H
#define EPC_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/// Moves private pages with what is in them to other addresses, without copying; what was there before
/// is gone. The addresses that they are taken from stay reserved and cannot be touched. All is aligned to
/// pages. Returns false, and does nothing, where the system cannot.
bool epc_pages_move(void *from, void *to, size_t bytes);

#endif
