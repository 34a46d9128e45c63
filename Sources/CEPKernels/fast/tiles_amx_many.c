// Products of many rows on the tile registers of AMX: 32 rows by 32 outputs at a time.
//
// Sums are kept in a small square between the tiles and the result, whose rows may lie so far apart that
// they drive each other out of the first-level cache.
#if defined(__x86_64__)
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

/// 32 rows by 32 outputs, or, where there are fewer, what is there; of what is not there something else
/// is multiplied and left out.
typedef struct {
  const epc_block *block;
  size_t rows, outputs;
  /// Tiles of rows, and the bytes from one to the next.
  const char *upper, *lower;
  size_t upper_step, lower_step;
  /// Tiles of weights: the bytes from one row of a tile to the next, and from one tile to the next.
  const char *left, *right;
  size_t stride, step;
  float *result;
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

INLINED void store_tiles(float *to) {
  _tile_stored(0, to, SIDE * 4);
  _tile_stored(1, to + 16, SIDE * 4);
  _tile_stored(2, to + 16 * SIDE, SIDE * 4);
  _tile_stored(3, to + 16 * SIDE + 16, SIDE * 4);
}

INLINED void zero_tiles(void) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

/// Brings a quarter of the rows of a group into the sums.
INLINED void add_part(sum_kind kind, const square *s, size_t group, size_t part, const float *made,
                      float *sums) {
  const float *scales = (const float *)((const char *)s->scales + group * s->scales_step);
  const __m512 scale[2] = {_mm512_loadu_ps(scales),
                           _mm512_loadu_ps(s->outputs > 16 ? scales + 16 : scales)};
  if (kind == SCALED) {
    for (size_t r = part * 8; r < part * 8 + 8 && r < s->rows; r++) {
      for (size_t v = 0; v < 2; v++) {
        float *at = sums + r * SIDE + 16 * v;
        const __m512 now = _mm512_load_ps(made + r * SIDE + 16 * v);
        _mm512_store_ps(at, _mm512_fmadd_ps(now, scale[v], _mm512_load_ps(at)));
      }
    }
    return;
  }
  const float *row_scales = (const float *)(s->row_scales + group * s->row_scales_step);
  for (size_t r = part * 4; r < part * 4 + 4 && r < s->rows; r++) {
    const __m512 row_scale = _mm512_set1_ps(row_scales[r]);
    const __m512i surplus = _mm512_castps_si512(_mm512_set1_ps(row_scales[s->rows + r]));
    for (size_t v = 0; v < 2; v++) {
      const __m512i high = _mm512_load_si512(made + r * SIDE + 16 * v);
      const __m512i low = _mm512_load_si512(made + (16 + r) * SIDE + 16 * v);
      const __m512i sum =
          _mm512_sub_epi32(_mm512_add_epi32(_mm512_slli_epi32(high, 8), low), surplus);
      float *at = sums + r * SIDE + 16 * v;
      _mm512_store_ps(at, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), _mm512_mul_ps(scale[v], row_scale),
                                          _mm512_load_ps(at)));
    }
  }
}

/// The sums so far.
INLINED void begin(const square *s, float *sums) {
  const size_t stride = s->block->sums_stride;
  const __mmask16 right = s->outputs > 16 ? 0xffff : 0;
  for (size_t r = 0; r < s->rows; r++) {
    const float *at = s->result + r * stride;
    _mm512_store_ps(sums + r * SIDE, _mm512_loadu_ps(at));
    _mm512_store_ps(sums + r * SIDE + 16, _mm512_maskz_loadu_ps(right, at + 16));
  }
}

INLINED void finish(const square *s, const float *sums) {
  const size_t stride = s->block->sums_stride;
  const __mmask16 right = s->outputs > 16 ? 0xffff : 0;
  const bool has_whole_lines = ((uintptr_t)s->result | stride * sizeof(float)) % LINE == 0;
  if (s->block->is_streamed && has_whole_lines && right != 0) {
    for (size_t r = 0; r < s->rows; r++) {
      float *at = s->result + r * stride;
      _mm512_stream_ps(at, _mm512_load_ps(sums + r * SIDE));
      _mm512_stream_ps(at + 16, _mm512_load_ps(sums + r * SIDE + 16));
    }
    return;
  }
  for (size_t r = 0; r < s->rows; r++) {
    float *at = s->result + r * stride;
    _mm512_storeu_ps(at, _mm512_load_ps(sums + r * SIDE));
    _mm512_mask_storeu_ps(at + 16, right, _mm512_load_ps(sums + r * SIDE + 16));
  }
}

