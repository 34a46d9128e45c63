// Packing straight from what a checkpoint holds. Rows become words of 32 bits as a format has them, 16
// rows at a time, and the words are turned so that those of 16 outputs lie side by side.
#include "epc_encoded.h"

#include <math.h>
#include <string.h>

#include "blocks.h"
#include "formats.h"

/// Inputs that are turned at a time: what they become stays in the first-level cache.
enum { CHUNK = 256 };

/// Words of a group: its scale and its elements.
static size_t group_words(epc_format format) {
  return 1 + EPC_GROUP / (format == EPC_FORMAT_MXFP4 ? 8 : 4);
}

/// Words that so many inputs of an output take, whole groups where there are some.
static size_t words_of(epc_format format, size_t inputs) {
  if (format == EPC_FORMAT_F32) return inputs;
  if (format == EPC_FORMAT_BF16) return inputs / 2;
  return inputs / EPC_GROUP * group_words(format);
}

// MARK: Turning

typedef uint32_t four_words __attribute__((vector_size(16), aligned(1), may_alias));

/// to[w * stride + lane] = from[lane][w] for 16 lanes.
static void turn(const uint8_t *const from[EPC_LANES], size_t words, uint32_t *to, size_t stride) {
  size_t w = 0;
  for (; w + 4 <= words; w += 4) {
    for (size_t lane = 0; lane < EPC_LANES; lane += 4) {
      const four_words a = *(const four_words *)(from[lane] + 4 * w);
      const four_words b = *(const four_words *)(from[lane + 1] + 4 * w);
      const four_words c = *(const four_words *)(from[lane + 2] + 4 * w);
      const four_words d = *(const four_words *)(from[lane + 3] + 4 * w);
      const four_words ab = __builtin_shufflevector(a, b, 0, 4, 1, 5);
      const four_words cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
      const four_words ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
      const four_words cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
      uint32_t *at = to + w * stride + lane;
      *(four_words *)at = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
      *(four_words *)(at + stride) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
      *(four_words *)(at + 2 * stride) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
      *(four_words *)(at + 3 * stride) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
    }
  }
  for (; w < words; w++) {
    for (size_t lane = 0; lane < EPC_LANES; lane++) {
      memcpy(to + w * stride + lane, from[lane] + 4 * w, 4);
    }
  }
}

// MARK: Reals

static float real_of_f16(uint16_t code) {
  const uint32_t sign = (uint32_t)(code & 0x8000) << 16;
  const uint32_t exponent = code >> 10 & 0x1f;
  const uint32_t mantissa = code & 0x3ff;
  // Subnormal numbers go through an integer, so that flushing them to zero does not change them.
  if (exponent == 0) return epc_real_of(sign | epc_bits_of((float)mantissa * 0x1p-24f));
  const uint32_t high = exponent == 31 ? 0x7f800000 : (exponent + 112) << 23;
  return epc_real_of(sign | high | mantissa << 13);
}

static float real_of_fp8(uint8_t code) {
  const uint32_t sign = (uint32_t)(code & 0x80) << 24;
  const uint32_t exponent = code >> 3 & 0xf;
  const uint32_t mantissa = code & 7;
  if ((code & 0x7f) == 0x7f) return NAN;
  if (exponent == 0) return epc_real_of(sign | epc_bits_of((float)mantissa * 0x1p-9f));
  return epc_real_of(sign | (exponent + 120) << 23 | mantissa << 20);
}

/// Elements `k` up to `k + count` of a row as reals. Returns whether all are finite.
static bool read_reals(const epc_encoded *encoded, size_t row, size_t k, size_t count, float *x) {
  const uint8_t *from = (const uint8_t *)encoded->rows + row * encoded->stride;
  switch (encoded->encoding) {
  case EPC_ENCODED_F32: memcpy(x, from + 4 * k, 4 * count); break;
  case EPC_ENCODED_BF16:
    for (size_t i = 0; i < count; i++) {
      uint16_t code;
      memcpy(&code, from + 2 * (k + i), 2);
      x[i] = epc_real_of((uint32_t)code << 16);
    }
    break;
  case EPC_ENCODED_F16:
    for (size_t i = 0; i < count; i++) {
      uint16_t code;
      memcpy(&code, from + 2 * (k + i), 2);
      x[i] = real_of_f16(code);
    }
    break;
  case EPC_ENCODED_FP8: {
    const float *scales = encoded->scales + (encoded->first_row + row) / encoded->block_rows * encoded->scale_stride;
    for (size_t i = 0; i < count; i++) {
      x[i] = real_of_fp8(from[k + i]) *
             scales[(encoded->first_column + k + i) / encoded->block_columns];
    }
    break;
  }
  }
  uint32_t broken = 0;
  for (size_t i = 0; i < count; i++) broken |= (epc_bits_of(x[i]) & 0x7f800000) == 0x7f800000;
  return broken == 0;
}

