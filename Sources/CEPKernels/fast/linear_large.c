// Products of so many rows in tiles that each thread has rows of its own: it makes a block of its rows and
// of the inputs ready, which stays in the second-level cache while all panels meet it.
#include "blocks.h"

enum {
  /// Rows and inputs of a block: 1 MiB of bf16.
  MOST_ROWS = 256,
  MOST_INPUTS = 2048,
  LINE = 64,
};

typedef struct {
  epc_pool *pool;
  const epc_linear *linear;
  const float *x;
  const int32_t *x_index;
  size_t rows;
  float *y;
  size_t chunk_rows;
} large;

/// Inputs of a block: those of formats that are expanded are as many as there is room for.
static size_t block_inputs(epc_format format) {
  return format == EPC_FORMAT_BF16 ? MOST_INPUTS : EPC_BLOCK_BF16;
}

/// What a thread needs: prepared rows, and sums of a panel that is padded.
static size_t room_bytes(epc_format format) {
  return MOST_ROWS * (epc_prepared_bytes(format, block_inputs(format)) + EPC_PANEL * sizeof(float));
}

static void multiply_chunk(void *context, size_t index, size_t worker) {
  const large *run = context;
  const epc_linear *l = run->linear;
  const epc_format format = l->format;
  const size_t batch = index % l->batch;
  const size_t first = index / l->batch * run->chunk_rows;
  const size_t rows = run->rows - first < run->chunk_rows ? run->rows - first : run->chunk_rows;
  char *prepared = epc_pool_scratch(run->pool, worker, room_bytes(format));
  float *partial =
      (float *)(prepared + MOST_ROWS * epc_prepared_bytes(format, block_inputs(format)));
  const size_t x_stride = l->batch * l->in;
  const size_t y_stride = l->batch * l->out;
  const float *x = run->x + first * x_stride + (run->x_index == NULL ? batch * l->in : 0);
  float *y = run->y + first * y_stride + batch * l->out;
  const char *weights =
      (const char *)l->weights + batch * epc_packed_bytes(format, l->out, l->in);
  const size_t panels = epc_packed_panels(l->out);
  const size_t step = block_inputs(format);
  for (size_t k = 0; k < l->in; k += step) {
    const size_t inputs = l->in - k < step ? l->in - k : step;
    const size_t padded = epc_padded_inputs(format, inputs);
    const int32_t *x_index = run->x_index == NULL ? NULL : run->x_index + batch * l->in + k;
    epc_prepare_tiles(format, x_index == NULL ? x + k : x, x_stride, x_index, inputs, rows, 0, rows,
                      prepared);
    for (size_t p = 0; p < panels; p++) {
      const size_t output = p * EPC_PANEL;
      const size_t width = epc_panel_width(l->out, p);
      const char *panel = weights + epc_panel_offset(format, l->in, p);
      const bool is_whole = output + width <= l->out;
      const char *next = p + 1 < panels ? weights + epc_panel_offset(format, l->in, p + 1) +
                                              epc_input_offset(format, k, EPC_PANEL)
                                        : weights + epc_input_offset(format, k + step, EPC_PANEL);
      const epc_block block = {
          .vectors = width / EPC_LANES,
          .weights = panel + epc_input_offset(format, k, width),
          .stride = width,
          .inputs = padded,
          .rows = rows,
          .prepared = prepared,
          .row_bytes = epc_prepared_bytes(format, inputs),
          .sums = is_whole ? y + output : partial,
          .sums_stride = is_whole ? y_stride : width,
          .is_first = k == 0,
          .next = next,
          .next_lines = epc_input_offset(format, padded, width) / LINE,
      };
      epc_block_tiles(format, &block);
      if (k + step >= l->in) {
        epc_finish_panel(l, batch, p, block.sums, block.sums_stride, rows, y);
      }
    }
  }
}

bool epc_linear_is_large(const epc_pool *pool, epc_level level, const epc_linear *linear,
                         size_t rows) {
  return level == EPC_LEVEL_AMX && linear->format != EPC_FORMAT_F32 && linear->groups == 1 &&
         rows >= MOST_ROWS * epc_pool_threads(pool);
}

bool epc_linear_large_run(epc_pool *pool, const epc_linear *linear, const float *x,
                          const int32_t *x_index, size_t rows, float *y) {
  const size_t threads = epc_pool_threads(pool);
  for (size_t i = 0; i < threads; i++) {
    if (epc_pool_scratch(pool, i, room_bytes(linear->format)) == NULL) return false;
  }
  // As many for each thread, in whole tiles.
  const size_t rounds = (rows + MOST_ROWS * threads - 1) / (MOST_ROWS * threads);
  const size_t share = (rows + rounds * threads - 1) / (rounds * threads);
  large run = {
      .pool = pool,
      .linear = linear,
      .x = x,
      .x_index = x_index,
      .rows = rows,
      .y = y,
      .chunk_rows = (share + 31) / 32 * 32,
  };
  const size_t chunks = (rows + run.chunk_rows - 1) / run.chunk_rows;
  epc_pool_run(pool, chunks * linear->batch, multiply_chunk, &run);
  return true;
}
