// Moving rows to experts and back, and the arithmetic of collectives.
#include <math.h>
#include <string.h>

#include "epc_kernels.h"

void epc_ref_pack(const float *x, size_t width, const int32_t *rows, const float *scales,
                  size_t count, float *y) {
  for (size_t i = 0; i < count; i++) {
    const float *in = x + (size_t)rows[i] * width;
    for (size_t j = 0; j < width; j++) {
      y[i * width + j] = scales == NULL ? in[j] : in[j] * scales[i];
    }
  }
}

void epc_ref_unpack(const float *x, size_t width, const int32_t *places, size_t count, float *y) {
  for (size_t i = 0; i < count; i++) {
    memcpy(y + (size_t)places[i] * width, x + i * width, width * sizeof(float));
  }
}

void epc_ref_combine(const float *returned, const int32_t *places, const int32_t *indices,
                     const float *weights, const float *identity, size_t experts, bool unweighted,
                     size_t rows, size_t top_k, size_t width, double *scratch, float *y) {
  for (size_t r = 0; r < rows; r++) {
    memset(scratch, 0, width * sizeof(double));
    for (size_t k = 0; k < top_k; k++) {
      const size_t choice = r * top_k + k;
      if (indices[choice] < 0) continue;
      const bool is_identity = (size_t)indices[choice] >= experts;
      const double weight = unweighted && !is_identity ? 1 : (double)weights[choice];
      const float *row = is_identity ? identity : returned + (size_t)places[choice] * width;
      if (is_identity && row != NULL) row += r * width;
      for (size_t j = 0; j < width && row != NULL; j++) scratch[j] += weight * (double)row[j];
    }
    for (size_t j = 0; j < width; j++) y[r * width + j] = (float)scratch[j];
  }
}

void epc_ref_sum_blocks(const float *x, size_t blocks, size_t count, float *y) {
  for (size_t i = 0; i < count; i++) {
    double sum = 0;
    for (size_t b = 0; b < blocks; b++) sum += (double)x[b * count + i];
    y[i] = (float)sum;
  }
}

size_t epc_ref_first_non_finite(const float *values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!isfinite(values[i])) return i;
  }
  return count;
}

void epc_ref_random_normal(uint64_t key, uint64_t first, double center, double scale, size_t count,
                           float *y) {
  for (size_t i = 0; i < count; i++) {
    uint64_t x = key + (first + i) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    // The sum of four uniform 16-bit numbers has the variance 4 / 12 of their unit.
    const double sum = (double)(x & 0xffff) + (double)((x >> 16) & 0xffff) +
                       (double)((x >> 32) & 0xffff) + (double)(x >> 48);
    y[i] = (float)(center + scale * (sum / 65536 - 2 + 2.0 / 65536) * 1.7320508075688772);
  }
}
