// Products of so many rows that each thread has rows of its own: it makes a block of its rows and of the
// inputs ready, which stays in the second-level cache while all panels meet it.
#include <string.h>

#include "blocks.h"

enum { LINE = 64 };

typedef struct {
  epc_pool *pool;
  epc_level level;
  const epc_linear *linear;
  const float *x;
  const int32_t *x_index;
  size_t rows;
  float *y;
  size_t chunk_rows;
} large;

/// Rows of a block.
static size_t block_rows(epc_format format) { return format == EPC_FORMAT_F32 ? 128 : 256; }

/// Inputs of a block, 1 MiB at most: fewer where a thread's results stay in the second-level cache with them.
static size_t block_inputs(epc_format format, size_t out) {
  return format == EPC_FORMAT_BF16 && out > 512 ? 2048 : 1024;
}

/// Bytes of a prepared row. Rows of floats a power of two apart would drive each other out of the caches.
static size_t row_bytes(epc_format format, size_t inputs) {
  return epc_prepared_bytes(format, inputs) + (format == EPC_FORMAT_F32 ? LINE : 0);
}

/// What a thread needs: prepared rows, and sums of a panel that is padded.
static size_t room_bytes(epc_format format, size_t out) {
  return block_rows(format) * (row_bytes(format, block_inputs(format, out)) + EPC_PANEL * sizeof(float));
}

/// Makes `inputs` inputs of `rows` rows ready.
static void prepare(epc_format format, const float *x, size_t x_stride, const int32_t *index,
                    size_t inputs, size_t rows, char *prepared) {
  if (format != EPC_FORMAT_F32) {
    epc_prepare_tiles(format, x, x_stride, index, inputs, rows, 0, rows, prepared);
    return;
  }
  for (size_t r = 0; r < rows; r++) {
    const float *from = x + r * x_stride;
    float *to = (float *)(prepared + r * row_bytes(format, inputs));
    if (index == NULL) memcpy(to, from, inputs * sizeof(float));
    for (size_t k = 0; k < inputs && index != NULL; k++) to[k] = from[index[k]];
  }
}

static void multiply_chunk(void *context, size_t index, size_t worker) {
  const large *run = context;
  const epc_linear *l = run->linear;
  const epc_format format = l->format;
  const size_t batch = index % l->batch;
  const size_t first = index / l->batch * run->chunk_rows;
  const size_t rows = run->rows - first < run->chunk_rows ? run->rows - first : run->chunk_rows;
  const size_t step = block_inputs(format, l->out);
  char *prepared = epc_pool_scratch(run->pool, worker, room_bytes(format, l->out));
  float *partial = (float *)(prepared + block_rows(format) * row_bytes(format, step));
  const size_t x_stride = l->batch * l->in;
  const size_t y_stride = l->batch * l->out;
  const float *x = run->x + first * x_stride + (run->x_index == NULL ? batch * l->in : 0);
  float *y = run->y + first * y_stride + batch * l->out;
  const char *weights =
      (const char *)l->weights + batch * epc_packed_bytes(format, l->out, l->in);
  const size_t panels = epc_packed_panels(l->out);
  for (size_t k = 0; k < l->in; k += step) {
    const size_t inputs = l->in - k < step ? l->in - k : step;
    const size_t padded = epc_padded_inputs(format, inputs);
    const int32_t *x_index = run->x_index == NULL ? NULL : run->x_index + batch * l->in + k;
    prepare(format, x_index == NULL ? x + k : x, x_stride, x_index, inputs, rows, prepared);
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
          .row_bytes = row_bytes(format, inputs),
          .sums = is_whole ? y + output : partial,
          .sums_stride = is_whole ? y_stride : width,
          .is_first = k == 0,
          .is_streamed = is_whole && l->bias == NULL && k + step >= l->in &&
                         epc_is_streamed(run->rows, y_stride),
          .next = next,
          .next_lines = epc_input_offset(format, padded, width) / LINE,
      };
      if (format == EPC_FORMAT_F32) {
        epc_kernels_of(run->level)->f32(&block);
      } else {
        epc_block_tiles(format, &block);
      }
      if (k + step >= l->in) {
        epc_finish_panel(l, batch, p, block.sums, block.sums_stride, rows, y);
      }
    }
  }
}

bool epc_linear_is_large(const epc_pool *pool, epc_level level, const epc_linear *linear,
                         size_t rows) {
  return (level == EPC_LEVEL_AMX || linear->format == EPC_FORMAT_F32) && linear->groups == 1 &&
         rows >= block_rows(linear->format) * epc_pool_threads(pool);
}

bool epc_linear_large_run(epc_pool *pool, epc_level level, const epc_linear *linear, const float *x,
                          const int32_t *x_index, size_t rows, float *y) {
  const size_t threads = epc_pool_threads(pool);
  for (size_t i = 0; i < threads; i++) {
    if (epc_pool_scratch(pool, i, room_bytes(linear->format, linear->out)) == NULL) return false;
  }
  // As many for each thread, in whole tiles.
  const size_t together = block_rows(linear->format) * threads;
  const size_t rounds = (rows + together - 1) / together;
  const size_t share = (rows + rounds * threads - 1) / (rounds * threads);
  large run = {
      .pool = pool,
      .level = level,
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
