// A backend in one file of C: copy it, rename it, and replace the loops by what your hardware does.
//
// It runs what DeepSeek- and Mixtral-like models need, one core, slow and plain, and says of
// everything else why it does not. docs/ops.md defines each operation, epc_backend.h the interface.
//
// Kernels come first: with `prepare` and `run_operation` alone it would be a backend, and epc would
// walk the plan. The last part walks it here: that is for hardware with streams of its own, and can be
// deleted. epc moves rows between ranks, keeps caches and samples tokens either way.
#include <epc_backend.h>

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef M_PI
#define M_PI 3.14159265358979323846
#endif

// Errors ------------------------------------------------------------------------------------------

static void release_error(epc_error *error) {
  free((void *)error->message);
  free(error);
}

/// An error with a message as of printf. The host releases it.
static epc_error *fail(int64_t code, const char *format, ...) {
  static epc_error out_of_memory = {sizeof(epc_error), NULL, EPC_ERROR_MEMORY, "out of memory", NULL};
  epc_error *error = malloc(sizeof *error);
  char *message = malloc(512);
  if (error == NULL || message == NULL) {
    free(error);
    free(message);
    return &out_of_memory;
  }
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, 512, format, arguments);
  va_end(arguments);
  *error = (epc_error){sizeof *error, NULL, code, message, release_error};
  return error;
}

// Looking things up in an operation ---------------------------------------------------------------

static const epc_attribute *attribute(const epc_operation *op, const char *name) {
  for (size_t i = 0; i < op->attribute_count; i++) {
    if (strcmp(op->attributes[i]->name, name) == 0) return op->attributes[i];
  }
  return NULL;
}

static double real(const epc_operation *op, const char *name, double fallback) {
  const epc_attribute *found = attribute(op, name);
  return found == NULL ? fallback : found->real;
}

static size_t integer(const epc_operation *op, const char *name, size_t fallback) {
  const epc_attribute *found = attribute(op, name);
  return found == NULL ? fallback : (size_t)found->integer;
}

static const char *text(const epc_operation *op, const char *name) {
  const epc_attribute *found = attribute(op, name);
  return found == NULL || found->text == NULL ? "" : found->text;
}

static bool flag(const epc_operation *op, const char *name) {
  const epc_attribute *found = attribute(op, name);
  return found != NULL && found->integer != 0;
}

static size_t list_count(const epc_operation *op, const char *name) {
  const epc_attribute *found = attribute(op, name);
  return found == NULL ? 0 : found->count;
}

static bool lists(const epc_operation *op, const char *name, const char *item) {
  const epc_attribute *found = attribute(op, name);
  for (size_t i = 0; found != NULL && i < found->count; i++) {
    if (strcmp(found->texts[i], item) == 0) return true;
  }
  return false;
}

static size_t product(const epc_axis *const *axes, size_t count) {
  size_t elements = 1;
  for (size_t i = 0; i < count; i++) elements *= axes[i]->size;
  return elements;
}

static size_t position(const epc_type *type, const char *axis) {
  for (size_t i = 0; i < type->axis_count; i++) {
    if (strcmp(type->axes[i]->name, axis) == 0) return i;
  }
  return type->axis_count;
}

/// Where in a row of `type` each element along `axes` is, the last axis fastest. Axes that the type
/// does not have stand still. NULL without memory.
static size_t *offsets(const epc_axis *const *axes, size_t count, const epc_type *type) {
  const size_t total = product(axes, count);
  size_t *made = calloc(total + 1, sizeof *made);
  size_t run = total;
  for (size_t i = 0; made != NULL && i < count; i++) {
    run /= axes[i]->size;
    const size_t at = position(type, axes[i]->name);
    if (at == type->axis_count) continue;
    const size_t stride = product(type->axes + at + 1, type->axis_count - at - 1);
    for (size_t e = 0; e < total; e++) made[e] += e / run % axes[i]->size * stride;
  }
  return made;
}

// Kernels -----------------------------------------------------------------------------------------

/// What an operation needs to know that does not change from step to step.
struct epc_kernel {
  const epc_operation *op;
  epc_error *(*run)(const epc_kernel *, const epc_run *);
  /// Sizes: what they count, each kernel says.
  size_t outer, size, inner, batch;
  /// A table of offsets, another one, or frequencies.
  size_t *table, *other;
  double *rates;
};

static const float *in(const epc_run *run, size_t operand) { return run->operands[operand]; }
static float *out(const epc_run *run) { return run->results[0]; }

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static double activate(const char *name, double x) {
  if (strcmp(name, "silu") == 0) return x * sigmoid(x);
  if (strcmp(name, "sigmoid") == 0) return sigmoid(x);
  if (strcmp(name, "relu") == 0) return fmax(x, 0);
  if (strcmp(name, "relu2") == 0) return fmax(x, 0) * fmax(x, 0);
  if (strcmp(name, "gelu") == 0) return x / 2 * (1 + erf(x / sqrt(2)));
  if (strcmp(name, "gelu_tanh") == 0) {
    return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  }
  if (strcmp(name, "tanh") == 0) return tanh(x);
  if (strcmp(name, "softplus") == 0) return fmax(x, 0) + log1p(exp(-fabs(x)));
  if (strcmp(name, "exp") == 0) return exp(x);
  if (strcmp(name, "negate") == 0) return -x;
  if (strcmp(name, "square") == 0) return x * x;
  if (strcmp(name, "sqrt") == 0) return sqrt(x);
  return x;
}

