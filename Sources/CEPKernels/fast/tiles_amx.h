// What the tile kernels share: shapes, how tile registers are set up, and how packed weights become
// tiles. Everything here is for EPC_LEVEL_AMX.
//
// A tile of weights is 16 words of inputs by 16 outputs, just as panels hold them: pairs of bf16, or
// fours of bytes. A tile of rows is up to 16 rows by 64 bytes.
#ifndef EPC_TILES_AMX_H
#define EPC_TILES_AMX_H

#include <immintrin.h>
#include <string.h>

#include "blocks.h"

#define TILES \
  __attribute__((target("amx-tile,amx-bf16,amx-int8,avx512f,avx512bw,avx512vl,avx512vbmi,avx512bf16")))
#define INLINED TILES static inline __attribute__((always_inline))

enum {
  TILE_ROWS = 16,
  TILE_INPUTS = 32,
  LINE = 64,
  TILE_BYTES = TILE_ROWS * LINE,
};

typedef struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t columns[16];
  uint8_t rows[16];
} config;

/// Sums in tiles 0 to 3, rows in 4 and 5, weights in 6 and 7.
TILES static inline void configure(size_t upper, size_t lower) {
  _Alignas(64) config c = {.palette = 1};
  for (int i = 0; i < 8; i++) c.columns[i] = LINE;
  c.rows[0] = c.rows[1] = c.rows[4] = (uint8_t)upper;
  c.rows[2] = c.rows[3] = c.rows[5] = (uint8_t)lower;
  c.rows[6] = c.rows[7] = TILE_ROWS;
  _tile_loadconfig(&c);
}

/// All four tiles of sums have the same rows: 16 outputs each.
TILES static inline void configure_wide(size_t rows) {
  _Alignas(64) config c = {.palette = 1};
  for (int i = 0; i < 8; i++) c.columns[i] = LINE;
  for (int i = 0; i < 5; i++) c.rows[i] = (uint8_t)rows;
  c.rows[5] = c.rows[6] = c.rows[7] = TILE_ROWS;
  _tile_loadconfig(&c);
}

/// The tile of rows `first` and following, a multiple of 16, at the block's first input.
static inline const char *rows_at(const epc_block *b, size_t first, size_t rows) {
  return b->prepared + first * b->row_bytes + b->offset * rows;
}