/// Asks for a quarter of a step's lines: a burst of them would hold up the loads of tiles.
INLINED void ask(const char **next, size_t lines, size_t quarter) {
  for (size_t l = (lines + quarter) / 4; l > 0; l--) {
    __builtin_prefetch(*next, 0, 2);
    *next += LINE;
  }
}

INLINED void multiply_square(sum_kind kind, const square *s) {
  _Alignas(64) float sums[SQUARE];
  _Alignas(64) float made[2][SQUARE];
  const epc_block *b = s->block;
  const size_t inputs = kind == DIGITS ? 2 * TILE_INPUTS : TILE_INPUTS;
  const size_t steps = b->inputs / inputs;
  const size_t steps_of_group = kind == PLAIN ? steps : EPC_GROUP / inputs;
  if (!b->is_first) {
    begin(s, sums);
  } else if (kind != PLAIN) {
    memset(sums, 0, sizeof(sums));
  }
  const char *upper = s->upper;
  const char *lower = s->lower;
  const char *left = s->left;
  const char *right = s->right;
  const char *next = s->next;
  size_t row = 0;
  for (size_t k = 0, g = 0; k < steps; k += steps_of_group, g++) {
    if (kind != PLAIN || b->is_first) {
      zero_tiles();
    } else {
      _tile_loadd(0, sums, SIDE * 4);
      _tile_loadd(1, sums + 16, SIDE * 4);
      _tile_loadd(2, sums + 16 * SIDE, SIDE * 4);
      _tile_loadd(3, sums + 16 * SIDE + 16, SIDE * 4);
    }
    for (size_t i = 0; i < steps_of_group; i++) {
      _tile_loadd(6, left, s->stride);
      _tile_loadd(4, upper, LINE);
      ask(&next, s->lines, 0);
      if (kind == DIGITS) {
        _tile_dpbsud(0, 4, 6);
      } else {
        _tile_dpbf16ps(0, 4, 6);
      }
      ask(&next, s->lines, 1);
      _tile_loadd(7, right, s->stride);
      if (row < s->rows && !b->is_streamed) {
        __builtin_prefetch(s->result + row * b->sums_stride, 1, 2);
        __builtin_prefetch(s->result + row * b->sums_stride + s->outputs - 1, 1, 2);
        row++;
      }
      if (kind == DIGITS) {
        _tile_dpbsud(1, 4, 7);
      } else {
        _tile_dpbf16ps(1, 4, 7);
      }
      ask(&next, s->lines, 2);
      _tile_loadd(5, lower, LINE);
      // What was stored a group ago is added while products go on.
      if (kind == SCALED && g > 0) add_part(kind, s, g - 1, i, made[(g - 1) % 2], sums);
      if (kind == DIGITS && g > 0) add_part(kind, s, g - 1, 2 * i, made[(g - 1) % 2], sums);
      if (kind == DIGITS) {
        _tile_dpbsud(2, 5, 6);
        if (g > 0) add_part(kind, s, g - 1, 2 * i + 1, made[(g - 1) % 2], sums);
        _tile_dpbsud(3, 5, 7);
      } else {
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
      }
      ask(&next, s->lines, 3);
      upper += s->upper_step;
      lower += s->lower_step;
      left += s->step;
      right += s->step;
    }
    if (kind == DIGITS) {
      // Behind a group's digits lie the scales of rows; weights of a group begin with scales.
      upper = s->upper + (g + 1) * s->row_scales_step;
      lower = s->lower + (g + 1) * s->row_scales_step;
      left = s->left + (g + 1) * s->scales_step;
      right = s->right + (g + 1) * s->scales_step;
    }
    store_tiles(kind == PLAIN ? sums : made[g % 2]);
  }
  if (kind != PLAIN) {
    const size_t last = steps / steps_of_group - 1;
    for (size_t i = 0; i < 4; i++) add_part(kind, s, last, i, made[last % 2], sums);
  }
  finish(s, sums);
}

