// A backend of version 1.1 of the ABI that runs whole programs and has no kernels, written against the
// header beside it. Neither ever changes: both show that what was built for 1.1 goes on working.
//
// MISTAKE, where it is defined, is something that the host must notice.
#include "epc_backend.h"

#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
  NO_WAIT = 1,
  NO_ENTER,
  RETURNS_EARLY,
  RUNS_EXCHANGE,
  STARTS_KERNEL,
  STARTS_TWICE,
  FINISHES_UNSTARTED,
  BAD_BATCH,
  BAD_OPERATION,
  NULL_ISSUE,
  TOO_LARGE,
  REFUSES,
  STEP_FAILS,
  CRASHES,
  HANGS,
  EXITS,
  HALF_A_SET,
};
#ifndef MISTAKE
#define MISTAKE 0
#endif

struct epc_rank {
  const epc_program *program;
  const epc_rank_host *host;
};

static void release_error(epc_error *error) { free(error); }

static epc_error *fail(int64_t code, const char *message) {
  epc_error *error = calloc(1, sizeof *error);
  *error = (epc_error){sizeof *error, NULL, code, message, release_error};
  return error;
}

static const epc_attribute *attribute(const epc_operation *op, const char *name) {
  for (size_t i = 0; i < op->attribute_count; i++) {
    if (strcmp(op->attributes[i]->name, name) == 0) return op->attributes[i];
  }
  return NULL;
}

// Kernels, for the operations of one small model.

static void run_embed(const epc_run *run, size_t width) {
  const size_t rows = run->operand_bytes[1] / sizeof(float) / width;
  for (size_t r = 0; r < run->rows; r++) {
    const int64_t row = (int64_t)((const int32_t *)run->operands[0])[r] - (int64_t)run->first_table_row;
    float *y = (float *)run->results[0] + r * width;
    memset(y, 0, width * sizeof *y);
    if (row >= 0 && (size_t)row < rows) {
      memcpy(y, (const float *)run->operands[1] + (size_t)row * width, width * sizeof *y);
    }
  }
}

static void run_linear(const epc_operation *op, const epc_run *run) {
  const size_t width = op->operands[0]->type->row_elements, made = op->results[0]->row_elements;
  size_t slot = 0;
  for (size_t r = 0; r < run->rows; r++) {
    while (slot < run->slot_count && r >= (size_t)run->slot_ends[slot]) slot++;
    for (size_t o = 0; o < made; o++) {
      double sum = 0;
      for (size_t k = 0; k < width; k++) {
        sum += (double)((const float *)run->operands[0])[r * width + k] *
               (double)((const float *)run->operands[1])[(slot * made + o) * width + k];
      }
      ((float *)run->results[0])[r * made + o] = (float)sum;
    }
  }
}

static void run_norm(const epc_operation *op, const epc_run *run) {
  const size_t width = op->results[0]->row_elements;
  for (size_t r = 0; r < run->rows; r++) {
    const float *x = (const float *)run->operands[0] + r * width;
    double squares = 0;
    for (size_t i = 0; i < width; i++) squares += (double)x[i] * (double)x[i];
    const double scale = 1 / sqrt(squares / (double)width + attribute(op, "epsilon")->real);
    for (size_t i = 0; i < width; i++) {
      ((float *)run->results[0])[r * width + i] =
          (float)((double)x[i] * scale * (double)((const float *)run->operands[1])[i]);
    }
  }
}

static void run_pairs(const epc_run *run, size_t count, bool is_glu) {
  const float *a = run->operands[0], *b = run->operands[1];
  for (size_t i = 0; i < count; i++) {
    const double x = (double)a[i], y = (double)b[i];
    ((float *)run->results[0])[i] = (float)(is_glu ? x / (1 + exp(-x)) * y : x + y);
  }
}

/// Softmax over all experts, the best of them, normalised.
static void run_route(const epc_operation *op, const epc_run *run) {
  const size_t experts = op->operands[0]->type->row_elements;
  const size_t top = (size_t)attribute(op, "top_k")->integer;
  for (size_t r = 0; r < run->rows; r++) {
    const float *x = (const float *)run->operands[0] + r * experts;
    int32_t *indices = (int32_t *)run->results[0] + r * top;
    float *weights = (float *)run->results[1] + r * top;
    double sum = 0;
    for (size_t k = 0; k < top; k++) {
      indices[k] = -1;
      for (size_t e = 0; e < experts; e++) {
        bool taken = false;
        for (size_t j = 0; j < k; j++) taken = taken || indices[j] == (int32_t)e;
        if (!taken && (indices[k] < 0 || x[e] > x[indices[k]])) indices[k] = (int32_t)e;
      }
      sum += exp((double)x[indices[k]] - (double)x[indices[0]]);
    }
    for (size_t k = 0; k < top; k++) {
      weights[k] = (float)(exp((double)x[indices[k]] - (double)x[indices[0]]) / sum);
    }
  }
}

static bool is_known(const char *name) {
  static const char *const names[] = {"embed", "linear", "norm", "glu", "binary", "route"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (strcmp(name, names[i]) == 0) return true;
  }
  return false;
}

static void run_kernel(const epc_operation *op, const epc_run *run) {
  const size_t width = op->results[0]->row_elements;
  if (strcmp(op->name, "embed") == 0) run_embed(run, width);
  if (strcmp(op->name, "linear") == 0) run_linear(op, run);
  if (strcmp(op->name, "norm") == 0) run_norm(op, run);
  if (strcmp(op->name, "glu") == 0) run_pairs(run, run->rows * width, true);
  if (strcmp(op->name, "binary") == 0) run_pairs(run, run->rows * width, false);
  if (strcmp(op->name, "route") == 0) run_route(op, run);
}

// Programs.