static epc_error *run_embed(const epc_kernel *kernel, const epc_run *run) {
  const int32_t *ids = run->operands[0];
  for (size_t r = 0; r < run->rows; r++) {
    // Of a table split over ranks, rows of other ranks count as zeros.
    const int64_t row = (int64_t)ids[r] - (int64_t)run->first_table_row;
    float *y = out(run) + r * kernel->size;
    memset(y, 0, kernel->size * sizeof *y);
    if (row < 0 || (size_t)row >= kernel->outer) continue;
    memcpy(y, in(run, 1) + (size_t)row * kernel->size, kernel->size * sizeof *y);
  }
  return NULL;
}

/// `table` has where in a row of x the element (batch, contracted) is; `outer` are results a batch,
/// `size` what is summed. Rows of experts use the weight of their slot.
static epc_error *run_linear(const epc_kernel *kernel, const epc_run *run) {
  const size_t width = kernel->op->operands[0]->type->row_elements;
  const size_t made = kernel->batch * kernel->outer;
  size_t slot = 0;
  for (size_t r = 0; r < run->rows; r++) {
    while (slot < run->slot_count && r >= (size_t)run->slot_ends[slot]) slot++;
    const float *x = in(run, 0) + r * width;
    const float *weight = in(run, 1) + slot * made * kernel->size;
    for (size_t i = 0; i < made; i++) {
      const size_t *at = kernel->table + i / kernel->outer * kernel->size;
      double sum = run->operands[2] == NULL ? 0 : (double)in(run, 2)[slot * made + i];
      for (size_t k = 0; k < kernel->size; k++) {
        sum += (double)x[at[k]] * (double)weight[i * kernel->size + k];
      }
      out(run)[r * made + i] = (float)sum;
    }
  }
  return NULL;
}

static epc_error *run_unary(const epc_kernel *kernel, const epc_run *run) {
  const char *function = text(kernel->op, "function");
  const double low = real(kernel->op, "low", -INFINITY);
  const double high = real(kernel->op, "high", INFINITY);
  for (size_t i = 0; i < run->rows * kernel->size; i++) {
    const double x = (double)in(run, 0)[i];
    const bool clamps = strcmp(function, "clamp") == 0;
    out(run)[i] = (float)(clamps ? fmin(fmax(x, low), high) : activate(function, x));
  }
  return NULL;
}

/// `table` and `other` have where in a row of a and b each element of the result is.
static epc_error *run_binary(const epc_kernel *kernel, const epc_run *run) {
  const char *function = text(kernel->op, "function");
  size_t step[2];
  for (size_t i = 0; i < 2; i++) {
    const epc_type *type = kernel->op->operands[i]->type;
    step[i] = type->rows == EPC_ROWS_NONE ? 0 : type->row_elements;
  }
  for (size_t r = 0; r < run->rows; r++) {
    for (size_t i = 0; i < kernel->size; i++) {
      const double a = (double)in(run, 0)[r * step[0] + kernel->table[i]];
      const double b = (double)in(run, 1)[r * step[1] + kernel->other[i]];
      double y = a + b;
      if (strcmp(function, "subtract") == 0) y = a - b;
      if (strcmp(function, "multiply") == 0) y = a * b;
      if (strcmp(function, "divide") == 0) y = a / b;
      if (strcmp(function, "maximum") == 0) y = fmax(a, b);
      if (strcmp(function, "minimum") == 0) y = fmin(a, b);
      out(run)[r * kernel->size + i] = (float)y;
    }
  }
  return NULL;
}

static epc_error *run_affine(const epc_kernel *kernel, const epc_run *run) {
  const double factor = real(kernel->op, "factor", 1);
  const double offset = real(kernel->op, "offset", 0);
  for (size_t i = 0; i < run->rows * kernel->size; i++) {
    out(run)[i] = (float)(factor * (double)in(run, 0)[i] + offset);
  }
  return NULL;
}

static epc_error *run_glu(const epc_kernel *kernel, const epc_run *run) {
  const char *activation = text(kernel->op, "activation");
  const double limit = real(kernel->op, "limit", INFINITY);
  const bool slopes = attribute(kernel->op, "slope") != NULL;
  const double slope = real(kernel->op, "slope", 1);
  const double offset = real(kernel->op, "up_offset", 0);
  for (size_t i = 0; i < run->rows * kernel->size; i++) {
    const double gate = fmin((double)in(run, 0)[i], limit);
    const double up = fmin(fmax((double)in(run, 1)[i], -limit), limit);
    const double h = slopes ? gate * sigmoid(slope * gate) : activate(activation, gate);
    out(run)[i] = (float)(h * (up + offset));
  }
  return NULL;
}

/// `outer` vectors a row of `size` elements.
static epc_error *run_norm(const epc_kernel *kernel, const epc_run *run) {
  const char *form = text(kernel->op, "form");
  const double epsilon = real(kernel->op, "epsilon", 0);
  const double offset = real(kernel->op, "weight_offset", 0);
  const double count = (double)integer(kernel->op, "count", kernel->size);
  for (size_t v = 0; v < run->rows * kernel->outer; v++) {
    const float *x = in(run, 0) + v * kernel->size;
    double mean = 0, squares = 0;
    for (size_t i = 0; i < kernel->size; i++) mean += (double)x[i] / count;
    if (strcmp(form, "layer") != 0) mean = 0;
    for (size_t i = 0; i < kernel->size; i++) {
      squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    }
    // Given where the axes are split over ranks: the sum over all of them.
    if (run->operands[3] != NULL) squares = (double)in(run, 3)[v];
    const double n = strcmp(form, "l2") == 0 ? 1 : count;
    const double scale = 1 / sqrt(squares / n + epsilon);
    for (size_t i = 0; i < kernel->size; i++) {
      double y = ((double)x[i] - mean) * scale;
      if (run->operands[1] != NULL) y *= offset + (double)in(run, 1)[i];
      if (run->operands[2] != NULL) y += (double)in(run, 2)[i];
      out(run)[v * kernel->size + i] = (float)y;
    }
  }
  return NULL;
}

