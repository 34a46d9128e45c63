// Packed weights: panels of 64 outputs, and in a panel input by input, so that a product reads memory
// from one end to the other.
#include <math.h>
#include <string.h>

#include "blocks.h"
#include "formats.h"

/// Bytes for one output.
static size_t output_bytes(epc_format format, size_t in) {
  const size_t padded = epc_padded_inputs(format, in);
  switch (format) {
    case EPC_FORMAT_F32: return 4 * padded;
    case EPC_FORMAT_BF16: return 2 * padded;
    case EPC_FORMAT_INT8:
    case EPC_FORMAT_FP8: return padded / EPC_GROUP * (4 + EPC_GROUP);
    case EPC_FORMAT_MXFP4: return padded / EPC_GROUP * (4 + EPC_GROUP / 2);
  }
  return 0;
}

size_t epc_packed_panels(size_t out) { return (out + EPC_PANEL - 1) / EPC_PANEL; }

size_t epc_packed_bytes(epc_format format, size_t out, size_t in) {
  return (out + EPC_LANES - 1) / EPC_LANES * EPC_LANES * output_bytes(format, in);
}

size_t epc_panel_offset(epc_format format, size_t in, size_t panel) {
  return panel * EPC_PANEL * output_bytes(format, in);
}

size_t epc_panel_width(size_t out, size_t panel) {
  const size_t left = out - panel * EPC_PANEL;
  return left >= EPC_PANEL ? EPC_PANEL : (left + EPC_LANES - 1) / EPC_LANES * EPC_LANES;
}

/// Where a number of a four lies in a word of EPC_FORMAT_FP8: a shift makes two of them bf16.
static const size_t fp8_place[4] = {1, 3, 0, 2};

static float most_of(const float *x, size_t count) {
  float most = 0;
  for (size_t i = 0; i < count; i++) most = fmaxf(most, fabsf(x[i]));
  return most;
}

/// One group of one output; `group` is that of the panel, `lane` the output in it.
static void pack_group(epc_format format, const float *x, size_t width, size_t lane,
                       uint8_t *group) {
  uint8_t *elements = group + 4 * width;
  if (format == EPC_FORMAT_MXFP4) {
    for (size_t m = 0; m < EPC_GROUP / EPC_MICRO_GROUP; m++) {
      const float *part = x + m * EPC_MICRO_GROUP;
      const float most = most_of(part, EPC_MICRO_GROUP);
      // The power of two that takes the largest to 4 up to 8, where 8 becomes 6.
      const int exponent = most > 0 ? ilogbf(most) - 2 : -125;
      const int code = exponent < -125 ? 2 : exponent > 125 ? 252 : exponent + 127;
      group[m * width + lane] = (uint8_t)code;
      for (size_t k = 0; k < EPC_MICRO_GROUP; k++) {
        const size_t at = m * EPC_MICRO_GROUP + k;
        uint8_t *both = elements + (at / 8 * width + lane) * 4 + epc_fp4_byte(at);
        const uint8_t half = epc_to_fp4(ldexpf(part[k], 127 - code));
        *both = epc_fp4_is_low(at) ? half : (uint8_t)(*both | half << 4);
      }
    }
    return;
  }
  const float most = most_of(x, EPC_GROUP);
  float scale = most / (format == EPC_FORMAT_INT8 ? 127 : 448);
  if (!(scale >= 0x1p-100f)) scale = 0x1p-100f;
  const float kept = scale * epc_half_factor(format);
  memcpy(group + 4 * lane, &kept, sizeof(kept));
  for (size_t k = 0; k < EPC_GROUP; k++) {
    uint8_t *four = elements + (k / 4 * width + lane) * 4;
    if (format == EPC_FORMAT_INT8) {
      four[k % 4] = (uint8_t)(128 + (int)rintf(x[k] / scale));
    } else {
      four[fp8_place[k % 4]] = epc_to_fp8(x[k] / scale);
    }
  }
}

