// Squares of 32 rows by 32 outputs, on the tile registers of AMX; part of tiles_amx_many.c.
#ifndef EPC_TILES_AMX_SQUARE_H
#define EPC_TILES_AMX_SQUARE_H

#include "tiles_amx.h"

/// How sums of tiles become results.
typedef enum {
  /// They are results.
  PLAIN,
  /// Those of a group of inputs are scaled, then added.
  SCALED,
  /// Tiles of rows hold the two digits of 16 rows; a group's sum is put together from both, then scaled.
  DIGITS,
} sum_kind;

enum {
  SIDE = 32,
  SQUARE = SIDE * SIDE,
};

/// Inputs of a tile.
static inline size_t tile_inputs(epc_format format) {
  return format == EPC_FORMAT_INT8 ? 2 * TILE_INPUTS : TILE_INPUTS;
}

/// 32 rows by 32 outputs, or, where there are fewer, what is there; of what is not there something else
/// is multiplied and left out.
typedef struct {
  const epc_block *block;
  size_t rows, outputs;
  /// The strip, its first vector of outputs, and tiles.
  size_t input, vector, steps;
  /// Tiles of rows, the bytes from one to the next, and those between groups.
  const char *upper, *lower;
  size_t upper_step, lower_step, row_skip;
  /// Tiles of weights: the bytes from one row of a tile to the next, from one tile to the next, and those
  /// between groups.
  const char *left, *right;
  size_t stride, step, skip;
  /// Where tiles are made of weights.
  uint8_t *tiles;
  /// Sums so far, whether there are none, and whether they become results.
  float *sums;
  bool is_new, is_last;
  float *result;
  /// Whether these are written around the caches.
  bool is_streamed;
  /// Scales of the outputs in the first group, and the bytes to those of the next.
  const float *scales;
  size_t scales_step;
  /// Of rows in digits: their scales in the first group, and the bytes to those of the next.
  const char *row_scales;
  size_t row_scales_step;
  /// What is asked for meanwhile, so many lines a step.
  const char *next;
  size_t lines;
} square;

/// So many rows of 32 outputs, or of 16, `stride` apart.
INLINED void store_tiles(float *to, size_t stride, size_t rows, size_t outputs) {
  _tile_stored(0, to, stride * 4);
  if (outputs > 16) _tile_stored(1, to + 16, stride * 4);
  if (rows <= TILE_ROWS) return;
  _tile_stored(2, to + TILE_ROWS * stride, stride * 4);
  if (outputs > 16) _tile_stored(3, to + TILE_ROWS * stride + 16, stride * 4);
}

INLINED void zero_tiles(void) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

/// Brings a row of 32 outputs to the result.
INLINED void finish_row(const square *s, size_t r, __m512 first, __m512 second) {
  float *at = s->result + r * s->block->sums_stride;
  if (s->is_streamed) {
    _mm512_stream_ps(at, first);
    _mm512_stream_ps(at + 16, second);
  } else {
    _mm512_storeu_ps(at, first);
    _mm512_mask_storeu_ps(at + 16, s->outputs > 16 ? 0xffff : 0, second);
  }
}

/// Scales the sums of a group for `count` rows from `first` on and adds them.
INLINED void add_rows(sum_kind kind, const square *s, size_t group, size_t first, size_t count,
                      bool is_last, const float *made) {
  const float *scales = (const float *)((const char *)s->scales + group * s->scales_step);
  const __m512 scale[2] = {_mm512_loadu_ps(scales),
                           _mm512_loadu_ps(s->outputs > 16 ? scales + 16 : scales)};
  const float *row_scales = (const float *)(s->row_scales + group * s->row_scales_step);
  for (size_t r = first; r < first + count; r++) {
    __m512 sums[2];
    for (size_t v = 0; v < 2; v++) {
      __m512 now = _mm512_load_ps(made + r * SIDE + 16 * v);
      __m512 factor = scale[v];
      if (kind == DIGITS) {
        const __m512i low = _mm512_load_si512(made + (16 + r) * SIDE + 16 * v);
        const __m512i both =
            _mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(now), 8), low);
        const __m512i surplus = _mm512_castps_si512(_mm512_set1_ps(row_scales[s->rows + r]));
        now = _mm512_cvtepi32_ps(_mm512_sub_epi32(both, surplus));
        factor = _mm512_mul_ps(factor, _mm512_set1_ps(row_scales[r]));
      }
      sums[v] = _mm512_fmadd_ps(now, factor, _mm512_load_ps(s->sums + r * SIDE + 16 * v));
    }
    if (is_last) {
      finish_row(s, r, sums[0], sums[1]);
    } else {
      _mm512_store_ps(s->sums + r * SIDE, sums[0]);
      _mm512_store_ps(s->sums + r * SIDE + 16, sums[1]);
    }
  }
}

