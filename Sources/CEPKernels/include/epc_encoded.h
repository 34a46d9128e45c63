// From matrices as checkpoints store them to packed weights, at the speed of memory.
#ifndef EPC_ENCODED_H
#define EPC_ENCODED_H

#include <stdbool.h>
#include <stddef.h>

#include "epc_fast.h"

/// How the elements of rows are encoded, little-endian.
typedef enum {
  EPC_ENCODED_F32,
  EPC_ENCODED_BF16,
  EPC_ENCODED_F16,
  /// One sign, four exponent, three mantissa bits, with scales.
  EPC_ENCODED_FP8,
} epc_encoding;

/// Rows of a matrix, one after the other at equal distances, aligned to nothing.
typedef struct {
  epc_encoding encoding;
  /// The first element of the first row.
  const void *rows;
  /// Bytes from a row to the next.
  size_t stride;
  /// Of EPC_ENCODED_FP8: element k of row r counts `scales[(first_row + r) / block_rows *
  /// scale_stride + (first_column + k) / block_columns]` times.
  const float *scales;
  size_t scale_stride, block_rows, block_columns, first_row, first_column;
} epc_encoded;

/// Outputs of a panel, but for the last.
size_t epc_panel_outputs(void);

/// Packs the panels `first` up to `end` of an `[out, in]` matrix; `encoded` begins with the first row
/// of panel `first`.
///
/// The result is that of `epc_pack` for the elements as reals, but for EPC_ENCODED_FP8 to
/// EPC_FORMAT_FP8 in blocks of whole groups: those keep codes and scales, which is nearer. Returns
/// false where an element, or a scale, is a NaN or an infinity.
bool epc_pack_encoded(epc_format format, const epc_encoded *encoded, size_t out, size_t in,
                      size_t first, size_t end, void *packed);

/// Rows of so many columns as bf16, one after the other. Returns false where an element, or a scale, is a
/// NaN or an infinity.
bool epc_round_encoded(const epc_encoded *encoded, size_t rows, size_t columns, uint16_t *y);

#endif
