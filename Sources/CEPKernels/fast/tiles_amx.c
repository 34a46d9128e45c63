// Products of bf16 on the tile registers of AMX.
//
// A tile of weights is 16 pairs of inputs by 16 outputs, just as panels hold them; a tile of rows is
// up to 16 rows by 32 inputs. A result adds 32 inputs at a time, whatever rows there are beside it.
#include "blocks.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>

#define TILES __attribute__((target("amx-tile,amx-bf16,avx512f,avx512bf16")))

enum {
  TILE_ROWS = 16,
  TILE_INPUTS = 32,
  LINE = 64,
};

typedef struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t columns[16];
  uint8_t rows[16];
} config;

/// Sums in tiles 0 to 3, rows in 4 and 5, weights in 6 and 7. Rows that are not there are left out.
TILES static void configure(size_t upper, size_t lower) {
  _Alignas(64) config c = {.palette = 1};
  for (int i = 0; i < 8; i++) c.columns[i] = 64;
  c.rows[0] = c.rows[1] = c.rows[4] = (uint8_t)upper;
  c.rows[2] = c.rows[3] = c.rows[5] = (uint8_t)lower;
  c.rows[6] = c.rows[7] = TILE_ROWS;
  _tile_loadconfig(&c);
}

/// All four tiles of sums have the same rows: 16 outputs each.
TILES static void configure_wide(size_t rows) {
  _Alignas(64) config c = {.palette = 1};
  for (int i = 0; i < 8; i++) c.columns[i] = 64;
  for (int i = 0; i < 5; i++) c.rows[i] = (uint8_t)rows;
  c.rows[5] = c.rows[6] = c.rows[7] = TILE_ROWS;
  _tile_loadconfig(&c);
}

/// The tile of rows `first` and following, a multiple of 16, at the block's first input.
static const char *rows_at(const epc_block *b, size_t first, size_t rows) {
  return b->prepared + first * b->row_bytes + b->offset * rows;
}

/// Asks for a few lines; between loads of tiles, so that requests go out evenly.
#define ASK(next, lines)                                                               \
  for (size_t l = 0; l < (lines); l++) __builtin_prefetch((next) + LINE * l, 0, 3);    \
  next += LINE * (lines)

/// Up to 16 rows and a panel of 64 outputs, weights read once from one end to the other.
TILES static void multiply_wide(const epc_block *b, size_t rows, float *sums, size_t stride,
                                bool is_first) {
  configure_wide(rows);
  const size_t bytes = stride * sizeof(float);
  if (is_first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, sums, bytes);
    _tile_loadd(1, sums + 16, bytes);
    _tile_loadd(2, sums + 32, bytes);
    _tile_loadd(3, sums + 48, bytes);
  }
  const char *x = rows_at(b, 0, rows);
  const char *w = b->weights;
  const char *next = b->next;
  const size_t w_bytes = EPC_PANEL * 4;
  const size_t loads = b->inputs / TILE_INPUTS * 4;
  const size_t lines = (b->next_lines + loads - 1) / loads;
  for (size_t k = 0; k < b->inputs; k += TILE_INPUTS) {
    _tile_loadd(4, x, LINE);
    ASK(next, lines);
    _tile_loadd(5, w, w_bytes);
    _tile_dpbf16ps(0, 4, 5);
    ASK(next, lines);
    _tile_loadd(6, w + LINE, w_bytes);
    _tile_dpbf16ps(1, 4, 6);
    ASK(next, lines);
    _tile_loadd(7, w + 2 * LINE, w_bytes);
    _tile_dpbf16ps(2, 4, 7);
    ASK(next, lines);
    _tile_loadd(5, w + 3 * LINE, w_bytes);
    _tile_dpbf16ps(3, 4, 5);
    x += rows * LINE;
    w += TILE_INPUTS / 2 * w_bytes;
  }
  _tile_stored(0, sums, bytes);
  _tile_stored(1, sums + 16, bytes);
  _tile_stored(2, sums + 32, bytes);
  _tile_stored(3, sums + 48, bytes);
}