/// 32 inputs of 16 outputs of EPC_FORMAT_FP8 as a tile, 2^-120 of what they stand for.
INLINED void expand_fp8_tile(const uint8_t *fours, size_t stride, size_t ahead, uint8_t *tile) {
  // Two numbers of a word are those of one pair, so that a shift by 4 makes both bf16 at once; what it makes
  // of signs is in bits that are not kept. Bytes are swapped by no shift: shifts have one port alone.
  const __m512i swap = _mm512_broadcast_i32x4(
      _mm_setr_epi8(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
  const __m512i kept = _mm512_set1_epi16((short)0x87f0);
  for (size_t i = 0; i < TILE_INPUTS / 4; i++) {
    const uint8_t *at = fours + i * stride;
    __builtin_prefetch(at + ahead, 0, 3);
    const __m512i four = _mm512_loadu_si512(at);
    const __m512i other = _mm512_shuffle_epi8(four, swap);
    _mm512_store_si512(tile + 2 * i * LINE, _mm512_and_si512(_mm512_srai_epi16(four, 4), kept));
    _mm512_store_si512(tile + (2 * i + 1) * LINE,
                       _mm512_and_si512(_mm512_srai_epi16(other, 4), kept));
  }
}

/// 32 inputs of 16 outputs of EPC_FORMAT_MXFP4 as a tile, times their scale.
INLINED void expand_mxfp4_tile(const uint8_t *eights, size_t stride, size_t ahead,
                               const uint8_t *codes, uint8_t *tile) {
  // 2^125 of what they stand for, so that a scale, a power of two, is taken off the exponent: zero stays
  // zero as there is nothing below it. Bit 4 of an index is the next number's: the table is there twice.
  static const uint16_t large[32] = {
      0, 0x7d80, 0x7e00, 0x7e40, 0x7e80, 0x7ec0, 0x7f00, 0x7f40, 0, 0xfd80, 0xfe00,
      0xfe40, 0xfe80, 0xfec0, 0xff00, 0xff40, 0, 0x7d80, 0x7e00, 0x7e40, 0x7e80, 0x7ec0,
      0x7f00, 0x7f40, 0, 0xfd80, 0xfe00, 0xfe40, 0xfe80, 0xfec0, 0xff00, 0xff40};
  const __m512i table = _mm512_loadu_si512(large);
  // A scale's code as the upper bytes of both halves of an output's word.
  const __m512i upper = _mm512_set_epi32(
      0x0f800f80, 0x0e800e80, 0x0d800d80, 0x0c800c80, 0x0b800b80, 0x0a800a80, 0x09800980, 0x08800880,
      0x07800780, 0x06800680, 0x05800580, 0x04800480, 0x03800380, 0x02800280, 0x01800180, 0x00800080);
  const __m512i code =
      _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_loadu_si128((const void *)codes)), upper);
  const __m512i off = _mm512_sub_epi16(_mm512_set1_epi16(252 << 7), _mm512_srli_epi16(code, 1));
  // Where the first number of each half word begins in 64 bits.
  const __m512i begin = _mm512_set1_epi64(0x0030002000100000);
  for (size_t i = 0; i < TILE_INPUTS / 8; i++) {
    const uint8_t *at = eights + i * stride;
    __builtin_prefetch(at + ahead, 0, 3);
    const __m512i eight = _mm512_loadu_si512(at);
    for (size_t p = 0; p < 4; p++) {
      // No shift, which would take the port that the table and subtractions wait for.
      const __m512i from = _mm512_add_epi16(begin, _mm512_set1_epi16((short)(4 * p)));
      const __m512i index = p == 0 ? eight : _mm512_multishift_epi64_epi8(from, eight);
      _mm512_store_si512(tile + (4 * i + p) * LINE,
                         _mm512_subs_epu16(_mm512_permutexvar_epi16(index, table), off));
    }
  }
}

/// The tile of weights of 16 outputs from `vector` on and of 32 inputs from `k` on, of a block whose
/// weights begin with a group.
INLINED void expand_tile(epc_format format, const epc_block *b, size_t k, size_t vector,
                         uint8_t *tile) {
  const size_t width = b->stride;
  const size_t bytes = epc_group_bytes(format, width);
  const uint8_t *group = (const uint8_t *)b->weights + k / EPC_GROUP * bytes;
  const size_t step = k % EPC_GROUP / TILE_INPUTS;
  // About 8 KiB.
  const size_t ahead = format == EPC_FORMAT_FP8 ? bytes : 2 * bytes;
  if (step == 0) __builtin_prefetch(group + ahead + LINE * vector, 0, 3);
  if (format == EPC_FORMAT_FP8) {
    const uint8_t *fours = group + 4 * width + step * (TILE_INPUTS / 4) * 4 * width;
    expand_fp8_tile(fours + LINE * vector, 4 * width, ahead, tile);
  } else {
    const uint8_t *eights = group + 4 * width + step * (TILE_INPUTS / 8) * 4 * width;
    expand_mxfp4_tile(eights + LINE * vector, 4 * width, ahead,
                      group + step * width + 16 * vector, tile);
  }
}

/// Asks for a few lines; between loads of tiles, so that requests go out evenly.
#define ASK(next, lines)                                                               \
  for (size_t l = 0; l < (lines); l++) __builtin_prefetch((next) + LINE * l, 0, 3);    \
  next += LINE * (lines)

/// Up to 16 rows and a panel of 64 outputs, in whole groups; each weight is read once.
TILES void epc_multiply_tiles_wide(epc_format format, const epc_block *block);

/// Any rows of up to 64 outputs.
TILES void epc_multiply_tiles_many(epc_format format, const epc_block *block);

#endif
