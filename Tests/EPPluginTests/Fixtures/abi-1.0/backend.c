// A backend of version 1.0 of the ABI, written against the header beside it. Neither ever changes:
// both show that what was built for 1.0 goes on working.
#include "epc_backend.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct epc_instance {
  const epc_host *host;
};

struct epc_kernel {
  const epc_operation *op;
};

static void release_error(epc_error *error) { free(error); }

static epc_error *fail(int64_t code, const char *message) {
  epc_error *error = calloc(1, sizeof *error);
  *error = (epc_error){sizeof *error, NULL, code, message, release_error};
  return error;
}

static epc_error *open_backend(const epc_host *host, epc_instance **instance) {
  if (!EPC_HAS(host, is_cancelled)) return fail(EPC_ERROR_VERSION, "the host is too old");
  *instance = calloc(1, sizeof **instance);
  (*instance)->host = host;
  return NULL;
}

static void close_backend(epc_instance *instance) { free(instance); }

static const epc_attribute *attribute(const epc_operation *op, const char *name) {
  for (size_t i = 0; i < op->attribute_count; i++) {
    if (strcmp(op->attributes[i]->name, name) == 0) return op->attributes[i];
  }
  return NULL;
}

/// Why an operation is none of those that this backend has kernels for, or NULL.
static const char *problem(const epc_operation *op) {
  const epc_type *x = op->operands[0]->type;
  if (strcmp(op->name, "affine") == 0) return NULL;
  if (strcmp(op->name, "linear") == 0) {
    return x->axis_count == 1 ? NULL : "1.0 multiplies rows of one axis";
  }
  if (strcmp(op->name, "slice") == 0) {
    const char *axis = attribute(op, "axis")->text;
    return strcmp(axis, x->axes[0]->name) == 0 ? NULL : "1.0 slices the first axis";
  }
  if (strcmp(op->name, "attention") == 0) {
    const bool is_plain = op->attribute_count == 1 && op->operands[4]->kind == EPC_OPERAND_ABSENT &&
                          op->operands[5]->kind == EPC_OPERAND_ABSENT;
    if (!is_plain) return "1.0 has plain attention only";
    return x->axes[1]->size == op->operands[2]->type->axes[1]->size
               ? NULL
               : "1.0 has values of the size of keys only";
  }
  return "1.0 has no such kernel";
}

static epc_error *prepare(epc_instance *instance, const epc_operation *op, epc_kernel **kernel) {
  instance->host->log(instance->host->context, EPC_LOG_NOTE, op->name);
  const char *reason = problem(op);
  if (reason != NULL) return fail(EPC_ERROR_UNSUPPORTED, reason);
  *kernel = calloc(1, sizeof **kernel);
  (*kernel)->op = op;
  return NULL;
}

static void release(epc_instance *instance, epc_kernel *kernel) {
  (void)instance;
  free(kernel);
}

static void run_linear(const epc_operation *op, const epc_run *run) {
  const size_t width = op->operands[0]->type->row_elements;
  const size_t made = op->results[0]->row_elements;
  const float *x = run->operands[0], *weight = run->operands[1], *bias = run->operands[2];
  size_t slot = 0;
  for (size_t r = 0; r < run->rows; r++) {
    while (slot < run->slot_count && r >= (size_t)run->slot_ends[slot]) slot++;
    for (size_t o = 0; o < made; o++) {
      double sum = bias == NULL ? 0 : (double)bias[slot * made + o];
      for (size_t k = 0; k < width; k++) {
        sum += (double)x[r * width + k] * (double)weight[(slot * made + o) * width + k];
      }
      ((float *)run->results[0])[r * made + o] = (float)sum;
    }
  }
}

static void run_attention(const epc_operation *op, const epc_run *run) {
  const double scale = attribute(op, "scale")->real;
  const size_t heads = op->operands[0]->type->axes[0]->size;
  const size_t size = op->operands[0]->type->axes[1]->size;
  const float *query = run->operands[0];
  for (size_t s = 0; s < run->span_count; s++) {
    const epc_span *span = run->spans[s];
    for (size_t p = 0; p < span->cache_part_count; p++) {
      const size_t width = span->cache_widths[p];
      memcpy(span->cache_parts[p] + span->first_position * width,
             (const float *)run->operands[1 + p] + span->first_row * width,
             span->rows * width * sizeof(float));
    }
    const size_t key_heads = span->cache_widths[0] / size;
    for (size_t i = 0; i < span->rows * heads; i++) {
      const size_t row = span->first_row + i / heads, group = i % heads * key_heads / heads;
      float *y = (float *)run->results[0] + (row * heads + i % heads) * size;
      double sum = 0;
      memset(y, 0, size * sizeof *y);
      for (size_t j = 0; j <= span->first_position + i / heads; j++) {
        double score = 0;
        for (size_t k = 0; k < size; k++) {
          score += (double)query[(row * heads + i % heads) * size + k] *
                   (double)span->cache_parts[0][(j * key_heads + group) * size + k];
        }
        const double share = exp(scale * score);
        sum += share;
        for (size_t k = 0; k < size; k++) {
          y[k] += (float)(share * (double)span->cache_parts[1][(j * key_heads + group) * size + k]);
        }
      }
      for (size_t k = 0; k < size; k++) y[k] = (float)((double)y[k] / sum);
    }
  }
}

static epc_error *run_operation(epc_instance *instance, epc_kernel *kernel, const epc_run *run) {
  const epc_operation *op = kernel->op;
  if (instance->host->is_cancelled(instance->host->context)) {
    return fail(EPC_ERROR_CANCELLED, "stopped");
  }
  if (strcmp(op->name, "linear") == 0) {
    run_linear(op, run);
  } else if (strcmp(op->name, "attention") == 0) {
    run_attention(op, run);
  } else if (strcmp(op->name, "affine") == 0) {
    const epc_attribute *factor = attribute(op, "factor"), *offset = attribute(op, "offset");
    for (size_t i = 0; i < run->rows * op->results[0]->row_elements; i++) {
      const double x = (double)((const float *)run->operands[0])[i];
      ((float *)run->results[0])[i] =
          (float)((factor == NULL ? 1 : factor->real) * x + (offset == NULL ? 0 : offset->real));
    }
  } else {
    const size_t start = (size_t)attribute(op, "start")->integer;
    const size_t count = (size_t)attribute(op, "count")->integer;
    const size_t width = op->operands[0]->type->row_elements;
    const size_t inner = width / op->operands[0]->type->axes[0]->size;
    for (size_t r = 0; r < run->rows; r++) {
      memcpy((float *)run->results[0] + r * count * inner,
             (const float *)run->operands[0] + r * width + start * inner,
             count * inner * sizeof(float));
    }
  }
  return NULL;
}

EPC_BACKEND_EXPORT const epc_backend *epc_backend_query(const epc_host *host, epc_error **error) {
  static const epc_backend backend = {
      .struct_size = sizeof(epc_backend),
      .major = 1,
      .minor = 0,
      .name = "frozen",
      .version = "1.0",
      .precision = EPC_PRECISION_FP32,
      .open = open_backend,
      .close = close_backend,
      .prepare = prepare,
      .run_operation = run_operation,
      .release = release,
  };
  if (host->major != 1) {
    *error = fail(EPC_ERROR_VERSION, "it speaks version 1");
    return NULL;
  }
  return &backend;
}
