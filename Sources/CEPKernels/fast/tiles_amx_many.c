// Products of many rows on the tile registers of AMX: 32 rows by 32 outputs at a time.
//
// The weights of 32 outputs and of a strip of inputs are made tiles that stay in the first-level cache while
// all rows meet them; rows come from the second-level cache and pass the first one by. Sums are kept in
// small squares between the tiles and the result, whose rows may lie so far apart that they drive each
// other out of the first-level cache.
#if defined(__x86_64__)
#include "tiles_amx_square.h"

enum {
  /// Bytes of a strip's tiles.
  STRIP_BYTES = 1 << 15,
  /// Rows that are worth a copy of bf16, which could be multiplied where it lies.
  COPIED_ROWS = 96,
  /// Rows that meet a strip.
  MOST_ROWS = 288,
};

/// Inputs of a strip of a block. Squares whose sums leave the tiles with every group want some of the cache
/// too. Bytes that are multiplied where they lie are read twice, the second time from the cache.
static inline size_t strip_inputs(epc_format format, const epc_block *b, bool has_tiles) {
  if (!has_tiles) return format == EPC_FORMAT_INT8 ? EPC_BLOCK_BF16 : b->inputs;
  return format == EPC_FORMAT_FP8 ? 256 : 512;
}

/// The square of rows from `first` on and of one or two vectors of outputs, of a strip that begins with
/// input `k`; of weights where they lie if there are no `tiles`.
INLINED square square_at(epc_format format, const epc_block *b, size_t first, size_t rows,
                         size_t vector, size_t k, size_t inputs, uint8_t *tiles) {
  const bool is_digits = format == EPC_FORMAT_INT8;
  square s = {
      .block = b,
      .rows = rows,
      .outputs = b->vectors - vector > 1 ? 32 : 16,
      .input = k,
      .vector = vector,
      .steps = inputs / tile_inputs(format),
      .tiles = tiles,
      .is_new = k == 0,
      .is_last = k + inputs == b->inputs,
      .result = b->sums + first * b->sums_stride + 16 * vector,
  };
  const bool has_whole_lines = ((uintptr_t)s.result | b->sums_stride * sizeof(float)) % LINE == 0;
  s.is_streamed = b->is_streamed && has_whole_lines && s.outputs > 16;
  const size_t beside = s.outputs > 16 ? 1 : 0;
  if (tiles != NULL) {
    s.left = (const char *)tiles;
    s.right = s.left + beside * TILE_BYTES;
    s.stride = LINE;
    s.step = 2 * TILE_BYTES;
  } else {
    s.left = (const char *)b->weights + epc_input_offset(format, k, b->stride) + LINE * vector +
             (is_digits ? 4 * b->stride : 0);
    s.right = s.left + beside * LINE;
    s.stride = b->stride * 4;
    s.step = TILE_ROWS * s.stride;
    s.skip = is_digits ? 4 * b->stride : 0;
  }
  const size_t group = k / EPC_GROUP;
  if (format == EPC_FORMAT_FP8 || is_digits) {
    s.scales_step = epc_group_bytes(format, b->stride);
    s.scales =
        (const float *)((const char *)b->weights + group * s.scales_step + LINE * vector);
  }
  if (is_digits) {
    s.row_scales_step = (2 * EPC_GROUP + 8) * rows;
    s.upper = rows_at(b, first, rows) + group * s.row_scales_step;
    s.lower = s.upper + 2 * rows * LINE;
    s.upper_step = s.lower_step = rows * LINE;
    s.row_skip = s.row_scales_step - 2 * rows * LINE;
    s.row_scales = s.upper + 2 * EPC_GROUP * rows;
    return s;
  }
  const size_t above = rows < TILE_ROWS ? rows : TILE_ROWS;
  const bool is_tall = rows > TILE_ROWS;
  s.upper_step = above * LINE;
  s.lower_step = (is_tall ? rows - TILE_ROWS : above) * LINE;
  s.upper = rows_at(b, first, above) + k / TILE_INPUTS * s.upper_step;
  s.lower = is_tall ? rows_at(b, first + TILE_ROWS, rows - TILE_ROWS) + k / TILE_INPUTS * s.lower_step
                    : s.upper;
  return s;
}

