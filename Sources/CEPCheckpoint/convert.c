#include "epc_checkpoint.h"

#include <string.h>

static float from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static uint32_t to_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Small floats are widened by moving their bits into place. Subnormals go through an integer
// instead, so that a thread which flushes denormals to zero gets the same values.

static float f16(uint16_t code) {
  const uint32_t sign = (uint32_t)(code & 0x8000u) << 16;
  const uint32_t exponent = (code >> 10) & 0x1fu;
  const uint32_t mantissa = code & 0x3ffu;
  const uint32_t subnormal = to_bits((float)mantissa * 0x1p-24f);
  const uint32_t normal = ((exponent + 112u) << 23) | (mantissa << 13);
  const uint32_t special = 0x7f800000u | (mantissa << 13);
  const uint32_t magnitude = exponent == 0 ? subnormal : exponent == 31 ? special : normal;
  return from_bits(sign | magnitude);
}

static float f8_e4m3(uint8_t code) {
  const uint32_t sign = (uint32_t)(code & 0x80u) << 24;
  const uint32_t exponent = (code >> 3) & 0xfu;
  const uint32_t mantissa = code & 0x7u;
  const uint32_t subnormal = to_bits((float)mantissa * 0x1p-9f);
  const uint32_t normal = ((exponent + 120u) << 23) | (mantissa << 20);
  const uint32_t magnitude = (code & 0x7fu) == 0x7fu ? 0x7fc00000u : exponent == 0 ? subnormal : normal;
  return from_bits(sign | magnitude);
}

static float f8_e5m2(uint8_t code) { return f16((uint16_t)(code << 8)); }

static float f8_e8m0(uint8_t code) {
  return from_bits(code == 0xff ? 0x7fc00000u : code == 0 ? 0x00400000u : (uint32_t)code << 23);
}

size_t epc_element_bytes(epc_element element) {
  switch (element) {
  case EPC_ELEMENT_F64: return 8;
  case EPC_ELEMENT_F32: return 4;
  case EPC_ELEMENT_F16: return 2;
  case EPC_ELEMENT_BF16: return 2;
  case EPC_ELEMENT_F8_E4M3: return 1;
  case EPC_ELEMENT_F8_E5M2: return 1;
  case EPC_ELEMENT_F8_E8M0: return 1;
  }
  return 0;
}

bool epc_to_f32(epc_element element, const void *source, size_t source_bytes,
                float *restrict destination, size_t count) {
  const size_t width = epc_element_bytes(element);
  if (width == 0 || count > SIZE_MAX / sizeof(double) || source_bytes != count * width) return false;
  if (count == 0) return true;
  if (source == NULL || destination == NULL) return false;
  const uint8_t *restrict bytes = source;
  switch (element) {
  case EPC_ELEMENT_F64:
    for (size_t i = 0; i < count; i++) {
      double value;
      memcpy(&value, bytes + 8 * i, sizeof value);
      destination[i] = (float)value;
    }
    return true;
  case EPC_ELEMENT_F32:
    memcpy(destination, source, source_bytes);
    return true;
  case EPC_ELEMENT_F16:
    for (size_t i = 0; i < count; i++) {
      uint16_t code;
      memcpy(&code, bytes + 2 * i, sizeof code);
      destination[i] = f16(code);
    }
    return true;
  case EPC_ELEMENT_BF16:
    for (size_t i = 0; i < count; i++) {
      uint16_t code;
      memcpy(&code, bytes + 2 * i, sizeof code);
      destination[i] = from_bits((uint32_t)code << 16);
    }
    return true;
  case EPC_ELEMENT_F8_E4M3:
    for (size_t i = 0; i < count; i++) destination[i] = f8_e4m3(bytes[i]);
    return true;
  case EPC_ELEMENT_F8_E5M2:
    for (size_t i = 0; i < count; i++) destination[i] = f8_e5m2(bytes[i]);
    return true;
  case EPC_ELEMENT_F8_E8M0:
    for (size_t i = 0; i < count; i++) destination[i] = f8_e8m0(bytes[i]);
    return true;
  }
  return false;
}

void epc_bf16_from_f32(const float *restrict source, size_t count, uint16_t *restrict destination) {
  for (size_t i = 0; i < count; i++) {
    const uint32_t bits = to_bits(source[i]);
    destination[i] = (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
  }
}

bool epc_mxfp4_to_f32(const void *blocks, size_t blocks_bytes, const void *scales,
                      size_t scales_bytes, size_t first, float *restrict destination,
                      size_t count) {
  // Open Compute Project, Microscaling formats (MX) v1.0, table 5: E2M1.
  static const float magnitudes[16] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                       -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
  if (first > SIZE_MAX - count || scales_bytes > SIZE_MAX / 32) return false;
  if (blocks_bytes != scales_bytes * 16 || first + count > scales_bytes * 32) return false;
  if (count == 0) return true;
  if (blocks == NULL || scales == NULL || destination == NULL) return false;
  const uint8_t *restrict codes = blocks;
  const uint8_t *restrict exponents = scales;
  size_t index = first;
  const size_t end = first + count;
  while (index < end) {
    const size_t block = index / 32;
    const float scale = f8_e8m0(exponents[block]);
    if (index % 32 == 0 && end - index >= 32) {
      const uint8_t *restrict pairs = codes + 16 * block;
      for (size_t i = 0; i < 16; i++) {
        destination[2 * i] = magnitudes[pairs[i] & 0xf] * scale;
        destination[2 * i + 1] = magnitudes[pairs[i] >> 4] * scale;
      }
      destination += 32;
      index += 32;
    } else {
      const uint8_t pair = codes[index / 2];
      *destination++ = magnitudes[index % 2 == 0 ? pair & 0xf : pair >> 4] * scale;
      index++;
    }
  }
  return true;
}
