// Rows as kernels want them.
#include <math.h>
#include <string.h>

#include "blocks.h"
#include "formats.h"

size_t epc_padded_inputs(epc_format format, size_t in) {
  const size_t unit = format == EPC_FORMAT_F32 ? 1 : format == EPC_FORMAT_BF16 ? 32 : EPC_GROUP;
  return (in + unit - 1) / unit * unit;
}

size_t epc_scaled_inputs(epc_format format) {
  return format == EPC_FORMAT_MXFP4 ? EPC_MICRO_GROUP : EPC_GROUP;
}

size_t epc_prepared_bytes(epc_format format, size_t in) {
  const size_t padded = epc_padded_inputs(format, in);
  switch (format) {
    case EPC_FORMAT_F32: return 4 * padded;
    case EPC_FORMAT_BF16:
    case EPC_FORMAT_FP8: return 2 * padded;
    case EPC_FORMAT_INT8:
    case EPC_FORMAT_MXFP4: return 2 * padded + padded / epc_scaled_inputs(format) * 8;
  }
  return 0;
}

/// One group of a row as numbers of 16 bits, each in digits of 256 and of 1 from -128 to 127.
///
/// Weights are unsigned, `bias` more than what they stand for, so a sum of products is so many times
/// the sum of the numbers too large: the surplus. `order` says where in eight inputs those of two words
/// are.
static void split_group(const float *x, size_t count, int32_t bias, const uint8_t order[8],
                        size_t rows, uint32_t *high) {
  float most = 0;
  bool is_finite = true;
  for (size_t i = 0; i < count; i++) {
    most = fmaxf(most, fabsf(x[i]));
    is_finite = is_finite && isfinite(x[i]);
  }
  // Numbers too small for a scale count as zero; what is not finite makes the scale a NaN.
  const float unit = most / 32639;
  const float inverse = is_finite && isfinite(1 / unit) ? 1 / unit : 0;
  uint32_t *low = high + count / 4 * rows;
  int32_t sum = 0;
  for (size_t i = 0; i < count; i += 4) {
    uint32_t h = 0;
    uint32_t l = 0;
    for (size_t j = 0; j < 4; j++) {
      const int32_t number = (int32_t)rintf(x[i / 8 * 8 + order[i % 8 + j]] * inverse);
      const int32_t digit = (int32_t)(int8_t)(uint8_t)(number & 0xff);
      h |= (uint32_t)(uint8_t)((number - digit) / 256) << (8 * j);
      l |= (uint32_t)(uint8_t)digit << (8 * j);
      sum += number;
    }
    high[i / 4 * rows] = h;
    low[i / 4 * rows] = l;
  }
  low[count / 4 * rows] = epc_bits_of(is_finite ? unit : NAN);
  low[count / 4 * rows + rows] = (uint32_t)(bias * sum);
}

/// Row r of a block of `rows`, from a row of reals.
static void prepare_row(epc_format format, const float *x, size_t padded, size_t rows, size_t r,
                        char *block) {
  if (format == EPC_FORMAT_F32) {
    memcpy((float *)block + r * padded, x, padded * sizeof(float));
  } else if (format == EPC_FORMAT_BF16 || format == EPC_FORMAT_FP8) {
    uint32_t *to = (uint32_t *)block + r;
    const float factor = epc_half_factor(format);
    for (size_t k = 0; k < padded; k += 2) {
      to[k / 2 * rows] = (uint32_t)epc_to_bf16(x[k] * factor) |
                         (uint32_t)epc_to_bf16(x[k + 1] * factor) << 16;
    }
  } else {
    const size_t count = epc_scaled_inputs(format);
    static const uint8_t orders[2][8] = {{0, 1, 2, 3, 4, 5, 6, 7}, {0, 4, 1, 5, 2, 6, 3, 7}};
    const bool is_mxfp4 = format == EPC_FORMAT_MXFP4;
    uint32_t *to = (uint32_t *)block + r;
    for (size_t k = 0; k < padded; k += count) {
      split_group(x + k, count, is_mxfp4 ? 12 : 128, orders[is_mxfp4], rows, to);
      to += (count / 2 + 2) * rows;
    }
  }
}

void epc_prepare(epc_format format, const float *x, size_t x_stride, const int32_t *index,
                 size_t in, size_t rows, size_t first_block, size_t end_block, float *row,
                 void *prepared) {
  const size_t blocks = epc_row_blocks(rows);
  const size_t padded = epc_padded_inputs(format, in);
  const size_t row_bytes = epc_prepared_bytes(format, in);
  for (size_t b = first_block; b < end_block; b++) {
    const size_t first = rows * b / blocks;
    const size_t end = rows * (b + 1) / blocks;
    for (size_t r = first; r < end; r++) {
      const float *from = x + r * x_stride;
      if (index != NULL || padded != in) {
        for (size_t k = 0; k < in; k++) row[k] = from[index != NULL ? (size_t)index[k] : k];
        memset(row + in, 0, (padded - in) * sizeof(float));
        from = row;
      }
      prepare_row(format, from, padded, end - first, r - first,
                  (char *)prepared + first * row_bytes);
    }
  }
}