static epc_error *run_sum_squares(const epc_kernel *kernel, const epc_run *run) {
  const double factor = real(kernel->op, "factor", 1);
  for (size_t v = 0; v < run->rows * kernel->outer; v++) {
    double sum = 0;
    for (size_t i = 0; i < kernel->size; i++) {
      const double x = (double)in(run, 0)[v * kernel->size + i];
      sum += x * x;
    }
    out(run)[v] = (float)(factor * sum);
  }
  return NULL;
}

/// Turns scores into weights that sum to 1 with one more score, -INFINITY for none.
static void softmax(double *x, size_t count, size_t stride, double more) {
  double most = more, sum = 0;
  for (size_t i = 0; i < count; i++) most = fmax(most, x[i * stride]);
  for (size_t i = 0; i < count; i++) {
    x[i * stride] = isinf(most) ? 0 : exp(x[i * stride] - most);
    sum += x[i * stride];
  }
  if (!isinf(more)) sum += exp(more - most);
  for (size_t i = 0; i < count && sum > 0; i++) x[i * stride] /= sum;
}

/// Along `size` elements, `inner` apart, of `outer` blocks a row.
static epc_error *run_softmax(const epc_kernel *kernel, const epc_run *run) {
  double *x = malloc(kernel->size * sizeof *x);
  if (x == NULL) return fail(EPC_ERROR_MEMORY, "no memory for a softmax");
  for (size_t o = 0; o < run->rows * kernel->outer * kernel->inner; o++) {
    const size_t at = o / kernel->inner * kernel->size * kernel->inner + o % kernel->inner;
    for (size_t i = 0; i < kernel->size; i++) x[i] = (double)in(run, 0)[at + i * kernel->inner];
    softmax(x, kernel->size, 1, -INFINITY);
    for (size_t i = 0; i < kernel->size; i++) out(run)[at + i * kernel->inner] = (float)x[i];
  }
  free(x);
  return NULL;
}

/// `outer` sums a row, whose first terms are at `table`, over `size` terms at `other` from there.
static epc_error *run_reduce(const epc_kernel *kernel, const epc_run *run) {
  const char *function = text(kernel->op, "function");
  const bool takes_most = strcmp(function, "max") == 0;
  for (size_t r = 0; r < run->rows; r++) {
    const float *x = in(run, 0) + r * kernel->op->operands[0]->type->row_elements;
    for (size_t i = 0; i < kernel->outer; i++) {
      double y = takes_most ? -INFINITY : 0;
      for (size_t k = 0; k < kernel->size; k++) {
        const double term = (double)x[kernel->table[i] + kernel->other[k]];
        y = takes_most ? fmax(y, term) : y + term;
      }
      if (strcmp(function, "mean") == 0) y /= (double)kernel->size;
      out(run)[r * kernel->outer + i] = (float)y;
    }
  }
  return NULL;
}

/// Elements are 4 bytes, reals and indices alike.
static epc_error *run_slice(const epc_kernel *kernel, const epc_run *run) {
  const size_t start = integer(kernel->op, "start", 0), count = integer(kernel->op, "count", 0);
  for (size_t o = 0; o < run->rows * kernel->outer; o++) {
    memcpy(out(run) + o * count * kernel->inner,
           in(run, 0) + (o * kernel->size + start) * kernel->inner, count * kernel->inner * 4);
  }
  return NULL;
}

static epc_error *run_concat(const epc_kernel *kernel, const epc_run *run) {
  const char *axis = text(kernel->op, "axis");
  size_t start = 0;
  for (size_t p = 0; p < kernel->op->operand_count; p++) {
    const epc_type *type = kernel->op->operands[p]->type;
    const size_t count = type->axes[position(type, axis)]->size * kernel->inner;
    for (size_t o = 0; o < run->rows * kernel->outer; o++) {
      memcpy(out(run) + o * kernel->size * kernel->inner + start, in(run, p) + o * count, count * 4);
    }
    start += count;
  }
  return NULL;
}

static epc_error *run_reshape(const epc_kernel *kernel, const epc_run *run) {
  memmove(out(run), in(run, 0), run->rows * kernel->size * 4);
  return NULL;
}

/// `outer` vectors a row of `size` elements; `rates` are radians a position.
static epc_error *run_rope(const epc_kernel *kernel, const epc_run *run) {
  const size_t rotated = integer(kernel->op, "rotated", 0);
  const bool interleaved = strcmp(text(kernel->op, "layout"), "interleaved") == 0;
  const double factor = real(kernel->op, "attention_factor", 1);
  for (size_t v = 0; v < run->rows * kernel->outer; v++) {
    const float *x = in(run, 0) + v * kernel->size;
    float *y = out(run) + v * kernel->size;
    memcpy(y, x, kernel->size * sizeof *y);
    for (size_t i = 0; i < rotated / 2; i++) {
      const size_t a = interleaved ? 2 * i : i;
      const size_t b = interleaved ? a + 1 : i + rotated / 2;
      const double angle = (double)run->positions[v / kernel->outer] * kernel->rates[i];
      const double c = cos(angle) * factor, s = sin(angle) * factor;
      y[a] = (float)((double)x[a] * c - (double)x[b] * s);
      y[b] = (float)((double)x[a] * s + (double)x[b] * c);
    }
  }
  return NULL;
}

