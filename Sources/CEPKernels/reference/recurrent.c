// Operations that carry a state from token to token.
#include <string.h>

#include "activation.h"
#include "epc_kernels.h"

void epc_ref_short_convolution(const float *x, size_t rows, size_t channels, size_t taps,
                               const float *weight, const float *bias, epc_function activation,
                               float *state, float *y) {
  for (size_t r = 0; r < rows; r++) {
    for (size_t c = 0; c < channels; c++) {
      float *past = state + c * (taps - 1);
      const float now = x[r * channels + c];
      double sum = bias != NULL ? (double)bias[c] : 0;
      for (size_t t = 0; t + 1 < taps; t++) sum += (double)weight[c * taps + t] * (double)past[t];
      sum += (double)weight[c * taps + taps - 1] * (double)now;
      y[r * channels + c] = (float)epc_activate(activation, sum);
      memmove(past, past + 1, (taps - 2) * sizeof(float));
      past[taps - 2] = now;
    }
  }
}

void epc_ref_linear_attention(const epc_linear_attention *attention, const float *query,
                              const float *key, const float *value, const float *decay,
                              const float *beta, size_t rows, float *state, float *y) {
  const size_t heads = attention->heads;
  const size_t group = heads / attention->key_heads;
  const size_t n = attention->key_size;
  const size_t m = attention->value_size;
  for (size_t r = 0; r < rows; r++) {
    for (size_t h = 0; h < heads; h++) {
      const size_t head = r * attention->key_heads + h / group;
      const float *q = query + head * n;
      const float *k = key + head * n;
      const float *v = value + (r * heads + h) * m;
      float *s = state + h * n * m;
      const size_t row = attention->decay_has_rows ? r * heads + h : h;
      for (size_t i = 0; i < n && attention->decay_size > 0; i++) {
        const size_t at = row * attention->decay_size + (attention->decay_size > 1 ? i : 0);
        const double keep = exp((double)decay[at]);
        for (size_t j = 0; j < m; j++) s[i * m + j] = (float)((double)s[i * m + j] * keep);
      }
      for (size_t j = 0; j < m; j++) {
        double added = (double)v[j];
        if (attention->delta) {
          for (size_t i = 0; i < n; i++) added -= (double)k[i] * (double)s[i * m + j];
        }
        if (beta != NULL) added *= (double)beta[r * heads + h];
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
          s[i * m + j] = (float)((double)s[i * m + j] + (double)k[i] * added);
          sum += (double)q[i] * (double)s[i * m + j];
        }
        y[(r * heads + h) * m + j] = (float)(attention->scale * sum);
      }
    }
  }
}