/// 32 rows and 32 outputs; asks for `lines` lines from `next` on a step.
TILES static void multiply_full(const epc_block *b, size_t first, size_t vector, float *sums,
                                size_t stride, bool is_first, const char *next, size_t lines) {
  const size_t bytes = stride * sizeof(float);
  float *lower = sums + TILE_ROWS * stride;
  if (is_first) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, sums, bytes);
    _tile_loadd(1, sums + 16, bytes);
    _tile_loadd(2, lower, bytes);
    _tile_loadd(3, lower + 16, bytes);
  }
  const char *x = rows_at(b, first, TILE_ROWS);
  const char *x_lower = rows_at(b, first + TILE_ROWS, TILE_ROWS);
  const char *w = (const char *)b->weights + LINE * vector;
  const size_t w_bytes = b->stride * 4;
  for (size_t k = 0; k < b->inputs; k += TILE_INPUTS) {
    // All loads first: products wait for the slowest alone.
    _tile_loadd(6, w, w_bytes);
    _tile_loadd(7, w + LINE, w_bytes);
    _tile_loadd(4, x, LINE);
    _tile_loadd(5, x_lower, LINE);
    for (size_t l = 0; l < lines; l++) __builtin_prefetch(next + LINE * l, 0, 2);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    x += TILE_ROWS * LINE;
    x_lower += TILE_ROWS * LINE;
    w += TILE_INPUTS / 2 * w_bytes;
    next += LINE * lines;
  }
  _tile_stored(0, sums, bytes);
  _tile_stored(1, sums + 16, bytes);
  _tile_stored(2, lower, bytes);
  _tile_stored(3, lower + 16, bytes);
}

/// Up to 32 rows and one or two vectors of outputs.
TILES static void multiply_part(const epc_block *b, size_t first, size_t rows, size_t vector,
                                float *sums, size_t stride, bool is_first) {
  const bool is_double = b->vectors - vector > 1;
  const bool is_tall = rows > TILE_ROWS;
  const size_t upper = is_tall ? TILE_ROWS : rows;
  const size_t under = is_tall ? rows - TILE_ROWS : rows;
  configure(upper, under);
  const size_t bytes = stride * sizeof(float);
  float *lower = sums + TILE_ROWS * stride;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  if (!is_first) {
    _tile_loadd(0, sums, bytes);
    if (is_double) _tile_loadd(1, sums + 16, bytes);
    if (is_tall) _tile_loadd(2, lower, bytes);
    if (is_tall && is_double) _tile_loadd(3, lower + 16, bytes);
  }
  const char *x = rows_at(b, first, upper);
  const char *x_lower = is_tall ? rows_at(b, first + TILE_ROWS, under) : x;
  const char *w = (const char *)b->weights + LINE * vector;
  const size_t w_bytes = b->stride * 4;
  for (size_t k = 0; k < b->inputs; k += TILE_INPUTS) {
    _tile_loadd(6, w, w_bytes);
    if (is_double) _tile_loadd(7, w + LINE, w_bytes);
    _tile_loadd(4, x, LINE);
    if (is_tall) _tile_loadd(5, x_lower, LINE);
    _tile_dpbf16ps(0, 4, 6);
    if (is_double) _tile_dpbf16ps(1, 4, 7);
    if (is_tall) _tile_dpbf16ps(2, 5, 6);
    if (is_tall && is_double) _tile_dpbf16ps(3, 5, 7);
    x += upper * LINE;
    x_lower += under * LINE;
    w += TILE_INPUTS / 2 * w_bytes;
  }
  _tile_stored(0, sums, bytes);
  if (is_double) _tile_stored(1, sums + 16, bytes);
  if (is_tall) _tile_stored(2, lower, bytes);
  if (is_tall && is_double) _tile_stored(3, lower + 16, bytes);
}

/// Adds the sums of a block, each times its scale.
TILES static void add_scaled(const epc_block *b, size_t first, size_t rows, size_t vector,
                             size_t vectors, const float *made, size_t stride) {
  for (size_t v = 0; v < vectors; v++) {
    const __m512 scale = _mm512_loadu_ps(b->scales + 16 * (vector + v));
    for (size_t r = 0; r < rows; r++) {
      float *at = b->sums + (first + r) * b->sums_stride + 16 * (vector + v);
      const __m512 old = b->is_first ? _mm512_setzero_ps() : _mm512_loadu_ps(at);
      const __m512 now = _mm512_loadu_ps(made + r * stride + 16 * v);
      _mm512_storeu_ps(at, _mm512_fmadd_ps(now, scale, old));
    }
  }
}

