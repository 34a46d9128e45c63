// Panels of packed weights block by block: as many inputs at a time as stay in the caches for all rows.
#include <string.h>

#include "products.h"

enum {
  /// How far ahead of where they are read weights are asked for, when few rows leave no time to wait.
  AHEAD = 8192,
  LINE = 64,
};

epc_product epc_product_of(epc_level level, epc_format format, size_t in) {
  return (epc_product){
      .kernels = epc_kernels_of(level),
      .has_tiles = level == EPC_LEVEL_AMX && format != EPC_FORMAT_F32,
      .format = format,
      .in = in,
      .row_bytes = epc_prepared_bytes(format, in),
  };
}

epc_panel epc_panel_at(const epc_product *product, const void *matrix, size_t out, size_t index) {
  const size_t width = epc_panel_width(out, index);
  return (epc_panel){
      .product = product,
      .width = width,
      .weights = (const char *)matrix + epc_panel_offset(product->format, product->in, index),
      .block = {.vectors = width / EPC_LANES, .stride = width, .row_bytes = product->row_bytes},
  };
}

static void multiply_bf16(const epc_panel *p) {
  if (p->product->has_tiles) {
    epc_block_tiles(EPC_FORMAT_BF16, &p->block);
  } else {
    p->product->kernels->bf16(&p->block);
  }
}

static bool is_in_tiles(const epc_panel *p) { return epc_is_in_tiles(p->product, p->block.rows); }

static bool has_few_rows(const epc_panel *p) {
  // A tile of rows reads weights once, from one end to the other.
  return p->block.rows <= (is_in_tiles(p) ? 16 : 2 * EPC_ROWS);
}

/// Floats or bf16: blocks of inputs that stay in the caches, and for each the panels.
static void multiply_plain(epc_panel *panels, size_t count) {
  const bool is_f32 = panels->product->format == EPC_FORMAT_F32;
  const size_t padded = epc_padded_inputs(panels->product->format, panels->product->in);
  const size_t most = is_f32 ? EPC_BLOCK_F32 : EPC_BLOCK_BF16;
  const bool is_whole =
      panels->block.rows <= EPC_ROWS || (panels->product->has_tiles && has_few_rows(panels));
  const size_t step = is_whole ? padded : most;
  const size_t size = is_f32 ? 4 : 2;
  for (size_t k = 0; k < padded; k += step) {
    const size_t inputs = padded - k < step ? padded - k : step;
    for (size_t i = 0; i < count; i++) {
      epc_panel *p = panels + i;
      p->block.inputs = inputs;
      p->block.weights = p->weights + k * size * p->width;
      p->block.offset = k * size;
      p->block.is_first = k == 0;
      p->block.is_streamed = p->is_streamed && k + inputs == padded;
      if (has_few_rows(p)) {
        p->block.next = (const char *)p->block.weights + AHEAD;
        p->block.next_lines = inputs * size * p->width / LINE;
      } else if (i + 1 < count) {
        p->block.next = p[1].weights + k * size * p[1].width;
        p->block.next_lines = inputs * size * p[1].width / LINE;
      } else {
        // Beyond the last block there is the next task's panel, most of the time.
        p->block.next = panels->weights + (k + inputs) * size * p->width;
        p->block.next_lines = inputs * size * p->width / LINE;
      }
      if (is_f32) {
        p->product->kernels->f32(&p->block);
      } else {
        multiply_bf16(p);
      }
    }
  }
}

/// Bytes of a row for `inputs` inputs, a multiple of a group.
static size_t bytes_of_inputs(epc_format format, size_t inputs) {
  return format == EPC_FORMAT_INT8 ? inputs / EPC_GROUP * (2 * EPC_GROUP + 8) : 2 * inputs;
}

/// Groups in tiles, all inputs at once.
static void multiply_groups_in_tiles(epc_panel *p) {
  const epc_format format = p->product->format;
  p->block.inputs = epc_padded_inputs(format, p->product->in);
  const size_t bytes = epc_input_offset(format, p->block.inputs, p->width);
  p->block.is_first = true;
  p->block.is_streamed = p->is_streamed;
  p->block.weights = p->weights;
  // Behind this panel there is the next task's, most of the time.
  p->block.next = p->weights + bytes;
  p->block.next_lines = (bytes + LINE - 1) / LINE;
  epc_block_tiles(format, &p->block);
}

static void multiply_groups(epc_panel *p) {
  const epc_format format = p->product->format;
  const size_t groups = epc_padded_inputs(format, p->product->in) / EPC_GROUP;
  const size_t bytes = epc_group_bytes(format, p->width);
  uint32_t expanded[EPC_PANEL * EPC_GROUP / 2];
  float scales[EPC_PANEL];
  for (size_t g = 0; g < groups; g++) {
    const uint8_t *group = (const uint8_t *)p->weights + g * bytes;
    p->block.is_first = g == 0;
    p->block.inputs = EPC_GROUP;
    p->block.scales = (const float *)group;
    p->block.next = (const char *)group + (has_few_rows(p) ? AHEAD : bytes);
    p->block.next_lines = (bytes + LINE - 1) / LINE;
    // Kernels ask for as many lines as there are elements, not for those of the scales.
    for (size_t l = 0; l < 4 && has_few_rows(p); l++) {
      __builtin_prefetch(p->block.next + bytes - LINE * (l + 1), 0, 3);
    }
    if (format == EPC_FORMAT_INT8) {
      p->block.weights = group + 4 * p->width;
      p->block.offset = bytes_of_inputs(format, g * EPC_GROUP);
      p->product->kernels->bytes(&p->block);
    } else if (format == EPC_FORMAT_FP8) {
      p->product->kernels->expand_fp8(group + 4 * p->width, p->block.vectors, expanded);
      p->block.weights = expanded;
      p->block.offset = bytes_of_inputs(format, g * EPC_GROUP);
      p->product->kernels->bf16(&p->block);
    } else {
      p->product->kernels->expand_mxfp4(group + 4 * p->width, p->block.vectors, expanded);
      p->block.inputs = EPC_MICRO_GROUP;
      p->block.scales = scales;
      for (size_t m = 0; m < EPC_GROUP / EPC_MICRO_GROUP; m++) {
        for (size_t lane = 0; lane < p->width; lane++) {
          // Elements are twice what they stand for.
          const uint32_t code = group[m * p->width + lane];
          const uint32_t bits = (code - 1) << 23;
          memcpy(scales + lane, &bits, sizeof(bits));
        }
        p->block.weights = expanded + m * EPC_MICRO_GROUP / 4 * p->width;
        p->block.offset = (g * EPC_GROUP / EPC_MICRO_GROUP + m) * (2 * EPC_MICRO_GROUP + 8);
        p->product->kernels->bytes(&p->block);
        p->block.is_first = false;
      }
    }
  }
}

void epc_panels_multiply(epc_panel *panels, size_t count) {
  if (panels->product->format == EPC_FORMAT_F32 || panels->product->format == EPC_FORMAT_BF16) {
    multiply_plain(panels, count);
    return;
  }
  for (size_t i = 0; i < count; i++) {
    if (is_in_tiles(panels + i)) {
      multiply_groups_in_tiles(panels + i);
    } else {
      multiply_groups(panels + i);
    }
  }
}
