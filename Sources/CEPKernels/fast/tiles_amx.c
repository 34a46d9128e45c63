// Rows as tiles of AMX have them, products of blocks, and how fast tiles are.
#include "blocks.h"

#if defined(__x86_64__)
#include "tiles_amx.h"

TILES void epc_block_tiles(epc_format format, const epc_block *b) {
  if (epc_tiles_are_wide(format, b->rows, b->vectors)) {
    epc_multiply_tiles_wide(format, b);
    return;
  }
  epc_multiply_tiles_many(format, b);
}

/// 32 numbers of a row from `k` on; zero beyond its end.
INLINED void load_part(const float *from, const int32_t *index, size_t k, size_t in, __m512 parts[2]) {
  if (index == NULL && k + TILE_INPUTS <= in) {
    parts[0] = _mm512_loadu_ps(from + k);
    parts[1] = _mm512_loadu_ps(from + k + 16);
    return;
  }
  float part[TILE_INPUTS] = {0};
  for (size_t i = 0; i < TILE_INPUTS && k + i < in; i++) {
    part[i] = from[index != NULL ? (size_t)index[k + i] : k + i];
  }
  parts[0] = _mm512_loadu_ps(part);
  parts[1] = _mm512_loadu_ps(part + 16);
}

/// A group of a row as digits, as `epc_prepare` has them: the high ones of 64 inputs and of the next 64,
/// the low ones of both, each a row of a tile, then the row's scale and surplus.
TILES static void split_group(const __m512 parts[8], size_t height, size_t row, char *group) {
  char *to = group + row * LINE;
  __m512 most = _mm512_setzero_ps();
  __m512 sum = _mm512_setzero_ps();
  for (int i = 0; i < 8; i++) {
    const __m512 size = _mm512_abs_ps(parts[i]);
    most = _mm512_max_ps(size, most);
    // Not finite as soon as one is not, nor a number if one is not.
    sum = _mm512_add_ps(sum, _mm512_sub_ps(size, size));
  }
  const bool is_finite = _mm512_reduce_add_ps(sum) == 0;
  const float unit = _mm512_reduce_max_ps(most) / 32639;
  const float inverse = is_finite && 1 / unit <= __FLT_MAX__ ? 1 / unit : 0;
  __m512i all = _mm512_setzero_si512();
  for (int i = 0; i < 8; i++) {
    const __m512i number = inverse == 0
                               ? _mm512_setzero_si512()
                               : _mm512_cvtps_epi32(_mm512_mul_ps(parts[i], _mm512_set1_ps(inverse)));
    const __m512i digit = _mm512_srai_epi32(_mm512_slli_epi32(number, 24), 24);
    const __m512i high = _mm512_srai_epi32(_mm512_sub_epi32(number, digit), 8);
    char *at = to + (size_t)(i / 4) * height * LINE + 16 * (i % 4);
    _mm_storeu_si128((__m128i *)at, _mm512_cvtepi32_epi8(high));
    _mm_storeu_si128((__m128i *)(at + 2 * height * LINE), _mm512_cvtepi32_epi8(digit));
    all = _mm512_add_epi32(all, number);
  }
  char *scales = group + height * 2 * EPC_GROUP + 4 * row;
  const float scale = is_finite ? unit : __builtin_nanf("");
  const int32_t surplus = 128 * _mm512_reduce_add_epi32(all);
  memcpy(scales, &scale, sizeof(scale));
  memcpy(scales + 4 * height, &surplus, sizeof(surplus));
}

TILES void epc_prepare_tiles(epc_format format, const float *x, size_t x_stride,
                             const int32_t *index, size_t in, size_t rows, size_t first,
                             size_t end, void *prepared) {
  const size_t padded = epc_padded_inputs(format, in);
  const size_t row_bytes = epc_prepared_bytes(format, in);
  const __m512 factor = _mm512_set1_ps(epc_half_factor(format));
  for (size_t r = first; r < end; r++) {
    const size_t top = r / TILE_ROWS * TILE_ROWS;
    const size_t height = rows - top < TILE_ROWS ? rows - top : TILE_ROWS;
    const float *from = x + r * x_stride;
    char *to = (char *)prepared + top * row_bytes;
    if (format == EPC_FORMAT_INT8) {
      for (size_t k = 0; k < padded; k += EPC_GROUP) {
        __m512 parts[8];
        for (size_t i = 0; i < 4; i++) {
          load_part(from, index, k + i * TILE_INPUTS, in, parts + 2 * i);
        }
        split_group(parts, height, r - top, to);
        to += (2 * EPC_GROUP + 8) * height;
      }
      continue;
    }
    to += (r - top) * LINE;
    for (size_t k = 0; k < padded; k += TILE_INPUTS) {
      __m512 parts[2];
      // Rows lie too far apart for the processor to guess the next.
      __builtin_prefetch(from + x_stride + k, 0, 3);
      __builtin_prefetch(from + x_stride + k + 16, 0, 3);
      load_part(from, index, k, in, parts);
      const __m512 low = _mm512_mul_ps(parts[0], factor);
      const __m512 high = _mm512_mul_ps(parts[1], factor);
      _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
      to += height * LINE;
    }
  }
}

INLINED void load_tiles(const char *from) {
  _tile_loadd(6, from, LINE);
  _tile_loadd(4, from + TILE_BYTES, LINE);
  _tile_loadd(7, from + 2 * TILE_BYTES, LINE);
  _tile_loadd(5, from + 3 * TILE_BYTES, LINE);
}

TILES double epc_multiply_tiles(bool is_bytes, const char *memory, size_t steps) {
  static const char zeros[4 * TILE_BYTES];
  configure(TILE_ROWS, TILE_ROWS);
  load_tiles(zeros);
  for (size_t k = 0; k < steps; k++) {
    if (memory != NULL) load_tiles(memory + k * 4 * TILE_BYTES % EPC_CACHED_BYTES);
    if (is_bytes) {
      _tile_dpbsud(0, 4, 6);
      _tile_dpbsud(1, 4, 7);
      _tile_dpbsud(2, 5, 6);
      _tile_dpbsud(3, 5, 7);
    } else {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_release();
  return 4.0 * 2 * TILE_ROWS * TILE_ROWS * (is_bytes ? 64 : 32) * (double)steps;
}
#else
void epc_block_tiles(epc_format format, const epc_block *b) { (void)format, (void)b; }

void epc_prepare_tiles(epc_format format, const float *x, size_t x_stride, const int32_t *index,
                       size_t in, size_t rows, size_t first, size_t end, void *prepared) {
  (void)format, (void)x, (void)x_stride, (void)index;
  (void)in, (void)rows, (void)first, (void)end, (void)prepared;
}

double epc_multiply_tiles(bool is_bytes, const char *memory, size_t steps) {
  (void)memory;
  return is_bytes ? 0 : (double)steps;
}
#endif