// MARK: Words

static float most_of(const float *x, size_t count) {
  uint32_t most = 0;
  for (size_t i = 0; i < count; i++) {
    const uint32_t size = epc_bits_of(x[i]) & 0x7fffffff;
    most = size > most ? size : most;
  }
  return epc_real_of(most);
}

static uint32_t fp4_of(float real) {
  const float size = fabsf(real);
  // Ties go to the even code: upwards past the odd ones.
  const uint32_t code = (uint32_t)(size > 0.25f) + (size >= 0.75f) + (size > 1.25f) +
                        (size >= 1.75f) + (size > 2.5f) + (size >= 3.5f) + (size > 5);
  return real < 0 ? code | 8 : code;
}

/// The numbers of a word of EPC_FORMAT_FP8 as kernels want them.
static uint32_t order_fp8(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return c | a << 8 | d << 16 | b << 24;
}

static void mxfp4_group(const float *x, uint32_t *words) {
  words[0] = 0;
  for (size_t m = 0; m < EPC_GROUP / EPC_MICRO_GROUP; m++) {
    const float *part = x + m * EPC_MICRO_GROUP;
    const int exponent = (int)(epc_bits_of(most_of(part, EPC_MICRO_GROUP)) >> 23) - 129;
    const int code = exponent < -125 ? 2 : exponent > 125 ? 252 : exponent + 127;
    words[0] |= (uint32_t)code << (8 * m);
    const float factor = epc_real_of((uint32_t)(254 - code) << 23);
    uint32_t codes[EPC_MICRO_GROUP];
    for (size_t k = 0; k < EPC_MICRO_GROUP; k++) codes[k] = fp4_of(part[k] * factor);
    for (size_t w = 0; w < EPC_MICRO_GROUP / 8; w++) {
      const uint32_t *c = codes + 8 * w;
      words[1 + m * EPC_MICRO_GROUP / 8 + w] = c[0] | c[2] << 4 | c[4] << 8 | c[6] << 12 |
                                              c[1] << 16 | c[3] << 20 | c[5] << 24 | c[7] << 28;
    }
  }
}

static void byte_group(epc_format format, const float *x, uint32_t *words) {
  const float most = most_of(x, EPC_GROUP);
  float scale = most / (format == EPC_FORMAT_INT8 ? 127 : 448);
  if (!(scale >= 0x1p-100f)) scale = 0x1p-100f;
  words[0] = epc_bits_of(scale * epc_half_factor(format));
  uint32_t codes[EPC_GROUP];
  if (format == EPC_FORMAT_INT8) {
    // Adding 1.5 * 2^23 leaves the nearest whole number, ties to even, in the lowest bits.
    for (size_t k = 0; k < EPC_GROUP; k++) {
      codes[k] = (epc_bits_of(x[k] / scale + 0x1.8p23f) + 128) & 0xff;
    }
    for (size_t w = 0; w < EPC_GROUP / 4; w++) {
      const uint32_t *c = codes + 4 * w;
      words[1 + w] = c[0] | c[1] << 8 | c[2] << 16 | c[3] << 24;
    }
    return;
  }
  for (size_t k = 0; k < EPC_GROUP; k++) codes[k] = epc_to_fp8(x[k] / scale);
  for (size_t w = 0; w < EPC_GROUP / 4; w++) {
    const uint32_t *c = codes + 4 * w;
    words[1 + w] = order_fp8(c[0], c[1], c[2], c[3]);
  }
}

