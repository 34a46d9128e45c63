#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/epc_board.h"

int epc_shared_create(size_t bytes) {
  int descriptor = memfd_create("epc", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return -1;
  if (ftruncate(descriptor, (off_t)bytes) ||
      fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
    int error = errno;
    close(descriptor);
    errno = error;
    return -1;
  }
  return descriptor;
}

size_t epc_shared_bytes(int descriptor) {
  struct stat status;
  if (fstat(descriptor, &status) || status.st_size < 0) return 0;
  // Only memory that nobody can shrink is safe to read without a signal handler.
  int seals = fcntl(descriptor, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_SHRINK) ? (size_t)status.st_size : 0;
}

void *epc_shared_map(int descriptor, size_t bytes) {
  void *base =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, descriptor, 0);
  return base == MAP_FAILED ? NULL : base;
}

void epc_shared_unmap(void *base, size_t bytes) { munmap(base, bytes); }
