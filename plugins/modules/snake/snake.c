// The kernel of the operation `snake`: what epc needs to run models that have it. A library with
// kernels is a backend that has no others, so the rules are those of epc_backend.h.
#include <epc_backend.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

static epc_error *fail(int64_t code, const char *message) {
  static epc_error errors[EPC_ERROR_VERSION + 1];
  errors[code] = (epc_error){sizeof(epc_error), NULL, code, message, NULL};
  return &errors[code];
}

static const char *name_of(const epc_operation *op) {
  for (size_t i = 0; strcmp(op->name, "custom") == 0 && i < op->attribute_count; i++) {
    if (strcmp(op->attributes[i]->name, "name") == 0) return op->attributes[i]->text;
  }
  return "";
}

/// A kernel is its operation: there is nothing to prepare.
static epc_error *prepare(epc_instance *instance, const epc_operation *op, epc_kernel **kernel) {
  (void)instance;
  if (strcmp(name_of(op), "snake") != 0) return fail(EPC_ERROR_UNSUPPORTED, "it has 'snake' only");
  // The rules of a custom operation are the model's, so look whether they are those of this one.
  if (op->operand_count != 2 || op->operands[0]->type->row_elements != op->results[0]->row_elements ||
      op->operands[1]->type->row_elements != op->results[0]->row_elements) {
    return fail(EPC_ERROR_UNSUPPORTED, "'snake' takes rows and one frequency for each channel");
  }
  *kernel = (epc_kernel *)op;
  return NULL;
}

static epc_error *run_operation(epc_instance *instance, epc_kernel *kernel, const epc_run *run) {
  (void)instance;
  const size_t width = ((const epc_operation *)kernel)->results[0]->row_elements;
  const float *x = run->operands[0], *frequency = run->operands[1];
  float *y = run->results[0];
  for (size_t i = 0; i < run->rows * width; i++) {
    const double a = (double)frequency[i % width], value = (double)x[i];
    // Towards frequency 0 the second term vanishes.
    y[i] = (float)(fabs(a) < 1e-9 ? value : value + sin(a * value) * sin(a * value) / a);
  }
  return NULL;
}

EPC_BACKEND_EXPORT const epc_backend *epc_backend_query(const epc_host *host, epc_error **error) {
  static const epc_backend backend = {
      .struct_size = sizeof(epc_backend),
      .major = EPC_BACKEND_MAJOR,
      .minor = EPC_BACKEND_MINOR,
      .name = "snake",
      .version = "1.0",
      .precision = EPC_PRECISION_FP32,
      .prepare = prepare,
      .run_operation = run_operation,
  };
  if (host->major != EPC_BACKEND_MAJOR) {
    *error = fail(EPC_ERROR_VERSION, "it speaks another version of the ABI");
    return NULL;
  }
  return &backend;
}