/// The words of `count` reals, a multiple of what a format pads to.
static void make_words(epc_format format, const float *x, size_t count, uint32_t *words) {
  switch (format) {
  case EPC_FORMAT_F32: memcpy(words, x, 4 * count); return;
  case EPC_FORMAT_BF16:
    for (size_t k = 0; k < count; k += 2) {
      words[k / 2] = (uint32_t)epc_to_bf16(x[k]) | (uint32_t)epc_to_bf16(x[k + 1]) << 16;
    }
    return;
  case EPC_FORMAT_INT8:
  case EPC_FORMAT_FP8:
  case EPC_FORMAT_MXFP4: break;
  }
  for (size_t k = 0; k < count; k += EPC_GROUP) {
    if (format == EPC_FORMAT_MXFP4) {
      mxfp4_group(x + k, words);
    } else {
      byte_group(format, x + k, words);
    }
    words += group_words(format);
  }
}

// MARK: Codes that stay

/// Whether the codes of 8-bit floats and their scales can stay as they are: each group has one scale.
static bool keeps_codes(epc_format format, const epc_encoded *encoded) {
  return format == EPC_FORMAT_FP8 && encoded->encoding == EPC_ENCODED_FP8 &&
         encoded->block_columns % EPC_GROUP == 0 && encoded->first_column % EPC_GROUP == 0;
}

/// The words of one group of codes, `count` of them there. Returns 1, or 0 where the scale does not
/// allow that, or -1 where something is not finite.
static int keep_group(const uint8_t *codes, size_t count, float scale, uint32_t *words) {
  if (!isfinite(scale)) return -1;
  if (!(scale >= 0x1p-100f && scale < 0x1p67f)) return 0;
  words[0] = epc_bits_of(scale * epc_half_factor(EPC_FORMAT_FP8));
  uint8_t kept[EPC_GROUP] = {0};
  uint8_t broken = 0;
  for (size_t k = 0; k < count; k++) {
    const uint8_t code = codes[k];
    const uint8_t size = code & 0x7f;
    broken |= size == 0x7f;
    // There are no subnormal numbers: up to half the smallest number is 0, the others are that.
    kept[k] = size >= 8 ? code : size <= 4 ? 0 : (code & 0x80) | 8;
  }
  if (broken) return -1;
  for (size_t w = 0; w < EPC_GROUP / 4; w++) {
    const uint8_t *c = kept + 4 * w;
    words[1 + w] = order_fp8(c[0], c[1], c[2], c[3]);
  }
  return 1;
}

// MARK: Packing

/// What becomes of inputs `k` up to `k + count` of a row, of which `there` exist.
static bool row_words(epc_format format, const epc_encoded *encoded, size_t row, size_t k,
                      size_t count, size_t there, uint32_t *words) {
  float x[CHUNK];
  if (keeps_codes(format, encoded)) {
    const uint8_t *codes = (const uint8_t *)encoded->rows + row * encoded->stride + k;
    const float *scales = encoded->scales + (encoded->first_row + row) / encoded->block_rows * encoded->scale_stride;
    for (size_t g = 0; g < count; g += EPC_GROUP) {
      const size_t left = there > g ? there - g : 0;
      const size_t part = left < EPC_GROUP ? left : EPC_GROUP;
      uint32_t *to = words + g / EPC_GROUP * group_words(format);
      const float scale = scales[(encoded->first_column + k + g) / encoded->block_columns];
      const int result = keep_group(codes + g, part, scale, to);
      if (result < 0) return false;
      if (result > 0) continue;
      memset(x, 0, EPC_GROUP * sizeof *x);
      if (!read_reals(encoded, row, k + g, part, x)) return false;
      make_words(format, x, EPC_GROUP, to);
    }
    return true;
  }
  memset(x + there, 0, (count - there) * sizeof *x);
  if (!read_reals(encoded, row, k, there, x)) return false;
  make_words(format, x, count, words);
  return true;
}

/// Whether all pairs of bf16 in the words of a row are finite.
static bool pairs_are_finite(const uint8_t *from, size_t words) {
  uint16_t broken = 0;
  for (size_t i = 0; i < 2 * words; i++) {
    uint16_t code;
    memcpy(&code, from + 2 * i, 2);
    broken |= (uint16_t)((code & 0x7f80) == 0x7f80);
  }
  return broken == 0;
}

static bool reals_are_finite(const uint8_t *from, size_t words) {
  uint32_t broken = 0;
  for (size_t i = 0; i < words; i++) {
    uint32_t bits;
    memcpy(&bits, from + 4 * i, 4);
    broken |= (bits & 0x7f800000) == 0x7f800000;
  }
  return broken == 0;
}

