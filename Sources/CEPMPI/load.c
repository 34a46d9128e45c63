#include <dlfcn.h>
#include <stdio.h>

#include "CEPMPI.h"

typedef const epc_mpi_table *(*epc_mpi_entry)(void);

const epc_mpi_table *epc_mpi_load(const char *path, char *error, size_t size) {
  // Open MPI loads components of its own, which look for its symbols among the global ones.
  void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
  if (library == NULL) {
    snprintf(error, size, "%s", dlerror());
    return NULL;
  }
  void *symbol = dlsym(library, EPC_MPI_SYMBOL);
  if (symbol == NULL) {
    snprintf(error, size, "%s has no symbol %s", path, EPC_MPI_SYMBOL);
    return NULL;
  }
  epc_mpi_entry entry;
  *(void **)&entry = symbol;
  const epc_mpi_table *table = entry();
  if (table == NULL || table->version != EPC_MPI_VERSION || table->size != sizeof(*table)) {
    snprintf(error, size, "%s is of another version; run scripts/setup again", path);
    return NULL;
  }
  return table;
}