/// Puts the new rows of a sequence into a part of its cache, and returns all that the cache holds.
static const float *append(const epc_span *span, size_t part, const float *rows) {
  const size_t width = span->cache_widths[part];
  memcpy(span->cache_parts[part] + span->first_position * width, rows + span->first_row * width,
         span->rows * width * sizeof *rows);
  return span->cache_parts[part];
}

static double dot(const float *a, const float *b, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += (double)a[i] * (double)b[i];
  return sum;
}

/// Whether the row at position p sees position q; `selection` lists what it may see, if not NULL.
static bool sees(const epc_operation *op, size_t p, size_t q, const int32_t *selection, size_t count) {
  const size_t window = integer(op, "window", 0), chunk = integer(op, "chunk", 0);
  if ((window > 0 && p - q >= window) || (chunk > 0 && q / chunk != p / chunk)) return false;
  if (selection == NULL) return true;
  for (size_t i = 0; i < count; i++) {
    if (selection[i] >= 0 && (size_t)selection[i] == q) return true;
  }
  return false;
}

static epc_error *run_attention(const epc_kernel *kernel, const epc_run *run) {
  const epc_operation *op = kernel->op;
  const epc_axis *const *query = op->operands[0]->type->axes;
  const epc_axis *const *key = op->operands[1]->type->axes;
  const size_t heads = query[0]->size, key_heads = key[0]->size, key_size = key[1]->size;
  const size_t value_size = op->operands[2]->type->axes[1]->size;
  const size_t chosen = op->operands[5]->type == NULL ? 0 : op->operands[5]->type->row_elements;
  const double scale = real(op, "scale", 1), cap = real(op, "softcap", 0);
  for (size_t s = 0; s < run->span_count; s++) {
    const epc_span *span = run->spans[s];
    const float *keys = append(span, 0, in(run, 1));
    const float *values = append(span, 1, in(run, 2));
    double *scores = malloc((span->first_position + span->rows) * sizeof *scores);
    if (scores == NULL) return fail(EPC_ERROR_MEMORY, "no memory for attention scores");
    for (size_t i = 0; i < span->rows * heads; i++) {
      const size_t row = span->first_row + i / heads, h = i % heads;
      const size_t p = span->first_position + i / heads, group = h * key_heads / heads;
      const int32_t *selection = run->operands[5];
      if (selection != NULL) selection += row * chosen;
      const float *q = in(run, 0) + (row * heads + h) * key_size;
      for (size_t j = 0; j <= p; j++) {
        double score = scale * dot(q, keys + (j * key_heads + group) * key_size, key_size);
        if (cap > 0) score = cap * tanh(score / cap);
        scores[j] = sees(op, p, j, selection, chosen) ? score : -INFINITY;
      }
      softmax(scores, p + 1, 1, run->operands[4] == NULL ? -INFINITY : (double)in(run, 4)[h]);
      for (size_t v = 0; v < value_size; v++) {
        double sum = 0;
        for (size_t j = 0; j <= p; j++) {
          sum += scores[j] * (double)values[(j * key_heads + group) * value_size + v];
        }
        out(run)[(row * heads + h) * value_size + v] = (float)sum;
      }
    }
    free(scores);
  }
  return NULL;
}

/// Keys and values are never made: `kv_up` is applied to the query and to the output instead.
static epc_error *run_latent_attention(const epc_kernel *kernel, const epc_run *run) {
  const epc_operation *op = kernel->op;
  const size_t heads = op->operands[0]->type->axes[0]->size;
  const size_t nope = op->operands[0]->type->axes[1]->size;
  const size_t rope = op->operands[1]->type->axes[1]->size;
  const size_t rank = op->operands[2]->type->axes[0]->size;
  const size_t value_size = integer(op, "value_size", 0);
  const size_t chosen = op->operands[6]->type == NULL ? 0 : op->operands[6]->type->row_elements;
  const double scale = real(op, "scale", 1);
  for (size_t s = 0; s < run->span_count; s++) {
    const epc_span *span = run->spans[s];
    const float *latents = append(span, 0, in(run, 2));
    const float *keys = append(span, 1, in(run, 3));
    const size_t end = span->first_position + span->rows;
    double *scores = malloc((end + 2 * rank) * sizeof *scores);
    if (scores == NULL) return fail(EPC_ERROR_MEMORY, "no memory for attention scores");
    double *absorbed = scores + end, *mixed = absorbed + rank;
    for (size_t i = 0; i < span->rows * heads; i++) {
      const size_t row = span->first_row + i / heads, h = i % heads;
      const size_t p = span->first_position + i / heads;
      const int32_t *selection = run->operands[6];
      if (selection != NULL) selection += row * chosen;
      const float *up = in(run, 4) + h * (nope + value_size) * rank;
      const float *q = in(run, 0) + (row * heads + h) * nope;
      for (size_t c = 0; c < rank; c++) {
        absorbed[c] = 0;
        mixed[c] = 0;
        for (size_t k = 0; k < nope; k++) absorbed[c] += (double)q[k] * (double)up[k * rank + c];
      }
      for (size_t j = 0; j <= p; j++) {
        double score = dot(in(run, 1) + (row * heads + h) * rope, keys + j * rope, rope);
        for (size_t c = 0; c < rank; c++) score += absorbed[c] * (double)latents[j * rank + c];
        scores[j] = sees(op, p, j, selection, chosen) ? scale * score : -INFINITY;
      }
      softmax(scores, p + 1, 1, -INFINITY);
      for (size_t j = 0; j <= p; j++) {
        for (size_t c = 0; c < rank; c++) mixed[c] += scores[j] * (double)latents[j * rank + c];
      }
      for (size_t v = 0; v < value_size; v++) {
        double sum = 0;
        for (size_t c = 0; c < rank; c++) sum += mixed[c] * (double)up[(nope + v) * rank + c];
        out(run)[(row * heads + h) * value_size + v] = (float)sum;
      }
    }
    free(scores);
  }
  return NULL;
}

