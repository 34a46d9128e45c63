#include "epc_checkpoint.h"

#include <string.h>

bool epc_scale_columns(float *restrict values, size_t first_column, size_t count,
                       const float *restrict scales, size_t scale_count, size_t block) {
  if (block == 0 || count > SIZE_MAX - block) return false;
  if (count == 0) return true;
  const size_t skipped = first_column % block;
  if (values == NULL || scales == NULL || (skipped + count - 1) / block >= scale_count) return false;
  size_t done = 0;
  for (size_t i = 0; done < count; i++) {
    const size_t width = i == 0 ? block - skipped : block;
    const size_t end = count - done < width ? count : done + width;
    const float scale = scales[i];
    for (; done < end; done++) values[done] *= scale;
  }
  return true;
}

// Whether `(rows - 1) * stride + (columns - 1) * step` is an index below `count`.
static bool holds(size_t count, size_t rows, size_t stride, size_t columns, size_t step) {
  size_t last = 0, within = 0;
  if (__builtin_mul_overflow(rows - 1, stride, &last)) return false;
  if (__builtin_mul_overflow(columns - 1, step, &within)) return false;
  return !__builtin_add_overflow(last, within, &last) && last < count;
}

bool epc_transpose_f32(const float *restrict source, size_t source_count, size_t source_stride,
                       size_t step, float *restrict destination, size_t destination_count,
                       size_t destination_stride, size_t rows, size_t columns) {
  if (rows == 0 || columns == 0) return true;
  if (source == NULL || destination == NULL) return false;
  if (!holds(source_count, rows, source_stride, columns, step)) return false;
  if (!holds(destination_count, columns, destination_stride, rows, 1)) return false;
  for (size_t column = 0; column < columns; column++) {
    for (size_t row = 0; row < rows; row++) {
      destination[column * destination_stride + row] = source[row * source_stride + column * step];
    }
  }
  return true;
}

size_t epc_first_non_finite(const float *values, size_t count) {
  const uint32_t infinity = 0x7f800000u;
  size_t index = 0;
  // Whole groups without an early exit, so that the compiler can vectorise the common case.
  for (; count - index >= 64; index += 64) {
    uint32_t bits[64], found = 0;
    memcpy(bits, values + index, sizeof bits);
    for (size_t i = 0; i < 64; i++) found |= (bits[i] & infinity) == infinity;
    if (found) break;
  }
  for (; index < count; index++) {
    uint32_t bits;
    memcpy(&bits, values + index, sizeof bits);
    if ((bits & infinity) == infinity) return index;
  }
  return count;
}
