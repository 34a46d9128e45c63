// Operations on rows: gates, norms, rotations, and linear attention head by head.
#include <math.h>
#include <string.h>

#include "blocks.h"

void epc_glu_run(epc_level level, const epc_glu *glu, const float *gate, const float *up,
                 size_t count, float *y) {
  if (glu->has_slope || glu->activation == EPC_SILU) {
    epc_kernels_of(level)->glu(glu, gate, up, count, y);
  } else {
    epc_ref_glu(glu, gate, up, count, y);
  }
}

void epc_norm_run(epc_level level, epc_norm_form form, const float *x, size_t vectors, size_t n,
                  double epsilon, const float *weight, double weight_offset, const float *bias,
                  const float *squares, size_t count, float *y) {
  const epc_kernels *kernels = epc_kernels_of(level);
  for (size_t v = 0; v < vectors; v++) {
    kernels->norm(form, x + v * n, n, epsilon, weight, (float)weight_offset, bias,
                  squares == NULL ? NULL : squares + v, count, y + v * n);
  }
}

void epc_rope_run(const float *x, size_t rows, size_t vectors, size_t size, size_t rotated,
                  bool interleaved, const double *frequencies, double factor,
                  const int32_t *positions, double *scratch, float *y) {
  const size_t half = rotated / 2;
  double *cosines = scratch;
  double *sines = scratch + half;
  for (size_t r = 0; r < rows; r++) {
    for (size_t i = 0; i < half; i++) {
      const double angle = (double)positions[r] * frequencies[i];
      cosines[i] = cos(angle) * factor;
      sines[i] = sin(angle) * factor;
    }
    for (size_t v = 0; v < vectors; v++) {
      const float *in = x + (r * vectors + v) * size;
      float *out = y + (r * vectors + v) * size;
      if (rotated < size) memcpy(out + rotated, in + rotated, (size - rotated) * sizeof(float));
      for (size_t i = 0; i < half; i++) {
        const size_t first = interleaved ? 2 * i : i;
        const size_t second = interleaved ? 2 * i + 1 : i + half;
        const double a = (double)in[first];
        const double b = (double)in[second];
        out[first] = (float)(a * cosines[i] - b * sines[i]);
        out[second] = (float)(b * cosines[i] + a * sines[i]);
      }
    }
  }
}

void epc_join_run(epc_join join, const float *a, const float *b, size_t count, float *y) {
  switch (join) {
    case EPC_ADD:
      for (size_t i = 0; i < count; i++) y[i] = a[i] + b[i];
      break;
    case EPC_SUBTRACT:
      for (size_t i = 0; i < count; i++) y[i] = a[i] - b[i];
      break;
    case EPC_MULTIPLY:
      for (size_t i = 0; i < count; i++) y[i] = a[i] * b[i];
      break;
    case EPC_DIVIDE:
      for (size_t i = 0; i < count; i++) y[i] = a[i] / b[i];
      break;
    case EPC_MAXIMUM:
      for (size_t i = 0; i < count; i++) y[i] = a[i] > b[i] ? a[i] : b[i];
      break;
    case EPC_MINIMUM:
      for (size_t i = 0; i < count; i++) y[i] = a[i] < b[i] ? a[i] : b[i];
      break;
  }
}

typedef struct {
  epc_pool *pool;
  const epc_kernels *kernels;
  const epc_linear_attention *attention;
  const float *query, *key, *value, *decay, *beta;
  size_t rows;
  float *state, *y;
} scan;

static void scan_head(void *context, size_t h, size_t worker) {
  const scan *s = context;
  const epc_linear_attention *a = s->attention;
  const size_t heads = a->heads;
  const size_t n = a->key_size;
  const size_t m = a->value_size;
  float *added = epc_pool_scratch(s->pool, worker, 0);
  float *decays = added + m;
  for (size_t r = 0; r < s->rows; r++) {
    const size_t head = r * a->key_heads + h / (heads / a->key_heads);
    const size_t row = a->decay_has_rows ? r * heads + h : h;
    for (size_t i = 0; i < a->decay_size && (a->decay_has_rows || r == 0); i++) {
      decays[i] = expf(s->decay[row * a->decay_size + i]);
    }
    const epc_recurrence now = {
        .key_size = n,
        .value_size = m,
        .decay_size = a->decay_size,
        .delta = a->delta,
        .scale = (float)a->scale,
        .beta = s->beta == NULL ? 1 : s->beta[r * heads + h],
        .query = s->query + head * n,
        .key = s->key + head * n,
        .value = s->value + (r * heads + h) * m,
        .decay = a->decay_size == 0 ? NULL : decays,
    };
    s->kernels->recur(&now, s->state + h * n * m, added, s->y + (r * heads + h) * m);
  }
}

bool epc_linear_attention_run(epc_pool *pool, epc_level level,
                              const epc_linear_attention *attention, const float *query,
                              const float *key, const float *value, const float *decay,
                              const float *beta, size_t rows, float *state, float *y) {
  const size_t room = (attention->value_size + attention->decay_size + 1) * sizeof(float);
  for (size_t w = 0; w < epc_pool_threads(pool); w++) {
    if (epc_pool_scratch(pool, w, room) == NULL) return false;
  }
  scan s = {
      .pool = pool,
      .kernels = epc_kernels_of(level),
      .attention = attention,
      .query = query,
      .key = key,
      .value = value,
      .decay = decay,
      .beta = beta,
      .rows = rows,
      .state = state,
      .y = y,
  };
  epc_pool_run(pool, attention->heads, scan_head, &s);
  return true;
}