/// The first of the largest above -INFINITY, or `count`.
static size_t best(const double *x, size_t count) {
  size_t most = count;
  for (size_t i = 0; i < count; i++) {
    if (!isinf(x[i]) && (most == count || x[i] > x[most])) most = i;
  }
  return most;
}

/// Leaves of `choice` only the best groups, by their best expert or the sum of their best two.
static void keep_groups(const epc_operation *op, double *choice, size_t experts, double *ranks) {
  const size_t groups = integer(op, "groups", 1), size = experts / groups;
  const bool by_two = strcmp(text(op, "group_score"), "top2_sum") == 0;
  for (size_t g = 0; g < groups; g++) {
    double first = -INFINITY, second = -INFINITY;
    for (size_t e = g * size; e < (g + 1) * size; e++) {
      if (choice[e] > first) second = first;
      if (choice[e] > first) first = choice[e];
      else if (choice[e] > second) second = choice[e];
    }
    ranks[g] = by_two && size > 1 ? first + second : first;
  }
  for (size_t k = 0; k < integer(op, "groups_kept", groups); k++) {
    const size_t g = best(ranks, groups);
    if (g < groups) ranks[g] = INFINITY;  // kept
  }
  for (size_t e = 0; e < experts; e++) {
    if (!(isinf(ranks[e / size]) && ranks[e / size] > 0)) choice[e] = -INFINITY;
  }
}

static epc_error *run_route(const epc_kernel *kernel, const epc_run *run) {
  const epc_operation *op = kernel->op;
  const char *scoring = text(op, "scoring");
  const bool of_selected = strcmp(scoring, "softmax_selected") == 0;
  const size_t experts = kernel->size, top = integer(op, "top_k", 1);
  int32_t *indices = run->results[0];
  float *weights = run->results[1];
  double *scores = malloc((3 * experts + top) * sizeof *scores);
  if (scores == NULL) return fail(EPC_ERROR_MEMORY, "no memory for a router");
  double *choice = scores + experts, *ranks = choice + experts, *chosen = ranks + experts;
  for (size_t r = 0; r < run->rows; r++) {
    for (size_t e = 0; e < experts; e++) {
      const double logit = (double)in(run, 0)[r * experts + e];
      scores[e] = strcmp(scoring, "sigmoid") == 0 ? sigmoid(logit) : logit;
    }
    if (strcmp(scoring, "softmax") == 0) softmax(scores, experts, 1, -INFINITY);
    // The bias decides who is selected, and not what the selected weigh.
    for (size_t e = 0; e < experts; e++) {
      choice[e] = scores[e] + (run->operands[1] == NULL ? 0 : (double)in(run, 1)[e]);
    }
    if (integer(op, "groups", 1) > 1) keep_groups(op, choice, experts, ranks);
    double sum = 0;
    for (size_t k = 0; k < top; k++) {
      const size_t e = best(choice, experts);
      indices[r * top + k] = e == experts ? -1 : (int32_t)e;
      chosen[k] = e == experts ? (of_selected ? -INFINITY : 0) : scores[e];
      if (e < experts) choice[e] = -INFINITY;
    }
    if (of_selected) softmax(chosen, top, 1, -INFINITY);
    for (size_t k = 0; k < top; k++) sum += chosen[k];
    double factor = real(op, "scale", 1);
    sum = fmax(sum + real(op, "normalize_epsilon", 0), real(op, "normalize_minimum", 0));
    if (flag(op, "normalize") && sum > 0) factor /= sum;
    for (size_t k = 0; k < top; k++) weights[r * top + k] = (float)(chosen[k] * factor);
  }
  free(scores);
  return NULL;
}

// Making operations ready -------------------------------------------------------------------------

static epc_error *no_memory(void) { return fail(EPC_ERROR_MEMORY, "no memory for a kernel"); }

static epc_error *no(const epc_operation *op, const char *what) {
  return fail(EPC_ERROR_UNSUPPORTED, "the template has no %s in '%s'", what, op->name);
}

/// Refuses a text that is not among those given, of which the last is NULL: a wrong answer would be
/// worse than none.
static epc_error *require(const epc_operation *op, const char *name, const char *const *known) {
  for (size_t i = 0; known[i] != NULL; i++) {
    if (strcmp(text(op, name), known[i]) == 0) return NULL;
  }
  return fail(EPC_ERROR_UNSUPPORTED, "the template has no %s '%s' in '%s'", name, text(op, name),
              op->name);
}