/// Brings a quarter of the rows of a group into the sums.
INLINED void add_part(sum_kind kind, const square *s, size_t group, size_t part, bool is_last,
                      const float *made) {
  const size_t count = kind == DIGITS ? TILE_ROWS / 4 : SIDE / 4;
  const size_t first = part * count;
  if (first + count <= s->rows) {
    add_rows(kind, s, group, first, count, is_last, made);
  } else if (first < s->rows) {
    add_rows(kind, s, group, first, s->rows - first, is_last, made);
  }
}

/// The sums so far.
INLINED void begin(const square *s) {
  float *sums = s->sums;
  const size_t stride = s->block->sums_stride;
  const __mmask16 right = s->outputs > 16 ? 0xffff : 0;
  for (size_t r = 0; r < s->rows; r++) {
    const float *at = s->result + r * stride;
    _mm512_store_ps(sums + r * SIDE, _mm512_loadu_ps(at));
    _mm512_store_ps(sums + r * SIDE + 16, _mm512_maskz_loadu_ps(right, at + 16));
  }
}

/// Asks for a quarter of a step's lines: a burst of them would hold up the loads of tiles.
INLINED void ask(const char **next, size_t lines, size_t quarter) {
  for (size_t l = (lines + quarter) / 4; l > 0; l--) {
    __builtin_prefetch(*next, 0, 2);
    *next += LINE;
  }
}

/// Makes the tile of weights of a step and of vector 0 or 1 of a square, if it is there.
INLINED void make_tile(epc_format format, const square *s, size_t i, size_t v) {
  if (i >= s->steps || 16 * v >= s->outputs) return;
  uint8_t *tile = s->tiles + (2 * i + v) * TILE_BYTES;
  const epc_block *b = s->block;
  const size_t k = s->input + i * tile_inputs(format);
  if (format == EPC_FORMAT_FP8 || format == EPC_FORMAT_MXFP4) {
    expand_tile(format, b, k, s->vector + v, tile);
    return;
  }
  // Bytes of a group lie behind its scales.
  const size_t behind = format == EPC_FORMAT_INT8 ? (4 + k % EPC_GROUP) * b->stride : 0;
  const char *from = (const char *)b->weights + epc_input_offset(format, k, b->stride) + behind +
                     LINE * (s->vector + v);
  for (size_t r = 0; r < TILE_ROWS; r++) {
    _mm512_store_si512(tile + r * LINE, _mm512_loadu_si512(from + r * b->stride * 4));
  }
}

/// A tile of rows: past the first-level cache where that holds tiles of weights.
#define LOAD_ROWS(tile, from)             \
  if (s->tiles != NULL) {                 \
    _tile_stream_loadd(tile, from, LINE); \
  } else {                                \
    _tile_loadd(tile, from, LINE);        \
  }

