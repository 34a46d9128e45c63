// Conversions from the element types of checkpoint files to float32.
//
// Every function is total: it returns false, and writes nothing, when the bytes given do not hold
// the elements asked for. Sources need no alignment. Results are exact, or correctly rounded where
// the source is wider than float32 (f64 only).
#ifndef EPC_CHECKPOINT_H
#define EPC_CHECKPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors files are little-endian and so must the machine be"
#endif

/// An element type with one value per one, two, four or eight bytes.
typedef enum {
  EPC_ELEMENT_F64,
  EPC_ELEMENT_F32,
  EPC_ELEMENT_F16,
  EPC_ELEMENT_BF16,
  /// One sign, four exponent, three mantissa bits; no infinities, 0x7f and 0xff are NaN.
  EPC_ELEMENT_F8_E4M3,
  /// One sign, five exponent, two mantissa bits, as IEEE 754 would have it.
  EPC_ELEMENT_F8_E5M2,
  /// A power of two, 2^(code - 127); 0xff is NaN.
  EPC_ELEMENT_F8_E8M0,
} epc_element;

/// The bytes of one element, or 0 for a value outside the enumeration.
size_t epc_element_bytes(epc_element element);

/// Converts `count` elements at `source`, which must hold exactly that many, to float32.
bool epc_to_f32(epc_element element, const void *source, size_t source_bytes, float *destination,
                size_t count);

/// Rounds finite elements to bf16, to the nearest, ties to even.
void epc_bf16_from_f32(const float *source, size_t count, uint16_t *destination);

/// Converts MXFP4 elements `first ..< first + count`: 16 bytes hold 32 elements of a block, low
/// nibble first, and each block has one power-of-two scale of 8 bits.
bool epc_mxfp4_to_f32(const void *blocks, size_t blocks_bytes, const void *scales,
                      size_t scales_bytes, size_t first, float *destination, size_t count);

/// Multiplies `count` values, the columns `first_column ..` of a row, by the scale of their block;
/// `scales` begins with the scale of the block that holds `first_column`.
bool epc_scale_columns(float *values, size_t first_column, size_t count, const float *scales,
                       size_t scale_count, size_t block);

/// Writes the transpose of a `[rows, source_stride]` array, of which every `step`-th column counts:
/// destination[c * destination_stride + r] = source[r * source_stride + c * step].
bool epc_transpose_f32(const float *source, size_t source_count, size_t source_stride, size_t step,
                       float *destination, size_t destination_count, size_t destination_stride,
                       size_t rows, size_t columns);

/// The index of the first NaN or infinity, or `count` where there is none.
size_t epc_first_non_finite(const float *values, size_t count);

#endif
