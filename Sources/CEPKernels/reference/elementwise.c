// Element by element.
#include <math.h>

#include "activation.h"
#include "epc_kernels.h"

void epc_ref_unary(epc_function function, double low, double high, const float *x, size_t count,
                   float *y) {
  for (size_t i = 0; i < count; i++) {
    if (function == EPC_CLAMP) {
      y[i] = (float)fmin(fmax((double)x[i], low), high);
    } else {
      y[i] = (float)epc_activate(function, (double)x[i]);
    }
  }
}

static double joined(epc_join join, double a, double b) {
  switch (join) {
    case EPC_ADD: return a + b;
    case EPC_SUBTRACT: return a - b;
    case EPC_MULTIPLY: return a * b;
    case EPC_DIVIDE: return a / b;
    case EPC_MAXIMUM: return a > b ? a : b;
    case EPC_MINIMUM: return a < b ? a : b;
  }
  return a;
}

void epc_ref_binary(epc_join join, bool swapped, const float *wide, size_t width,
                    const float *narrow, size_t narrow_width, const int32_t *index, size_t rows,
                    float *y) {
  for (size_t r = 0; r < rows; r++) {
    for (size_t i = 0; i < width; i++) {
      const double a = (double)wide[r * width + i];
      const double b = (double)narrow[r * narrow_width + (size_t)index[i]];
      y[r * width + i] = (float)(swapped ? joined(join, b, a) : joined(join, a, b));
    }
  }
}

void epc_ref_affine(double factor, double offset, const float *x, size_t count, float *y) {
  for (size_t i = 0; i < count; i++) y[i] = (float)(factor * (double)x[i] + offset);
}

void epc_ref_glu(const epc_glu *glu, const float *gate, const float *up, size_t count, float *y) {
  for (size_t i = 0; i < count; i++) {
    double g = (double)gate[i];
    double u = (double)up[i];
    if (glu->has_limit) {
      g = fmin(g, glu->limit);
      u = fmin(fmax(u, -glu->limit), glu->limit);
    }
    g = glu->has_slope ? g / (1 + exp(-glu->slope * g)) : epc_activate(glu->activation, g);
    y[i] = (float)(g * (u + glu->up_offset));
  }
}

void epc_ref_position_scale(double floor_scale, double scale, const float *x, size_t width,
                            const int32_t *positions, size_t rows, float *y) {
  for (size_t r = 0; r < rows; r++) {
    const double factor = 1 + scale * log(1 + floor(((double)positions[r] + 1) / floor_scale));
    for (size_t i = 0; i < width; i++) {
      y[r * width + i] = (float)((double)x[r * width + i] * factor);
    }
  }
}