/// Multiplies a square; if it `makes` tiles, those of a step are made while the one before is multiplied.
INLINED void multiply_square(epc_format format, bool makes, const square *s) {
  const sum_kind kind = format == EPC_FORMAT_INT8  ? DIGITS
                        : format == EPC_FORMAT_FP8 ? SCALED
                                                   : PLAIN;
  _Alignas(64) float made[2][SQUARE];
  const epc_block *b = s->block;
  const size_t steps_of_group = kind == PLAIN ? s->steps : EPC_GROUP / tile_inputs(format);
  if (s->is_new && !b->is_first) {
    begin(s);
  } else if (s->is_new && kind != PLAIN) {
    memset(s->sums, 0, s->rows * SIDE * sizeof(float));
  }
  if (makes) {
    make_tile(format, s, 0, 0);
    make_tile(format, s, 0, 1);
  }
  const char *upper = s->upper;
  const char *lower = s->lower;
  const char *left = s->left;
  const char *right = s->right;
  const char *next = s->next;
  size_t prefetched = kind == PLAIN && s->is_last && !s->is_streamed ? 0 : s->rows;
  for (size_t k = 0, g = 0; k < s->steps; g++) {
    if (kind != PLAIN || (s->is_new && b->is_first)) {
      zero_tiles();
    } else {
      _tile_stream_loadd(0, s->sums, SIDE * 4);
      _tile_stream_loadd(1, s->sums + 16, SIDE * 4);
      _tile_stream_loadd(2, s->sums + 16 * SIDE, SIDE * 4);
      _tile_stream_loadd(3, s->sums + 16 * SIDE + 16, SIDE * 4);
    }
    for (size_t i = 0; i < steps_of_group; i++, k++) {
      _tile_loadd(6, left, s->stride);
      LOAD_ROWS(4, upper)
      ask(&next, s->lines, 0);
      if (kind == DIGITS) {
        _tile_dpbsud(0, 4, 6);
      } else {
        _tile_dpbf16ps(0, 4, 6);
      }
      if (makes) make_tile(format, s, k + 1, 0);
      ask(&next, s->lines, 1);
      _tile_loadd(7, right, s->stride);
      if (prefetched < s->rows) {
        __builtin_prefetch(s->result + prefetched * b->sums_stride, 1, 3);
        __builtin_prefetch(s->result + prefetched * b->sums_stride + s->outputs - 1, 1, 3);
        prefetched++;
      }
      if (kind == DIGITS) {
        _tile_dpbsud(1, 4, 7);
      } else {
        _tile_dpbf16ps(1, 4, 7);
      }
      ask(&next, s->lines, 2);
      LOAD_ROWS(5, lower)
      // What was stored a group ago is added while products go on.
      if (kind == SCALED && g > 0) add_part(kind, s, g - 1, i, false, made[(g - 1) % 2]);
      if (kind == DIGITS && g > 0) add_part(kind, s, g - 1, 2 * i, false, made[(g - 1) % 2]);
      if (kind == DIGITS) {
        _tile_dpbsud(2, 5, 6);
        if (g > 0) add_part(kind, s, g - 1, 2 * i + 1, false, made[(g - 1) % 2]);
        _tile_dpbsud(3, 5, 7);
      } else {
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      if (makes) make_tile(format, s, k + 1, 1);
      ask(&next, s->lines, 3);
      upper += s->upper_step;
      lower += s->lower_step;
      left += s->step;
      right += s->step;
    }
    upper += s->row_skip;
    lower += s->row_skip;
    left += s->skip;
    right += s->skip;
    if (kind != PLAIN) {
      store_tiles(made[g % 2], SIDE, SIDE, SIDE);
    } else if (s->is_last && !s->is_streamed) {
      store_tiles(s->result, b->sums_stride, s->rows, s->outputs);
    } else {
      store_tiles(s->sums, SIDE, SIDE, SIDE);
    }
  }
  if (kind != PLAIN) {
    const size_t last = s->steps / steps_of_group - 1;
    for (size_t i = 0; i < 4; i++) add_part(kind, s, last, i, s->is_last, made[last % 2]);
  } else if (s->is_last && s->is_streamed) {
    for (size_t r = 0; r < s->rows; r++) {
      finish_row(s, r, _mm512_load_ps(s->sums + r * SIDE), _mm512_load_ps(s->sums + r * SIDE + 16));
    }
  }
}

#endif
