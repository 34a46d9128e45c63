// Products of bf16 and of bytes, for processors that have instructions for them.
#ifndef EPC_TILES_WITH_DOT_H
#define EPC_TILES_WITH_DOT_H

#include <immintrin.h>

ALWAYS void tile_bf16(int rows, int vectors, int lines, const tile *t) {
  __m512 sums[EPC_ROWS][4];
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int v = 0; v < vectors; v++) {
      sums[r][v] = t->scales != NULL || t->is_first
                       ? _mm512_setzero_ps()
                       : _mm512_loadu_ps(t->sums + (size_t)r * t->sums_stride + 16 * v);
    }
  }
  const int32_t *x = (const int32_t *)t->rows;
  const uint32_t *w = (const uint32_t *)t->weights;
  for (size_t k = 0; k < t->steps; k++) {
    prefetch(t, lines, k);
    __m512bh factors[4];
    UNROLL for (int v = 0; v < vectors; v++) {
      factors[v] = (__m512bh)_mm512_loadu_si512(w + 16 * v);
    }
    UNROLL for (int r = 0; r < rows; r++) {
      const __m512bh now = (__m512bh)_mm512_set1_epi32(x[r]);
      UNROLL for (int v = 0; v < vectors; v++) {
        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], now, factors[v]);
      }
    }
    x += rows;
    w += t->stride;
  }
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int v = 0; v < vectors; v++) {
      float *at = t->sums + (size_t)r * t->sums_stride + 16 * v;
      if (t->scales != NULL) {
        const __m512 old = t->is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(at);
        sums[r][v] = _mm512_fmadd_ps(sums[r][v], _mm512_loadu_ps(t->scales + 16 * v), old);
      }
      _mm512_storeu_ps(at, sums[r][v]);
    }
  }
}

/// Adds the products of bytes and of one digit of the rows, or of both; a row is `words` words.
ALWAYS void add_products(int rows, int vectors, int lines, int digits, const tile *t,
                         const uint32_t *x, size_t words, bits sums[][EPC_ROWS * 4]) {
  const uint32_t *w = (const uint32_t *)t->weights;
  for (size_t k = 0; k < t->steps; k++) {
    prefetch(t, lines, k);
    __m512i fours[4];
    UNROLL for (int v = 0; v < vectors; v++) fours[v] = _mm512_loadu_si512(w + 16 * v);
    UNROLL for (int r = 0; r < rows; r++) {
      UNROLL for (int d = 0; d < digits; d++) {
        const __m512i digit = _mm512_set1_epi32((int32_t)x[(size_t)r * words + (size_t)d * t->steps]);
        UNROLL for (int v = 0; v < vectors; v++) {
          bits *sum = &sums[d][r * 4 + v];
          *sum = (bits)_mm512_dpbusd_epi32((__m512i)*sum, fours[v], digit);
        }
      }
    }
    x++;
    w += t->stride;
  }
}

/// Low halves of bytes make a word, high ones the next; see `epc_fp4_byte`.
static void expand_mxfp4(const uint8_t *group, size_t vectors, uint32_t *fours) {
  const __m512i twice = _mm512_broadcast_i32x4(
      _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0));
  const __m512i low = _mm512_set1_epi8(15);
  const size_t width = 16 * vectors;
  for (size_t i = 0; i < EPC_GROUP / 8; i++) {
    for (size_t v = 0; v < vectors; v++) {
      const __m512i both = _mm512_loadu_si512(group + (i * width + 16 * v) * 4);
      const __m512i high = _mm512_and_si512(_mm512_srli_epi16(both, 4), low);
      uint32_t *at = fours + 2 * i * width + 16 * v;
      _mm512_storeu_si512(at, _mm512_shuffle_epi8(twice, _mm512_and_si512(both, low)));
      _mm512_storeu_si512(at + width, _mm512_shuffle_epi8(twice, high));
    }
  }
}

static double multiply_bf16(size_t steps) {
  __m512 sums[14];
  __m512bh factor = (__m512bh)_mm512_set1_epi32(0x3f803f80);
  UNROLL for (int i = 0; i < 14; i++) sums[i] = _mm512_setzero_ps();
  for (size_t k = 0; k < steps; k++) {
    UNROLL for (int i = 0; i < 14; i++) sums[i] = _mm512_dpbf16_ps(sums[i], factor, factor);
    __asm__ volatile("" : "+v"(factor));
  }
  float kept = 0;
  UNROLL for (int i = 0; i < 14; i++) kept += _mm512_cvtss_f32(sums[i]);
  return kept > -1 ? 64.0 * 14 * (double)steps : 0;
}

static double multiply_bytes(size_t steps) {
  __m512i sums[14];
  __m512i factor = _mm512_set1_epi32(0x01010101);
  UNROLL for (int i = 0; i < 14; i++) sums[i] = _mm512_setzero_si512();
  for (size_t k = 0; k < steps; k++) {
    UNROLL for (int i = 0; i < 14; i++) sums[i] = _mm512_dpbusd_epi32(sums[i], factor, factor);
    __asm__ volatile("" : "+v"(factor));
  }
  int kept = 0;
  UNROLL for (int i = 0; i < 14; i++) kept |= _mm512_cvtsi512_si32(sums[i]);
  return kept != -1 ? 128.0 * 14 * (double)steps : 0;
}

#endif
