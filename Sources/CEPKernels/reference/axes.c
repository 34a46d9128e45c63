// Along axes: norms, reductions, copies, rotations.
#include <math.h>
#include <string.h>

#include "epc_kernels.h"

void epc_ref_norm(epc_norm_form form, const float *x, size_t vectors, size_t n, double epsilon,
                  const float *weight, double weight_offset, const float *bias,
                  const float *squares, size_t count, float *y) {
  for (size_t v = 0; v < vectors; v++) {
    const float *in = x + v * n;
    double mean = 0;
    if (form == EPC_NORM_LAYER) {
      for (size_t i = 0; i < n; i++) mean += (double)in[i];
      mean /= (double)n;
    }
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += ((double)in[i] - mean) * ((double)in[i] - mean);
    if (squares != NULL) sum = (double)squares[v];
    const double over = form == EPC_NORM_L2 ? 1 : (double)(squares != NULL ? count : n);
    const double factor = 1 / sqrt(sum / over + epsilon);
    for (size_t i = 0; i < n; i++) {
      double value = ((double)in[i] - mean) * factor;
      if (weight != NULL) value *= (double)weight[i] + weight_offset;
      if (bias != NULL) value += (double)bias[i];
      y[v * n + i] = (float)value;
    }
  }
}

void epc_ref_sum_squares(const float *x, size_t vectors, size_t n, double factor, float *y) {
  for (size_t v = 0; v < vectors; v++) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[v * n + i] * (double)x[v * n + i];
    y[v] = (float)(factor * sum);
  }
}

void epc_ref_softmax(const float *x, size_t outer, size_t n, size_t inner, float *y) {
  for (size_t o = 0; o < outer; o++) {
    for (size_t i = 0; i < inner; i++) {
      const float *in = x + o * n * inner + i;
      float *out = y + o * n * inner + i;
      double most = -INFINITY;
      for (size_t k = 0; k < n; k++) most = fmax(most, (double)in[k * inner]);
      double sum = 0;
      for (size_t k = 0; k < n; k++) sum += exp((double)in[k * inner] - most);
      for (size_t k = 0; k < n; k++) {
        out[k * inner] = (float)(exp((double)in[k * inner] - most) / sum);
      }
    }
  }
}

void epc_ref_reduce(epc_reduction reduction, const float *x, size_t width, const int32_t *out,
                    size_t out_count, const int32_t *in, size_t in_count, size_t rows, float *y) {
  for (size_t r = 0; r < rows; r++) {
    for (size_t i = 0; i < out_count; i++) {
      double result = reduction == EPC_REDUCE_MAX ? -INFINITY : 0;
      for (size_t k = 0; k < in_count; k++) {
        const double value = (double)x[r * width + (size_t)(out[i] + in[k])];
        result = reduction == EPC_REDUCE_MAX ? fmax(result, value) : result + value;
      }
      if (reduction == EPC_REDUCE_MEAN) result /= (double)in_count;
      y[r * out_count + i] = (float)result;
    }
  }
}

void epc_ref_copy_blocks(const float *x, size_t x_stride, float *y, size_t y_stride, size_t count,
                         size_t outer) {
  for (size_t o = 0; o < outer; o++) {
    memcpy(y + o * y_stride, x + o * x_stride, count * sizeof(float));
  }
}

void epc_ref_rope(const float *x, size_t rows, size_t vectors, size_t size, size_t rotated,
                  bool interleaved, const double *frequencies, double factor,
                  const int32_t *positions, float *y) {
  const size_t half = rotated / 2;
  for (size_t r = 0; r < rows; r++) {
    for (size_t v = 0; v < vectors; v++) {
      const float *in = x + (r * vectors + v) * size;
      float *out = y + (r * vectors + v) * size;
      memcpy(out, in, size * sizeof(float));
      for (size_t i = 0; i < half; i++) {
        const double angle = (double)positions[r] * frequencies[i];
        const double c = cos(angle) * factor;
        const double s = sin(angle) * factor;
        const size_t first = interleaved ? 2 * i : i;
        const size_t second = interleaved ? 2 * i + 1 : i + half;
        out[first] = (float)((double)in[first] * c - (double)in[second] * s);
        out[second] = (float)((double)in[second] * c + (double)in[first] * s);
      }
    }
  }
}