static epc_error *open_program(epc_instance *instance, const epc_program *program,
                               const epc_rank_host *host, epc_rank **rank) {
  (void)instance;
  if (MISTAKE == REFUSES) return fail(EPC_ERROR_UNSUPPORTED, "too many experts");
  for (size_t f = 0; f < program->function_count; f++) {
    const epc_function *function = program->functions[f];
    for (size_t o = 0; o < function->operation_count; o++) {
      const epc_planned_operation *planned = function->operations[o];
      if (!planned->is_exchange && !is_known(planned->operation->name)) {
        return fail(EPC_ERROR_UNSUPPORTED, "1.1 has no such operation");
      }
    }
  }
  epc_error *error =
      host->hold(host->context, MISTAKE == TOO_LARGE ? UINT64_MAX : program->arena_bytes);
  if (error != NULL) return error;
  *rank = calloc(1, sizeof **rank);
  **rank = (epc_rank){program, host};
  return NULL;
}

static void close_program(epc_rank *rank) { free(rank); }

/// Where the plan's own data puts an operand.
static const void *place(const epc_rank *rank, const epc_step *step, const epc_program_issue *issue,
                         size_t operand) {
  const epc_call *call = rank->program->calls[issue->call];
  const epc_function *function = rank->program->functions[call->function];
  const epc_planned_operation *planned = function->operations[issue->operation];
  const size_t index = planned->references[operand];
  switch (planned->reference_kinds[operand]) {
    case EPC_REFERENCE_VALUE:
      return (const char *)step->batches[issue->batch]->arena + function->offsets[index];
    case EPC_REFERENCE_WEIGHT: return call->weights[index]->data;
    default: return NULL;
  }
}

static epc_error *run_issue(epc_rank *rank, const epc_step *step, const epc_program_issue *issue) {
  const epc_rank_host *host = rank->host;
  const epc_function *function =
      rank->program->functions[rank->program->calls[issue->call]->function];
  const epc_planned_operation *planned = function->operations[issue->operation];
  // Exchanges end at the first wait for them, or where the function ends: later ones with earlier ones.
  for (size_t w = 0; w < planned->wait_count && MISTAKE != NO_WAIT; w++) {
    epc_program_issue waited = *issue;
    waited.operation = planned->waits[w];
    if (!function->operations[waited.operation]->is_exchange) continue;
    epc_error *error = host->finish(host->context, &waited);
    if (error != NULL) return error;
  }
  epc_error *error = NULL;
  if (planned->is_exchange && MISTAKE != RUNS_EXCHANGE) {
    error = host->start(host->context, issue);
    if (error == NULL && MISTAKE == STARTS_TWICE) error = host->start(host->context, issue);
    const bool is_last = issue->operation + 1 == function->operation_count;
    if (error == NULL && (is_last || planned->stream == EPC_STREAM_COMPUTE)) {
      error = host->finish(host->context, issue);
    }
    return error;
  }
  if (MISTAKE == STARTS_KERNEL) return host->start(host->context, issue);
  const epc_run *run = NULL;
  error = host->arguments(host->context, MISTAKE == NULL_ISSUE ? NULL : issue, &run);
  if (error != NULL) return error;
  for (size_t i = 0; i < run->operand_count; i++) {
    if (run->operands[i] != place(rank, step, issue, i)) {
      return fail(EPC_ERROR_ARGUMENT, "an operand is not where the program says");
    }
  }
  if (MISTAKE == CRASHES) *(volatile int *)NULL = 1;
  while (MISTAKE == HANGS) pause();
  if (MISTAKE == EXITS) exit(0);
  if (run->rows > 0) run_kernel(planned->operation, run);
  return NULL;
}

static epc_error *run_step(epc_rank *rank, const epc_step *step) {
  const epc_rank_host *host = rank->host;
  const epc_phase *phase = rank->program->phases[step->phase];
  size_t entered[16];
  if (MISTAKE == STEP_FAILS) return fail(EPC_ERROR_DEVICE, "the coil is cold");
  for (size_t b = 0; b < 16; b++) entered[b] = SIZE_MAX;
  for (size_t i = 0; i < phase->issue_count; i++) {
    epc_program_issue issue = *phase->issues[i];
    if (MISTAKE == RETURNS_EARLY && i == phase->issue_count / 2) return NULL;
    if (entered[issue.batch] != issue.call && MISTAKE != NO_ENTER) {
      epc_error *error = host->enter(host->context, issue.batch, issue.call);
      if (error != NULL) return error;
      entered[issue.batch] = issue.call;
    }
    if (MISTAKE == BAD_BATCH) issue.batch = 77;
    if (MISTAKE == BAD_OPERATION) issue.operation = SIZE_MAX;
    if (MISTAKE == FINISHES_UNSTARTED) {
      issue.operation = 1;  // of the embedding, which scatters
      return host->finish(host->context, &issue);
    }
    epc_error *error = MISTAKE == BAD_BATCH || MISTAKE == BAD_OPERATION
                           ? host->start(host->context, &issue)
                           : run_issue(rank, step, &issue);
    if (error != NULL) return error;
  }
  return NULL;
}

EPC_BACKEND_EXPORT const epc_backend *epc_backend_query(const epc_host *host, epc_error **error) {
  static const epc_backend backend = {
      .struct_size = sizeof(epc_backend),
      .major = 1,
      .minor = 1,
      .name = "frozen",
      .version = "1.1",
      .precision = EPC_PRECISION_FP32,
      .open_program = open_program,
      .run_step = MISTAKE == HALF_A_SET ? NULL : run_step,
      .close_program = close_program,
  };
  if (host->major != 1 || host->minor < 1) {
    *error = fail(EPC_ERROR_VERSION, "it speaks version 1.1");
    return NULL;
  }
  return &backend;
}
