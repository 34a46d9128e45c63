// Backends that are wrong, one for each number that WRONG is defined as.
#include <epc_backend.h>

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum {
  MAJOR = 1,
  SIZE_SMALL,
  SIZE_HUGE,
  NO_SYMBOL,
  NULL_FUNCTIONS,
  NULL_NAME,
  LONG_NAME,
  PRECISION,
  CRASH_IN_LOAD,
  HANG_IN_LOAD,
  EXIT_IN_LOAD,
  CRASH_IN_QUERY,
  REFUSES,
  REFUSES_SILENTLY,
  OPEN_FAILS,
  CRASH_IN_OPEN,
  CANNOT_PREPARE,
  PREPARE_FAILS,
  RUN_FAILS,
  RUN_FAILS_SILENTLY,
  CRASH_IN_RUN,
  ABORT_IN_RUN,
  HANG_IN_RUN,
  EXIT_IN_RUN,
};

static volatile int *const nowhere = NULL;

__attribute__((constructor)) static void loaded(void) {
  if (WRONG == CRASH_IN_LOAD) *nowhere = 1;
  if (WRONG == EXIT_IN_LOAD) exit(0);
  while (WRONG == HANG_IN_LOAD) pause();
}

static epc_error said = {sizeof said, NULL, EPC_ERROR_DEVICE, "the coil is \033[31mcold", NULL};
static epc_error silent = {sizeof silent, NULL, EPC_ERROR_DEVICE, NULL, NULL};
static epc_error unsupported = {sizeof unsupported, NULL, EPC_ERROR_UNSUPPORTED, "not today", NULL};

static epc_error *open_backend(const epc_host *host, epc_instance **instance) {
  (void)host;
  (void)instance;
  if (WRONG == CRASH_IN_OPEN) *nowhere = 1;
  return WRONG == OPEN_FAILS ? &said : NULL;
}

static epc_error *prepare(epc_instance *instance, const epc_operation *op, epc_kernel **kernel) {
  (void)instance;
  (void)op;
  (void)kernel;
  if (WRONG == CANNOT_PREPARE) return &unsupported;
  return WRONG == PREPARE_FAILS ? &said : NULL;
}

static epc_error *run_operation(epc_instance *instance, epc_kernel *kernel, const epc_run *run) {
  (void)instance;
  (void)kernel;
  (void)run;
  if (WRONG == CRASH_IN_RUN) *nowhere = 1;
  if (WRONG == ABORT_IN_RUN) abort();
  if (WRONG == EXIT_IN_RUN) exit(0);
  while (WRONG == HANG_IN_RUN) pause();
  return WRONG == RUN_FAILS ? &said : WRONG == RUN_FAILS_SILENTLY ? &silent : NULL;
}

static epc_backend backend = {
    .struct_size = WRONG == SIZE_SMALL ? 88 : WRONG == SIZE_HUGE ? (size_t)-1 : sizeof backend,
    .major = WRONG == MAJOR ? 2 : EPC_BACKEND_MAJOR,
    .minor = EPC_BACKEND_MINOR,
    .name = WRONG == NULL_NAME ? NULL : WRONG == LONG_NAME ? "two words" : "hostile",
    .version = "1",
    .precision = WRONG == PRECISION ? 77 : EPC_PRECISION_FP32,
    .open = open_backend,
    .prepare = WRONG == NULL_FUNCTIONS ? NULL : prepare,
    .run_operation = WRONG == NULL_FUNCTIONS ? NULL : run_operation,
};

#if NAMED == 1
EPC_BACKEND_EXPORT const epc_backend *epc_backend_query(const epc_host *host, epc_error **error) {
#else
EPC_BACKEND_EXPORT const epc_backend *other_query(const epc_host *host, epc_error **error);
EPC_BACKEND_EXPORT const epc_backend *other_query(const epc_host *host, epc_error **error) {
#endif
  (void)host;
  if (WRONG == CRASH_IN_QUERY) *nowhere = 1;
  if (WRONG == REFUSES) *error = &said;
  return WRONG == REFUSES || WRONG == REFUSES_SILENTLY ? NULL : &backend;
}
