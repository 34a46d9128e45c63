// Tables and contractions.
#include <string.h>

#include "epc_kernels.h"

void epc_ref_embed(const int32_t *ids, size_t rows, const float *table, size_t first,
                   size_t table_rows, size_t width, float *y) {
  for (size_t r = 0; r < rows; r++) {
    const int64_t row = (int64_t)ids[r] - (int64_t)first;
    if (row >= 0 && row < (int64_t)table_rows) {
      memcpy(y + r * width, table + (size_t)row * width, width * sizeof(float));
    } else {
      memset(y + r * width, 0, width * sizeof(float));
    }
  }
}

void epc_ref_linear(const float *x, const int32_t *x_index, const float *weight, const float *bias,
                    size_t rows, size_t batch, size_t out, size_t in, const int32_t *group_ends,
                    size_t groups, float *y) {
  size_t group = 0;
  for (size_t r = 0; r < rows; r++) {
    if (group_ends != NULL) {
      while (group + 1 < groups && r >= (size_t)group_ends[group]) group++;
    }
    for (size_t b = 0; b < batch; b++) {
      for (size_t o = 0; o < out; o++) {
        const size_t made = (group * batch + b) * out + o;
        const float *w = weight + made * in;
        const float *row = x + r * batch * in;
        double sum = 0;
        if (x_index != NULL) {
          const int32_t *index = x_index + b * in;
          for (size_t k = 0; k < in; k++) sum += (double)row[index[k]] * (double)w[k];
        } else {
          row += b * in;
          for (size_t k = 0; k < in; k++) sum += (double)row[k] * (double)w[k];
        }
        if (bias != NULL) sum += (double)bias[made];
        y[(r * batch + b) * out + o] = (float)sum;
      }
    }
  }
}

void epc_ref_contract(const float *a, size_t a_width, const float *b, size_t b_width,
                      const int32_t *a_out, const int32_t *b_out, size_t out, const int32_t *a_in,
                      const int32_t *b_in, size_t in, size_t rows, float *y) {
  for (size_t r = 0; r < rows; r++) {
    for (size_t i = 0; i < out; i++) {
      double sum = 0;
      for (size_t k = 0; k < in; k++) {
        sum += (double)a[r * a_width + (size_t)(a_out[i] + a_in[k])] *
               (double)b[r * b_width + (size_t)(b_out[i] + b_in[k])];
      }
      y[r * out + i] = (float)sum;
    }
  }
}