/// Many rows: two vectors of weights at a time stay in the first-level cache for all of them.
TILES static void multiply_many(const epc_block *b, float *made) {
  const bool is_scaled = b->scales != NULL;
  const size_t full = b->rows / (2 * TILE_ROWS) * (2 * TILE_ROWS);
  const size_t steps = full / (2 * TILE_ROWS) * (b->vectors / 2) * (b->inputs / TILE_INPUTS);
  const size_t lines = steps == 0 ? 0 : (b->next_lines + steps - 1) / steps;
  const char *next = b->next;
  // Setting the tiles up takes as long as some products: once for all blocks of 32 rows.
  if (full > 0) configure(TILE_ROWS, TILE_ROWS);
  for (size_t v = 0; v + 2 <= b->vectors; v += 2) {
    for (size_t r = 0; r < full; r += 2 * TILE_ROWS) {
      float *sums = is_scaled ? made : b->sums + r * b->sums_stride + 16 * v;
      multiply_full(b, r, v, sums, is_scaled ? 32 : b->sums_stride, is_scaled || b->is_first,
                    next, lines);
      next += b->inputs / TILE_INPUTS * lines * LINE;
      if (is_scaled) add_scaled(b, r, 2 * TILE_ROWS, v, 2, made, 32);
    }
  }
  for (size_t v = 0; v < b->vectors; v += 2) {
    const size_t vectors = b->vectors - v < 2 ? 1 : 2;
    for (size_t r = vectors == 2 ? full : 0; r < b->rows; r += 2 * TILE_ROWS) {
      const size_t rows = b->rows - r < 2 * TILE_ROWS ? b->rows - r : 2 * TILE_ROWS;
      float *sums = is_scaled ? made : b->sums + r * b->sums_stride + 16 * v;
      multiply_part(b, r, rows, v, sums, is_scaled ? 32 : b->sums_stride,
                    is_scaled || b->is_first);
      if (is_scaled) add_scaled(b, r, rows, v, vectors, made, 32);
    }
  }
}

TILES void epc_block_tiles(const epc_block *b) {
  _Alignas(64) float made[2 * TILE_ROWS * EPC_PANEL];
  const bool is_scaled = b->scales != NULL;
  if (b->rows <= TILE_ROWS && b->vectors == 4) {
    float *sums = is_scaled ? made : b->sums;
    multiply_wide(b, b->rows, sums, is_scaled ? EPC_PANEL : b->sums_stride,
                  is_scaled || b->is_first);
    if (is_scaled) add_scaled(b, 0, b->rows, 0, 4, made, EPC_PANEL);
  } else {
    multiply_many(b, made);
  }
  _tile_release();
}

TILES void epc_prepare_tiles(epc_format format, const float *x, size_t x_stride,
                             const int32_t *index, size_t in, size_t rows, size_t first,
                             size_t end, void *prepared) {
  const size_t padded = epc_padded_inputs(format, in);
  const __m512 factor = _mm512_set1_ps(epc_half_factor(format));
  for (size_t r = first; r < end; r++) {
    const size_t top = r / TILE_ROWS * TILE_ROWS;
    const size_t height = rows - top < TILE_ROWS ? rows - top : TILE_ROWS;
    const float *from = x + r * x_stride;
    char *to = (char *)prepared + top * padded * 2 + (r - top) * LINE;
    for (size_t k = 0; k < padded; k += TILE_INPUTS) {
      __m512 low;
      __m512 high;
      if (index == NULL && k + TILE_INPUTS <= in) {
        low = _mm512_loadu_ps(from + k);
        high = _mm512_loadu_ps(from + k + 16);
      } else {
        float part[TILE_INPUTS] = {0};
        for (size_t i = 0; i < TILE_INPUTS && k + i < in; i++) {
          part[i] = from[index != NULL ? (size_t)index[k + i] : k + i];
        }
        low = _mm512_loadu_ps(part);
        high = _mm512_loadu_ps(part + 16);
      }
      low = _mm512_mul_ps(low, factor);
      high = _mm512_mul_ps(high, factor);
      _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
      to += height * LINE;
    }
  }
}

TILES double epc_multiply_tiles(size_t steps) {
  static const uint16_t zeros[TILE_ROWS * TILE_INPUTS];
  configure(TILE_ROWS, TILE_ROWS);
  for (size_t k = 0; k < steps; k++) {
    if (k == 0) {
      _tile_loadd(4, zeros, 64);
      _tile_loadd(5, zeros, 64);
      _tile_loadd(6, zeros, 64);
      _tile_loadd(7, zeros, 64);
    }
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
  return 4.0 * 2 * TILE_ROWS * TILE_ROWS * TILE_INPUTS * (double)steps;
}
#else
void epc_block_tiles(const epc_block *b) { (void)b; }

void epc_prepare_tiles(epc_format format, const float *x, size_t x_stride, const int32_t *index,
                       size_t in, size_t rows, size_t first, size_t end, void *prepared) {
  (void)format, (void)x, (void)x_stride, (void)index;
  (void)in, (void)rows, (void)first, (void)end, (void)prepared;
}

double epc_multiply_tiles(size_t steps) { return (double)steps; }
#endif