static const char *const functions[] = {
    "identity", "silu", "sigmoid", "relu", "relu2", "gelu", "gelu_tanh", "tanh",
    "softplus", "exp", "negate", "square", "sqrt", "clamp", NULL,
};
static const char *const joins[] = {
    "add", "subtract", "multiply", "divide", "maximum", "minimum", NULL,
};
static const char *const forms[] = {"rms", "layer", "l2", NULL};
static const char *const reductions[] = {"sum", "mean", "max", NULL};
static const char *const scorings[] = {"softmax", "sigmoid", "softmax_selected", "none", NULL};
static const char *const selections[] = {"top_k", NULL};

/// Sizes along one axis of x: `outer` blocks of `size` elements that are `inner` apart.
static void split(epc_kernel *kernel, const epc_type *type, const char *axis) {
  const size_t at = position(type, axis);
  kernel->outer = product(type->axes, at);
  kernel->size = type->axes[at]->size;
  kernel->inner = product(type->axes + at + 1, type->axis_count - at - 1);
}

/// Sizes along the last axes: `outer` vectors of `size` elements.
static void vectors(epc_kernel *kernel, const epc_type *type, size_t axes) {
  kernel->size = product(type->axes + type->axis_count - axes, axes);
  kernel->outer = type->row_elements / kernel->size;
}

static epc_error *prepare_linear(epc_kernel *kernel, const epc_operation *op) {
  const epc_type *weight = op->operands[1]->type;
  const size_t first = op->expert_slots > 0 ? 1 : 0;
  const size_t batch = list_count(op, "batch"), contracted = list_count(op, "contract");
  const size_t made = weight->axis_count - first - batch - contracted;
  const epc_axis *order[16];
  if (batch + contracted > 16) return no(op, "more than 16 axes");
  memcpy(order, weight->axes + first, batch * sizeof *order);
  memcpy(order + batch, weight->axes + first + batch + made, contracted * sizeof *order);
  kernel->batch = product(order, batch);
  kernel->size = product(order + batch, contracted);
  kernel->outer = product(weight->axes + first + batch, made);
  kernel->table = offsets(order, batch + contracted, op->operands[0]->type);
  return kernel->table == NULL ? no_memory() : NULL;
}

static epc_error *prepare_reduce(epc_kernel *kernel, const epc_operation *op) {
  const epc_type *type = op->operands[0]->type;
  const epc_axis *reduced[16];
  size_t count = 0;
  if (type->axis_count > 16) return no(op, "more than 16 axes");
  for (size_t i = 0; i < type->axis_count; i++) {
    if (lists(op, "axes", type->axes[i]->name)) reduced[count++] = type->axes[i];
  }
  kernel->outer = op->results[0]->row_elements;
  kernel->size = product(reduced, count);
  kernel->table = offsets(op->results[0]->axes, op->results[0]->axis_count, type);
  kernel->other = offsets(reduced, count, type);
  if (kernel->table == NULL || kernel->other == NULL) return no_memory();
  return require(op, "function", reductions);
}

/// YaRN (Peng et al. 2023, section 3.2), or plain and linearly scaled frequencies.
static epc_error *prepare_rope(epc_kernel *kernel, const epc_operation *op) {
  const char *scaling = text(op, "scaling");
  const bool yarn = strcmp(scaling, "yarn") == 0, linear = strcmp(scaling, "linear") == 0;
  if (!yarn && !linear && *scaling != 0 && strcmp(scaling, "none") != 0) {
    return fail(EPC_ERROR_UNSUPPORTED, "the template does not scale rope by '%s'", scaling);
  }
  vectors(kernel, op->operands[0]->type, 1);
  const double n = (double)integer(op, "rotated", 0), theta = real(op, "theta", 1e4);
  const double factor = real(op, "factor", 1), context = real(op, "original_context", 1);
  double low = n * log(context / (real(op, "beta_fast", 32) * 2 * M_PI)) / (2 * log(theta));
  double high = n * log(context / (real(op, "beta_slow", 1) * 2 * M_PI)) / (2 * log(theta));
  if (flag(op, "truncate")) {
    low = floor(low);
    high = ceil(high);
  }
  low = fmax(low, 0);
  high = fmin(high, n - 1);
  if (low == high) high += 0.001;
  kernel->rates = malloc((size_t)n / 2 * sizeof *kernel->rates + 1);
  for (size_t i = 0; kernel->rates != NULL && i < (size_t)n / 2; i++) {
    const double rate = pow(theta, -2 * (double)i / n);
    const double ramp = yarn ? fmin(fmax(((double)i - low) / (high - low), 0), 1) : linear;
    kernel->rates[i] = rate * (1 - ramp) + rate / factor * ramp;
  }
  return kernel->rates == NULL ? no_memory() : NULL;
}

static epc_error *prepare_route(epc_kernel *kernel, const epc_operation *op) {
  epc_error *error = require(op, "scoring", scorings);
  if (error == NULL) error = require(op, "selection", selections);
  if (error != NULL) return error;
  if (attribute(op, "capacity_factor") != NULL) return no(op, "capacity");
  if (list_count(op, "partitions") > 0) return no(op, "experts by modality");
  if (op->operands[5]->kind != EPC_OPERAND_ABSENT) return no(op, "outer level");
  kernel->size = op->operands[0]->type->row_elements;
  return NULL;
}

