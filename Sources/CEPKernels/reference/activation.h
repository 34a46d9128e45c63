// Functions of one real, shared by the kernels that apply them.
#ifndef EPC_ACTIVATION_H
#define EPC_ACTIVATION_H

#include <math.h>

#include "epc_kernels.h"

/// The logistic function.
static inline double epc_sigmoid(double x) { return 1 / (1 + exp(-x)); }

/// log(1 + exp(x)), without overflow.
static inline double epc_softplus(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }

/// A function of one real; EPC_CLAMP, which has bounds, is not one of these and changes nothing.
static inline double epc_activate(epc_function function, double x) {
  switch (function) {
    case EPC_IDENTITY:
    case EPC_CLAMP: return x;
    case EPC_SILU: return x * epc_sigmoid(x);
    case EPC_GELU: return 0.5 * x * (1 + erf(x * M_SQRT1_2));
    case EPC_GELU_TANH:
      return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case EPC_RELU: return x > 0 ? x : 0;
    case EPC_RELU2: return x > 0 ? x * x : 0;
    case EPC_SIGMOID: return epc_sigmoid(x);
    case EPC_TANH: return tanh(x);
    case EPC_SOFTPLUS: return epc_softplus(x);
    case EPC_EXP: return exp(x);
    case EPC_NEGATE: return -x;
    case EPC_SQUARE: return x * x;
    case EPC_SQRT: return sqrt(x);
  }
  return x;
}

#endif