/// One or two vectors of outputs for rows `first` and following.
INLINED square square_at(epc_format format, const epc_block *b, size_t first, size_t rows,
                         size_t vector, const uint8_t *expanded) {
  square s = {
      .block = b,
      .rows = rows,
      .outputs = b->vectors - vector > 1 ? 32 : 16,
      .result = b->sums + first * b->sums_stride + 16 * vector,
      .next = b->next,
  };
  const size_t beside = s.outputs > 16 ? 1 : 0;
  const char *weights = b->weights;
  if (format == EPC_FORMAT_INT8) {
    s.upper = rows_at(b, first, rows);
    s.lower = s.upper + 2 * rows * LINE;
    s.upper_step = s.lower_step = rows * LINE;
    s.row_scales = s.upper + 2 * EPC_GROUP * rows;
    s.row_scales_step = (2 * EPC_GROUP + 8) * rows;
    s.left = weights + 4 * b->stride + LINE * vector;
    s.right = s.left + beside * LINE;
    s.stride = b->stride * 4;
    s.step = TILE_ROWS * s.stride;
    s.scales = (const float *)weights + 16 * vector;
    s.scales_step = epc_group_bytes(format, b->stride);
    return s;
  }
  const size_t above = rows < TILE_ROWS ? rows : TILE_ROWS;
  const bool is_tall = rows > TILE_ROWS;
  s.upper = rows_at(b, first, above);
  s.lower = is_tall ? rows_at(b, first + TILE_ROWS, rows - TILE_ROWS) : s.upper;
  s.upper_step = above * LINE;
  s.lower_step = (is_tall ? rows - TILE_ROWS : above) * LINE;
  if (format == EPC_FORMAT_BF16) {
    s.left = weights + LINE * vector;
    s.right = s.left + beside * LINE;
    s.stride = b->stride * 4;
    s.step = TILE_ROWS * s.stride;
  } else {
    s.left = (const char *)expanded + vector * TILE_BYTES;
    s.right = s.left + beside * TILE_BYTES;
    s.stride = LINE;
    s.step = b->vectors * TILE_BYTES;
    s.scales = (const float *)weights + 16 * vector;
    s.scales_step = epc_group_bytes(format, b->stride);
  }
  return s;
}

INLINED void multiply_squares(epc_format format, const epc_block *b, const uint8_t *expanded) {
  const size_t side = format == EPC_FORMAT_INT8 ? TILE_ROWS : SIDE;
  const size_t inputs = format == EPC_FORMAT_INT8 ? 2 * TILE_INPUTS : TILE_INPUTS;
  const size_t steps =
      (b->rows + side - 1) / side * ((b->vectors + 1) / 2) * (b->inputs / inputs);
  const size_t lines = (b->next_lines + steps - 1) / steps;
  const char *next = b->next;
  size_t height = 0;
  for (size_t r = 0; r < b->rows; r += side) {
    const size_t rows = b->rows - r < side ? b->rows - r : side;
    // Setting the tiles up takes as long as some products: only where rows are fewer.
    if (rows != height) {
      const size_t upper = rows < TILE_ROWS ? rows : TILE_ROWS;
      configure(upper, rows > TILE_ROWS ? rows - TILE_ROWS : upper);
      height = rows;
    }
    for (size_t v = 0; v < b->vectors; v += 2) {
      square s = square_at(format, b, r, rows, v, expanded);
      s.next = next;
      s.lines = lines;
      next += b->inputs / inputs * lines * LINE;
      multiply_square(format == EPC_FORMAT_INT8  ? DIGITS
                      : format == EPC_FORMAT_FP8 ? SCALED
                                                 : PLAIN,
                      &s);
    }
  }
}

/// A block of inputs as tiles of bf16, which then meet all rows.
INLINED void multiply_expanded(epc_format format, const epc_block *b) {
  _Alignas(64) uint8_t expanded[EPC_BLOCK_BF16 / TILE_INPUTS * (EPC_PANEL / 16) * TILE_BYTES];
  uint8_t *tile = expanded;
  for (size_t k = 0; k < b->inputs; k += TILE_INPUTS) {
    for (size_t v = 0; v < b->vectors; v++) {
      expand_tile(format, b, k, v, tile);
      tile += TILE_BYTES;
    }
  }
  multiply_squares(format, b, expanded);
}

TILES void epc_multiply_tiles_many(epc_format format, const epc_block *b) {
  switch (format) {
    case EPC_FORMAT_F32: break;
    case EPC_FORMAT_BF16: multiply_squares(EPC_FORMAT_BF16, b, NULL); break;
    case EPC_FORMAT_INT8: multiply_squares(EPC_FORMAT_INT8, b, NULL); break;
    case EPC_FORMAT_FP8: multiply_expanded(EPC_FORMAT_FP8, b); break;
    case EPC_FORMAT_MXFP4: multiply_expanded(EPC_FORMAT_MXFP4, b); break;
  }
  // Others may read streamed results as soon as they hear of them.
  if (b->is_streamed) _mm_sfence();
  _tile_release();
}
#endif