static epc_error *prepare_kernel(epc_kernel *kernel, const epc_operation *op) {
  const epc_type *x = op->operands[0]->type;
  const char *name = op->name;
  kernel->size = op->results[0]->row_elements;
  if (strcmp(name, "embed") == 0) {
    kernel->run = run_embed;
    kernel->outer = op->operands[1]->type->axes[0]->size;
  } else if (strcmp(name, "linear") == 0) {
    kernel->run = run_linear;
    return prepare_linear(kernel, op);
  } else if (strcmp(name, "unary") == 0) {
    kernel->run = run_unary;
    return require(op, "function", functions);
  } else if (strcmp(name, "binary") == 0) {
    const epc_type *made = op->results[0];
    kernel->run = run_binary;
    kernel->table = offsets(made->axes, made->axis_count, x);
    kernel->other = offsets(made->axes, made->axis_count, op->operands[1]->type);
    if (kernel->table == NULL || kernel->other == NULL) return no_memory();
    return require(op, "function", joins);
  } else if (strcmp(name, "affine") == 0) {
    kernel->run = run_affine;
  } else if (strcmp(name, "glu") == 0) {
    kernel->run = run_glu;
    return require(op, "activation", functions);
  } else if (strcmp(name, "norm") == 0) {
    kernel->run = run_norm;
    vectors(kernel, x, list_count(op, "axes"));
    return require(op, "form", forms);
  } else if (strcmp(name, "sum_squares") == 0) {
    kernel->run = run_sum_squares;
    vectors(kernel, x, list_count(op, "axes"));
  } else if (strcmp(name, "softmax") == 0) {
    kernel->run = run_softmax;
    split(kernel, x, text(op, "axis"));
  } else if (strcmp(name, "reduce") == 0) {
    kernel->run = run_reduce;
    return prepare_reduce(kernel, op);
  } else if (strcmp(name, "slice") == 0) {
    kernel->run = run_slice;
    split(kernel, x, text(op, "axis"));
  } else if (strcmp(name, "concat") == 0) {
    kernel->run = run_concat;
    split(kernel, op->results[0], text(op, "axis"));
  } else if (strcmp(name, "reshape") == 0) {
    kernel->run = run_reshape;
  } else if (strcmp(name, "rope") == 0) {
    kernel->run = run_rope;
    return prepare_rope(kernel, op);
  } else if (strcmp(name, "attention") == 0) {
    kernel->run = run_attention;
  } else if (strcmp(name, "latent_attention") == 0) {
    kernel->run = run_latent_attention;
  } else if (strcmp(name, "route") == 0) {
    kernel->run = run_route;
    return prepare_route(kernel, op);
  } else {
    return fail(EPC_ERROR_UNSUPPORTED, "the template has no kernel for '%s'", name);
  }
  return NULL;
}

// The backend -------------------------------------------------------------------------------------

struct epc_instance {
  const epc_host *host;
};

static epc_error *open_backend(const epc_host *host, epc_instance **instance) {
  *instance = calloc(1, sizeof **instance);
  if (*instance == NULL) return fail(EPC_ERROR_MEMORY, "no memory for an instance");
  (*instance)->host = host;
  return NULL;
}

static void close_backend(epc_instance *instance) { free(instance); }

static void release(epc_instance *instance, epc_kernel *kernel) {
  (void)instance;
  free(kernel->table);
  free(kernel->other);
  free(kernel->rates);
  free(kernel);
}

static epc_error *prepare(epc_instance *instance, const epc_operation *op, epc_kernel **kernel) {
  epc_kernel *made = calloc(1, sizeof *made);
  if (made == NULL) return no_memory();
  made->op = op;
  epc_error *error = prepare_kernel(made, op);
  if (error != NULL) {
    release(instance, made);
    return error;
  }
  *kernel = made;
  return NULL;
}

static epc_error *run_operation(epc_instance *instance, epc_kernel *kernel, const epc_run *run) {
  const epc_host *host = instance->host;
  if (host->is_cancelled(host->context)) return fail(EPC_ERROR_CANCELLED, "cancelled");
  return kernel->run(kernel, run);
}

// Whole programs ----------------------------------------------------------------------------------

/// A rank's program, and a kernel for each operation of its functions that is no exchange.
struct epc_rank {
  epc_instance *instance;
  const epc_program *program;
  const epc_rank_host *host;
  epc_kernel ***kernels;
  /// For each micro-batch the call it is in, and which of its exchanges are under way.
  size_t *calls;
  bool **under_way;
};

static void close_program(epc_rank *rank) {
  for (size_t f = 0; rank->kernels != NULL && f < rank->program->function_count; f++) {
    const size_t count = rank->kernels[f] == NULL ? 0 : rank->program->functions[f]->operation_count;
    for (size_t o = 0; o < count; o++) {
      if (rank->kernels[f][o] != NULL) release(rank->instance, rank->kernels[f][o]);
    }
    free(rank->kernels[f]);
  }
  for (size_t b = 0; rank->under_way != NULL && b < rank->program->micro_batches; b++) {
    free(rank->under_way[b]);
  }
  free(rank->kernels);
  free(rank->under_way);
  free(rank->calls);
  free(rank);
}