static void unpack_group(epc_format format, const uint8_t *group, size_t width, size_t lane,
                         float *x) {
  const uint8_t *elements = group + 4 * width;
  float scale;
  memcpy(&scale, group + 4 * lane, sizeof(scale));
  for (size_t k = 0; k < EPC_GROUP; k++) {
    if (format == EPC_FORMAT_MXFP4) {
      const uint8_t both = elements[(k / 8 * width + lane) * 4 + epc_fp4_byte(k)];
      const uint8_t code = epc_fp4_is_low(k) ? both & 15 : both >> 4;
      x[k] = ldexpf(epc_from_fp4(code), group[k / EPC_MICRO_GROUP * width + lane] - 127);
      continue;
    }
    const uint8_t *four = elements + (k / 4 * width + lane) * 4;
    x[k] = format == EPC_FORMAT_INT8 ? (float)(four[k % 4] - 128) * scale
                                     : epc_from_fp8(four[fp8_place[k % 4]]) *
                                           (scale / epc_half_factor(format));
  }
}

/// One output of a panel of floats or bf16.
static void pack_output(epc_format format, const float *x, size_t in, size_t width, size_t lane,
                        void *panel) {
  if (format == EPC_FORMAT_F32) {
    float *to = (float *)panel + lane;
    for (size_t k = 0; k < in; k++) to[k * width] = x[k];
    return;
  }
  uint16_t *to = (uint16_t *)panel + 2 * lane;
  const size_t padded = epc_padded_inputs(format, in);
  for (size_t k = 0; k < padded; k++) {
    to[k / 2 * 2 * width + k % 2] = k < in ? epc_to_bf16(x[k]) : 0;
  }
}

void epc_pack(epc_format format, const float *weight, size_t out, size_t in, size_t first,
              size_t end, void *packed) {
  const size_t padded = epc_padded_inputs(format, in);
  const bool has_groups = format != EPC_FORMAT_F32 && format != EPC_FORMAT_BF16;
  for (size_t p = first; p < end; p++) {
    const size_t width = epc_panel_width(out, p);
    char *panel = (char *)packed + epc_panel_offset(format, in, p);
    // Outputs beyond the last are zero.
    if (width > out - p * EPC_PANEL) memset(panel, 0, width * output_bytes(format, in));
    for (size_t lane = 0; lane < width && p * EPC_PANEL + lane < out; lane++) {
      const float *x = weight + (p * EPC_PANEL + lane) * in;
      if (!has_groups) {
        pack_output(format, x, in, width, lane, panel);
        continue;
      }
      const size_t bytes = width * output_bytes(format, EPC_GROUP);
      for (size_t k = 0; k < padded; k += EPC_GROUP) {
        float part[EPC_GROUP] = {0};
        memcpy(part, x + k, (in - k < EPC_GROUP ? in - k : EPC_GROUP) * sizeof(float));
        pack_group(format, part, width, lane, (uint8_t *)panel + k / EPC_GROUP * bytes);
      }
    }
  }
}

void epc_unpack(epc_format format, const void *packed, size_t out, size_t in, float *weight) {
  for (size_t o = 0; o < out; o++) {
    const size_t p = o / EPC_PANEL;
    const size_t lane = o % EPC_PANEL;
    const size_t width = epc_panel_width(out, p);
    const char *panel = (const char *)packed + epc_panel_offset(format, in, p);
    float *x = weight + o * in;
    for (size_t k = 0; k < in; k++) {
      if (format == EPC_FORMAT_F32) {
        x[k] = ((const float *)panel)[k * width + lane];
      } else if (format == EPC_FORMAT_BF16) {
        const uint16_t code = ((const uint16_t *)panel)[(k / 2 * width + lane) * 2 + k % 2];
        x[k] = epc_real_of((uint32_t)code << 16);
      } else if (k % EPC_GROUP == 0) {
        float part[EPC_GROUP];
        const size_t bytes = width * output_bytes(format, EPC_GROUP);
        unpack_group(format, (const uint8_t *)panel + k / EPC_GROUP * bytes, width, lane, part);
        memcpy(x + k, part, (in - k < EPC_GROUP ? in - k : EPC_GROUP) * sizeof(float));
      }
    }
  }
}
