// Kernels for processors with AVX-512.
#if defined(__x86_64__)
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#define LEVEL avx512
#define TILE_VECTORS 4
#include "tiles.h"
#pragma clang attribute pop
#endif