/// Rows `top` to `end` - 1, strip by strip.
INLINED void multiply_rows(epc_format format, const epc_block *b, size_t top, size_t end,
                           const char *next, size_t lines) {
  _Alignas(64) uint8_t tiles[STRIP_BYTES];
  _Alignas(64) float sums[MOST_ROWS * EPC_PANEL];
  const size_t side = format == EPC_FORMAT_INT8 ? TILE_ROWS : SIDE;
  const bool has_tiles = end - top > (format == EPC_FORMAT_INT8 ? side : 0) &&
                         (format != EPC_FORMAT_BF16 || end - top >= COPIED_ROWS);
  const size_t strip = strip_inputs(format, b, has_tiles);
  const size_t squares = (end - top + side - 1) / side;
  const size_t pairs = (b->vectors + 1) / 2;
  size_t height = 0;
  size_t turn = 0;
  for (size_t k = 0; k < b->inputs; k += strip) {
    const size_t inputs = b->inputs - k < strip ? b->inputs - k : strip;
    for (size_t n = 0; n < squares * pairs; n++) {
      // Tiles are made once for all rows; the last rows, which may be fewer, come first every other time.
      const size_t pair = has_tiles ? n / squares : n % pairs;
      const size_t place = has_tiles ? n % squares : n / pairs;
      const size_t number = has_tiles && turn % 2 == 1 ? squares - 1 - place : place;
      if (place == squares - 1) turn++;
      const size_t first = top + number * side;
      const size_t rows = end - first < side ? end - first : side;
      // Setting the tiles up takes as long as some products: only where rows are fewer.
      if (rows != height) {
        const size_t upper = rows < TILE_ROWS ? rows : TILE_ROWS;
        configure(upper, rows > TILE_ROWS ? rows - TILE_ROWS : upper);
        height = rows;
      }
      square s = square_at(format, b, first, rows, 2 * pair, k, inputs, has_tiles ? tiles : NULL);
      s.sums = sums + (pair * squares + number) * side * SIDE;
      s.next = next;
      s.lines = lines;
      next += s.steps * lines * LINE;
      if (has_tiles && place == 0) {
        multiply_square(format, true, &s);
      } else {
        multiply_square(format, false, &s);
      }
    }
  }
}

INLINED void multiply_squares(epc_format format, const epc_block *b) {
  const size_t side = format == EPC_FORMAT_INT8 ? TILE_ROWS : SIDE;
  const size_t steps_of_rows = (b->vectors + 1) / 2 * (b->inputs / tile_inputs(format));
  const size_t steps = (b->rows + side - 1) / side * steps_of_rows;
  const size_t lines = (b->next_lines + steps - 1) / steps;
  const char *next = b->next;
  for (size_t r = 0; r < b->rows; r += MOST_ROWS) {
    const size_t end = b->rows - r < MOST_ROWS ? b->rows : r + MOST_ROWS;
    multiply_rows(format, b, r, end, next, lines);
    next += MOST_ROWS / side * steps_of_rows * lines * LINE;
  }
}

TILES void epc_multiply_tiles_many(epc_format format, const epc_block *b) {
  switch (format) {
    case EPC_FORMAT_F32: break;
    case EPC_FORMAT_BF16: multiply_squares(EPC_FORMAT_BF16, b); break;
    case EPC_FORMAT_INT8: multiply_squares(EPC_FORMAT_INT8, b); break;
    case EPC_FORMAT_FP8: multiply_squares(EPC_FORMAT_FP8, b); break;
    case EPC_FORMAT_MXFP4: multiply_squares(EPC_FORMAT_MXFP4, b); break;
  }
  // Others may read streamed results as soon as they hear of them.
  if (b->is_streamed) _mm_sfence();
  _tile_release();
}
#endif
