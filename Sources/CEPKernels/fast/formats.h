// Conversions of single numbers.
#ifndef EPC_FORMATS_H
#define EPC_FORMATS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t epc_bits_of(float real) {
  uint32_t bits;
  memcpy(&bits, &real, sizeof(bits));
  return bits;
}

static inline float epc_real_of(uint32_t bits) {
  float real;
  memcpy(&real, &bits, sizeof(real));
  return real;
}

/// The nearest bf16, ties to even; a NaN stays one.
static inline uint16_t epc_to_bf16(float real) {
  const uint32_t bits = epc_bits_of(real);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// The nearest 8-bit float with 4 bits of exponent (bias 7) and no subnormal numbers: below 2^-6
/// there is 0 alone; magnitudes beyond 448 become 448.
static inline uint8_t epc_to_fp8(float real) {
  const uint32_t bits = epc_bits_of(real);
  const uint8_t sign = (uint8_t)(bits >> 24 & 0x80);
  const float size = fabsf(real);
  if (!(size < 448)) return sign | 0x7e;
  // Half way to the smallest number.
  if (size <= 0x1p-7f) return 0;
  if (size < 0x1p-6f) return sign | 0x08;
  const uint32_t magnitude = bits & 0x7fffffff;
  const uint32_t rounded = magnitude + 0x7ffff + (magnitude >> 20 & 1);
  return sign | (uint8_t)((rounded >> 20) - (120 << 3));
}

/// What an 8-bit float stands for.
static inline float epc_from_fp8(uint8_t code) {
  if ((code & 0x78) == 0) return 0;
  const float size = epc_real_of(((uint32_t)(code & 0x7f) << 20) + ((uint32_t)120 << 23));
  return (code & 0x80) != 0 ? -size : size;
}

/// The nearest of 0, 0.5, 1, 1.5, 2, 3, 4 and 6, with its sign in bit 3; ties to the even code.
static inline uint8_t epc_to_fp4(float real) {
  static const float ends[7] = {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5};
  const float size = fabsf(real);
  uint8_t code = 0;
  while (code < 7 && (size > ends[code] || (size == ends[code] && code % 2 == 1))) code++;
  return real < 0 ? code | 8 : code;
}

/// Where input k is among the eight of a word: the even ones make up its lower half, the odd ones its
/// upper half, so that a shift brings two of one pair to the lowest bits of each half.
static inline size_t epc_fp4_byte(size_t k) { return k % 2 * 2 + k % 8 / 4; }

static inline bool epc_fp4_is_low(size_t k) { return k % 4 < 2; }

static inline float epc_from_fp4(uint8_t code) {
  static const float sizes[8] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6};
  return (code & 8) != 0 ? -sizes[code & 7] : sizes[code & 7];
}

#endif
