#define _GNU_SOURCE
#include "epc_pages.h"

#include <sys/mman.h>

// Linux 5.7; older headers do not have it.
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif

bool epc_pages_move(void *from, void *to, size_t bytes) {
  if (mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to) == MAP_FAILED) {
    return false;
  }
  mprotect(from, bytes, PROT_NONE);
  return true;
}