static epc_error *make_ready(epc_rank *rank) {
  const epc_program *program = rank->program;
  size_t most = 0;
  rank->kernels = calloc(program->function_count, sizeof *rank->kernels);
  rank->calls = calloc(program->micro_batches, sizeof *rank->calls);
  rank->under_way = calloc(program->micro_batches, sizeof *rank->under_way);
  if (rank->kernels == NULL || rank->calls == NULL || rank->under_way == NULL) return no_memory();
  for (size_t f = 0; f < program->function_count; f++) {
    const epc_function *function = program->functions[f];
    rank->kernels[f] = calloc(function->operation_count + 1, sizeof *rank->kernels[f]);
    if (rank->kernels[f] == NULL) return no_memory();
    if (function->operation_count > most) most = function->operation_count;
    for (size_t o = 0; o < function->operation_count; o++) {
      if (function->operations[o]->is_exchange) continue;
      epc_error *error =
          prepare(rank->instance, function->operations[o]->operation, &rank->kernels[f][o]);
      if (error != NULL) return error;
    }
  }
  for (size_t b = 0; b < program->micro_batches; b++) {
    rank->under_way[b] = calloc(most + 1, sizeof *rank->under_way[b]);
    if (rank->under_way[b] == NULL) return no_memory();
  }
  return NULL;
}

static epc_error *open_program(epc_instance *instance, const epc_program *program,
                               const epc_rank_host *host, epc_rank **rank) {
  epc_rank *made = calloc(1, sizeof *made);
  if (made == NULL) return no_memory();
  made->instance = instance;
  made->program = program;
  made->host = host;
  epc_error *error = make_ready(made);
  if (error != NULL) {
    close_program(made);
    return error;
  }
  *rank = made;
  return NULL;
}

static const epc_function *function_of(const epc_rank *rank, size_t call) {
  return rank->program->functions[rank->program->calls[call]->function];
}

/// Finishes an exchange that is under way, and so all that were started before it.
static epc_error *finish(epc_rank *rank, size_t batch, size_t call, size_t operation) {
  const epc_program_issue issue = {sizeof issue, NULL, batch, call, operation};
  if (!rank->under_way[batch][operation]) return NULL;
  rank->under_way[batch][operation] = false;
  return rank->host->finish(rank->host->context, &issue);
}

/// Goes on to a call, when what is under way of the one before has ended.
static epc_error *enter(epc_rank *rank, size_t batch, size_t call) {
  const size_t before = rank->calls[batch];
  const size_t count = before == SIZE_MAX ? 0 : function_of(rank, before)->operation_count;
  for (size_t o = 0; o < count; o++) {
    epc_error *error = finish(rank, batch, before, o);
    if (error != NULL) return error;
  }
  rank->calls[batch] = call;
  if (call == SIZE_MAX) return NULL;
  return rank->host->enter(rank->host->context, batch, call);
}

static epc_error *run_issue(epc_rank *rank, const epc_program_issue *issue) {
  const epc_function *function = function_of(rank, issue->call);
  const epc_planned_operation *planned = function->operations[issue->operation];
  for (size_t w = 0; w < planned->wait_count; w++) {
    epc_error *error = finish(rank, issue->batch, issue->call, planned->waits[w]);
    if (error != NULL) return error;
  }
  if (planned->is_exchange) {
    epc_error *error = rank->host->start(rank->host->context, issue);
    if (error != NULL) return error;
    rank->under_way[issue->batch][issue->operation] = true;
    // Whatever comes next on a stream counts on what was there before.
    if (planned->stream == EPC_STREAM_COMMUNICATION) return NULL;
    return finish(rank, issue->batch, issue->call, issue->operation);
  }
  const epc_run *run = NULL;
  epc_error *error = rank->host->arguments(rank->host->context, issue, &run);
  if (error != NULL || run->rows == 0) return error;
  epc_kernel *kernel =
      rank->kernels[rank->program->calls[issue->call]->function][issue->operation];
  return run_operation(rank->instance, kernel, run);
}

static epc_error *run_step(epc_rank *rank, const epc_step *step) {
  const epc_phase *phase = rank->program->phases[step->phase];
  for (size_t b = 0; b < step->batch_count; b++) rank->calls[b] = SIZE_MAX;
  for (size_t i = 0; i < phase->issue_count; i++) {
    const epc_program_issue *issue = phase->issues[i];
    epc_error *error = NULL;
    if (rank->calls[issue->batch] != issue->call) error = enter(rank, issue->batch, issue->call);
    if (error == NULL) error = run_issue(rank, issue);
    if (error != NULL) return error;
  }
  for (size_t b = 0; b < step->batch_count; b++) {
    epc_error *error = enter(rank, b, SIZE_MAX);
    if (error != NULL) return error;
  }
  return NULL;
}

EPC_BACKEND_EXPORT const epc_backend *epc_backend_query(const epc_host *host, epc_error **error) {
  static const epc_backend backend = {
      .struct_size = sizeof(epc_backend),
      .major = EPC_BACKEND_MAJOR,
      .minor = EPC_BACKEND_MINOR,
      .name = "template-c",
      .version = "1.0",
      .precision = EPC_PRECISION_FP32,
      .open = open_backend,
      .close = close_backend,
      .prepare = prepare,
      .run_operation = run_operation,
      .release = release,
      .open_program = open_program,
      .run_step = run_step,
      .close_program = close_program,
  };
  if (host->major != EPC_BACKEND_MAJOR) {
    *error = fail(EPC_ERROR_VERSION, "it speaks version %d of the ABI", EPC_BACKEND_MAJOR);
    return NULL;
  }
  return &backend;
}
