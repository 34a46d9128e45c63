// Kernels for processors with AVX2.
#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define LEVEL avx2
#define TILE_VECTORS 1
#include "tiles.h"
#pragma clang attribute pop
#endif
