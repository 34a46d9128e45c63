// Products of few rows on the tile registers of AMX: up to 16 rows and 64 outputs at once, weights read
// from one end to the other, so that they come as fast as memory gives them.
#if defined(__x86_64__)
#include "tiles_amx.h"

/// bf16, multiplied where it lies.
TILES static void multiply_bf16(const epc_block *b, float *sums, size_t bytes) {
  const char *x = rows_at(b, 0, b->rows);
  const char *w = b->weights;
  const char *next = b->next;
  const size_t w_bytes = EPC_PANEL * 4;
  const size_t loads = b->inputs / TILE_INPUTS * 4;
  const size_t lines = (b->next_lines + loads - 1) / loads;
  if (b->is_first) {
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
    x += b->rows * LINE;
    w += TILE_INPUTS / 2 * w_bytes;
  }
  _tile_stored(0, sums, bytes);
  _tile_stored(1, sums + 16, bytes);
  _tile_stored(2, sums + 32, bytes);
  _tile_stored(3, sums + 48, bytes);
}

/// Multiplies 32 inputs that have been made tiles, and makes tiles of the 32 at `next` in between, a tile
/// at a time, if there are any.
INLINED void multiply_step(epc_format format, const epc_block *b, const char *x, const uint8_t *tiles,
                           size_t next, uint8_t *next_tiles) {
  const bool has_next = next < b->inputs;
  _tile_loadd(4, x, LINE);
  if (has_next) expand_tile(format, b, next, 0, next_tiles);
  _tile_loadd(5, tiles, LINE);
  _tile_dpbf16ps(0, 4, 5);
  if (has_next) expand_tile(format, b, next, 1, next_tiles + TILE_BYTES);
  _tile_loadd(6, tiles + TILE_BYTES, LINE);
  _tile_dpbf16ps(1, 4, 6);
  if (has_next) expand_tile(format, b, next, 2, next_tiles + 2 * TILE_BYTES);
  _tile_loadd(7, tiles + 2 * TILE_BYTES, LINE);
  _tile_dpbf16ps(2, 4, 7);
  if (has_next) expand_tile(format, b, next, 3, next_tiles + 3 * TILE_BYTES);
  _tile_loadd(5, tiles + 3 * TILE_BYTES, LINE);
  _tile_dpbf16ps(3, 4, 5);
}

/// Adds the sums of the group of input `k`, each times its scale.
INLINED void add_scaled(epc_format format, const epc_block *b, size_t k, const float *made,
                        float *all) {
  const char *group =
      (const char *)b->weights + k / EPC_GROUP * epc_group_bytes(format, EPC_PANEL);
  for (size_t v = 0; v < 4; v++) {
    const __m512 scale = _mm512_loadu_ps(group + LINE * v);
    for (size_t r = 0; r < b->rows; r++) {
      float *at = all + r * EPC_PANEL + 16 * v;
      const __m512 now = _mm512_load_ps(made + r * EPC_PANEL + 16 * v);
      _mm512_store_ps(at, _mm512_fmadd_ps(now, scale, _mm512_load_ps(at)));
    }
  }
}

/// While a step is multiplied the next is expanded, and while a group is, sums of the former one are scaled.
/// Scales of MXFP4 are in the weights.
INLINED void multiply_expanded(epc_format format, const epc_block *b) {
  const bool is_scaled = format == EPC_FORMAT_FP8;
  _Alignas(64) uint8_t tiles[2][4 * TILE_BYTES];
  _Alignas(64) float made[2][TILE_ROWS * EPC_PANEL];
  _Alignas(64) float all[TILE_ROWS * EPC_PANEL];
  const size_t bytes = EPC_PANEL * sizeof(float);
  const char *x = rows_at(b, 0, b->rows);
  const size_t together = is_scaled ? EPC_GROUP : b->inputs;
  for (size_t r = 0; r < b->rows; r++) {
    float *to = all + r * EPC_PANEL;
    if (b->is_first) {
      memset(to, 0, bytes);
    } else {
      memcpy(to, b->sums + r * b->sums_stride, bytes);
    }
  }
  if (!is_scaled) {
    _tile_loadd(0, all, bytes);
    _tile_loadd(1, all + 16, bytes);
    _tile_loadd(2, all + 32, bytes);
    _tile_loadd(3, all + 48, bytes);
  }
  for (size_t v = 0; v < 4; v++) expand_tile(format, b, 0, v, tiles[0] + v * TILE_BYTES);
  size_t parity = 0;
  for (size_t from = 0, step = 0; from < b->inputs; from += together, parity ^= 1) {
    if (is_scaled) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    for (size_t k = from; k < from + together; k += TILE_INPUTS, step ^= 1) {
      multiply_step(format, b, x, tiles[step], k + TILE_INPUTS, tiles[step ^ 1]);
      x += b->rows * LINE;
    }
    if (!is_scaled) continue;
    float *now = made[parity];
    _tile_stored(0, now, bytes);
    _tile_stored(1, now + 16, bytes);
    _tile_stored(2, now + 32, bytes);
    _tile_stored(3, now + 48, bytes);
    if (from > 0) add_scaled(format, b, from - together, made[parity ^ 1], all);
  }
  if (is_scaled) {
    add_scaled(format, b, b->inputs - together, made[parity ^ 1], all);
  } else {
    _tile_stored(0, all, bytes);
    _tile_stored(1, all + 16, bytes);
    _tile_stored(2, all + 32, bytes);
    _tile_stored(3, all + 48, bytes);
  }
  for (size_t r = 0; r < b->rows; r++) {
    memcpy(b->sums + r * b->sums_stride, all + r * EPC_PANEL, bytes);
  }
}

TILES void epc_multiply_tiles_wide(epc_format format, const epc_block *b) {
  configure_wide(b->rows);
  if (format == EPC_FORMAT_BF16) {
    multiply_bf16(b, b->sums, b->sums_stride * sizeof(float));
  } else if (format == EPC_FORMAT_FP8) {
    multiply_expanded(EPC_FORMAT_FP8, b);
  } else {
    multiply_expanded(EPC_FORMAT_MXFP4, b);
  }
  _tile_release();
}
#endif
