// Kernels for processors with AVX-512, dot products of bf16 and of bytes.
#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(                                                                \
    __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni"))), \
    apply_to = function)
#define LEVEL vnni
#define TILE_VECTORS 4
#define HAS_DOT_PRODUCTS
#include "tiles.h"
#pragma clang attribute pop
#endif
