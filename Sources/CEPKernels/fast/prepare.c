// Rows as kernels want them.
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

/// Row r of a block of `rows`, from a row of reals.
static void prepare_row(const epc_kernels *kernels, epc_format format, const float *x, size_t padded,
                        size_t rows, size_t r, char *block) {
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
    const size_t bytes = 2 * count + 8;
    for (size_t k = 0; k < padded; k += count) {
      kernels->split(x + k, count, block + (k / count * rows + r) * bytes);
    }
  }
}

void epc_prepare(const epc_kernels *kernels, epc_format format, const float *x, size_t x_stride,
                 const int32_t *index, size_t in, size_t rows, size_t first_block,
                 size_t end_block, float *row, void *prepared) {
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
      prepare_row(kernels, format, from, padded, end - first, r - first,
                  (char *)prepared + first * row_bytes);
    }
  }
}