/// Packs 16 outputs of a panel from row `row` of what is encoded on, of which `rows` exist.
static bool pack_lanes(epc_format format, const epc_encoded *encoded, size_t row, size_t rows,
                       size_t in, size_t width, uint32_t *panel) {
  const size_t padded = epc_padded_inputs(format, in);
  const bool is_as_stored =
      (format == EPC_FORMAT_BF16 && encoded->encoding == EPC_ENCODED_BF16) ||
      (format == EPC_FORMAT_F32 && encoded->encoding == EPC_ENCODED_F32);
  uint32_t words[EPC_LANES][CHUNK];
  const uint8_t *from[EPC_LANES];
  for (size_t k = 0; k < padded; k += CHUNK) {
    const size_t count = padded - k < CHUNK ? padded - k : CHUNK;
    const size_t there = in - k < count ? in - k : count;
    const size_t width_in_words = words_of(format, count);
    const bool is_whole = is_as_stored && there == count;
    for (size_t lane = 0; lane < EPC_LANES; lane++) {
      from[lane] = (const uint8_t *)words[lane];
      if (lane >= rows) {
        memset(words[lane], 0, 4 * width_in_words);
      } else if (is_whole) {
        from[lane] = (const uint8_t *)encoded->rows + (row + lane) * encoded->stride +
                     k * (format == EPC_FORMAT_F32 ? 4 : 2);
        if (!(format == EPC_FORMAT_F32 ? reals_are_finite(from[lane], width_in_words)
                                       : pairs_are_finite(from[lane], width_in_words))) {
          return false;
        }
      } else if (!row_words(format, encoded, row + lane, k, count, there, words[lane])) {
        return false;
      }
    }
    uint32_t *to = panel + words_of(format, k) * width;
    turn(from, width_in_words, to, width);
  }
  return true;
}

/// Scales of EPC_FORMAT_MXFP4 lie as bytes, those of all outputs for the same inputs together.
static void spread_scales(size_t in, size_t width, uint32_t *panel) {
  uint32_t scales[EPC_PANEL];
  const size_t groups = epc_padded_inputs(EPC_FORMAT_MXFP4, in) / EPC_GROUP;
  for (size_t g = 0; g < groups; g++) {
    uint32_t *group = panel + g * group_words(EPC_FORMAT_MXFP4) * width;
    memcpy(scales, group, 4 * width);
    uint8_t *to = (uint8_t *)group;
    for (size_t m = 0; m < EPC_GROUP / EPC_MICRO_GROUP; m++) {
      for (size_t lane = 0; lane < width; lane++) {
        to[m * width + lane] = (uint8_t)(scales[lane] >> (8 * m));
      }
    }
  }
}

size_t epc_panel_outputs(void) { return EPC_PANEL; }

bool epc_pack_encoded(epc_format format, const epc_encoded *encoded, size_t out, size_t in,
                      size_t first, size_t end, void *packed) {
  for (size_t p = first; p < end; p++) {
    const size_t width = epc_panel_width(out, p);
    uint32_t *panel = (uint32_t *)((char *)packed + epc_panel_offset(format, in, p));
    for (size_t lane = 0; lane < width; lane += EPC_LANES) {
      const size_t output = p * EPC_PANEL + lane;
      const size_t rows = out - output < EPC_LANES ? out - output : EPC_LANES;
      const size_t row = output - first * EPC_PANEL;
      if (!pack_lanes(format, encoded, row, rows, in, width, panel + lane)) return false;
    }
    if (format == EPC_FORMAT_MXFP4) spread_scales(in, width, panel);
  }
  return true;
}

bool epc_round_encoded(const epc_encoded *encoded, size_t rows, size_t columns, uint16_t *y) {
  for (size_t r = 0; r < rows; r++) {
    for (size_t k = 0; k < columns; k += CHUNK) {
      const size_t count = columns - k < CHUNK ? columns - k : CHUNK;
      float x[CHUNK];
      if (!read_reals(encoded, r, k, count, x)) return false;
      for (size_t i = 0; i < count; i++) y[r * columns + k + i] = epc_to_bf16(x[i]);
    }
  }
  return true;
}
