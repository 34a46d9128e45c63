// Matrix products over threads: rows are prepared once, then every task makes the outputs of a few
// panels of one matrix for all rows that meet it.
#include <string.h>

#include "products.h"

enum {
  /// Panels of a task whose rows do not stay in the second-level cache from one panel to the next.
  SPAN = 4,
  /// Rows in tiles that are multiplied together: as many as stay in the second-level cache.
  CHUNK = 256,
};

/// Rows of a group that tasks make together.
typedef struct {
  uint32_t group, first, end;
} chunk;

typedef struct {
  epc_pool *pool;
  epc_product product;
  const epc_linear *linear;
  const float *x;
  const int32_t *x_index;
  size_t rows;
  /// Prepared rows, one batch after the other.
  char *prepared;
  /// Bytes from the rows of a batch to those of the next.
  size_t batch_bytes;
  float *y;
  size_t panels;
  /// Panels of a task, and tasks of a matrix.
  size_t span, tasks;
  /// The rows of all groups that have some.
  chunk *chunks;
  size_t matrix_bytes, row_bytes;
  /// Tasks that a batch's rows are prepared in.
  size_t pieces;
} run;

const epc_kernels *epc_kernels_of(epc_level level) {
#if defined(__x86_64__)
  switch (level) {
    case EPC_LEVEL_PORTABLE: return &epc_kernels_portable;
    case EPC_LEVEL_AVX2: return &epc_kernels_avx2;
    case EPC_LEVEL_AVX512: return &epc_kernels_avx512;
    case EPC_LEVEL_VNNI:
    case EPC_LEVEL_AMX: return &epc_kernels_vnni;
  }
#endif
  (void)level;
  return &epc_kernels_portable;
}

size_t epc_linear_scratch(const epc_linear *linear, size_t rows) {
  return rows * linear->batch * epc_prepared_bytes(linear->format, linear->in) +
         (linear->groups + rows / CHUNK) * sizeof(chunk) + 64;
}

/// The rows of a group.
static size_t group_start(const epc_linear *l, size_t group) {
  return group == 0 || l->group_ends == NULL ? 0 : (size_t)l->group_ends[group - 1];
}

static size_t group_end(const run *run, size_t group) {
  const epc_linear *l = run->linear;
  return l->group_ends == NULL ? run->rows : (size_t)l->group_ends[group];
}

/// Lists the rows of all groups; tiles begin with every 16th row, so their rows may be cut.
static size_t cut(const run *run) {
  const epc_linear *l = run->linear;
  size_t count = 0;
  for (size_t g = 0; g < l->groups; g++) {
    const size_t end = group_end(run, g);
    for (size_t first = group_start(l, g); first < end;) {
      // None of a few rows, which would be multiplied without tiles.
      const bool is_cut = run->product.has_tiles && end - first > CHUNK + EPC_FEW_ROWS;
      const size_t next = is_cut ? first + CHUNK : end;
      run->chunks[count++] = (chunk){(uint32_t)g, (uint32_t)first, (uint32_t)next};
      first = next;
    }
  }
  return count;
}

/// Room for one row with its padding.
static float *row_room(epc_pool *pool, size_t worker, size_t in) {
  return epc_pool_scratch(pool, worker, (in + EPC_GROUP) * sizeof(float));
}

static void prepare(void *context, size_t index, size_t worker) {
  const run *run = context;
  const epc_linear *l = run->linear;
  const size_t batch = index / run->pieces;
  const size_t piece = index % run->pieces;
  float *row = row_room(run->pool, worker, l->in);
  const int32_t *x_index = run->x_index == NULL ? NULL : run->x_index + batch * l->in;
  const float *x = run->x_index == NULL ? run->x + batch * l->in : run->x;
  const size_t x_stride = l->batch * l->in;
  char *prepared = run->prepared + batch * run->rows * run->row_bytes;
  // A piece is a share of the blocks of all groups, counted from first to last.
  size_t before = 0;
  size_t all = 0;
  for (size_t g = 0; g < l->groups; g++) {
    all += epc_row_blocks(group_end(run, g) - group_start(l, g));
  }
  const size_t from = all * piece / run->pieces;
  const size_t to = all * (piece + 1) / run->pieces;
  for (size_t g = 0; g < l->groups && before < to; g++) {
    const size_t start = group_start(l, g);
    const size_t rows = group_end(run, g) - start;
    const size_t blocks = epc_row_blocks(rows);
    const size_t first = from > before ? from - before : 0;
    const size_t end = to - before < blocks ? to - before : blocks;
    if (first < end && epc_is_in_tiles(&run->product, rows)) {
      epc_prepare_tiles(l->format, x + start * x_stride, x_stride, x_index, l->in, rows,
                        rows * first / blocks, rows * end / blocks,
                        prepared + start * run->row_bytes);
    } else if (first < end) {
      epc_prepare(run->product.kernels, l->format, x + start * x_stride, x_stride, x_index, l->in, rows, first, end, row,
                  prepared + start * run->row_bytes);
    }
    before += blocks;
  }
}

/// Room that a task needs for sums that do not lie in the results: those of the last panel.
static size_t task_bytes(const epc_linear *linear, size_t rows) {
  return linear->out % EPC_LANES != 0 ? rows * EPC_PANEL * sizeof(float) : 0;
}

static void multiply(void *context, size_t index, size_t worker) {
  const run *run = context;
  const epc_linear *l = run->linear;
  const size_t from = index % run->tasks * run->span;
  const size_t to = from + run->span < run->panels ? from + run->span : run->panels;
  size_t matrix = index / run->tasks;
  const size_t batch = matrix % l->batch;
  const chunk *c = &run->chunks[matrix / l->batch];
  const size_t start = c->first;
  const size_t rows = c->end - c->first;
  matrix = c->group * l->batch + batch;
  const size_t y_stride = l->batch * l->out;
  float *y = run->y + start * y_stride + batch * l->out;
  float *room = epc_pool_scratch(run->pool, worker, task_bytes(l, run->rows));
  epc_panel panels[SPAN];
  for (size_t i = 0; i < to - from; i++) {
    const size_t first = (from + i) * EPC_PANEL;
    panels[i] = epc_panel_at(&run->product, (const char *)l->weights + matrix * run->matrix_bytes,
                             l->out, from + i);
    const size_t width = panels[i].width;
    // The last panel, if it is padded, is made elsewhere and copied.
    const bool is_apart = first + width > l->out;
    epc_block *block = &panels[i].block;
    block->rows = rows;
    block->prepared = run->prepared + batch * run->batch_bytes + start * block->row_bytes;
    block->sums = is_apart ? room : y + first;
    block->sums_stride = is_apart ? width : y_stride;
    panels[i].is_streamed = !is_apart && l->bias == NULL && epc_is_streamed(run->rows, y_stride);
  }
  epc_panels_multiply(panels, to - from);
  for (size_t i = 0; i < to - from; i++) {
    const epc_block *block = &panels[i].block;
    epc_finish_panel(l, matrix, from + i, block->sums, block->sums_stride, rows, y);
  }
}

void epc_finish_panel(const epc_linear *linear, size_t matrix, size_t panel, const float *sums,
                      size_t sums_stride, size_t rows, float *y) {
  const size_t first = panel * EPC_PANEL;
  const size_t kept = linear->out - first < EPC_PANEL ? linear->out - first : EPC_PANEL;
  const size_t y_stride = linear->batch * linear->out;
  const float *bias = linear->bias == NULL ? NULL : linear->bias + matrix * linear->out + first;
  if (bias == NULL && sums == y + first) return;
  for (size_t r = 0; r < rows; r++) {
    for (size_t o = 0; o < kept; o++) {
      y[r * y_stride + first + o] = sums[r * sums_stride + o] + (bias == NULL ? 0 : bias[o]);
    }
  }
}

bool epc_linear_run(epc_pool *pool, epc_level level, const epc_linear *linear, const float *x,
                    const int32_t *x_index, size_t rows, void *scratch, float *y) {
  if (rows == 0) return true;
  if (epc_linear_is_large(pool, level, linear, rows)) {
    return epc_linear_large_run(pool, level, linear, x, x_index, rows, y);
  }
  // Memory that tasks will want is taken first, since they cannot fail.
  const size_t threads = epc_pool_threads(pool);
  const size_t task = task_bytes(linear, rows);
  const size_t row = (linear->in + EPC_GROUP) * sizeof(float);
  for (size_t i = 0; i < threads; i++) {
    if (epc_pool_scratch(pool, i, task > row ? task : row) == NULL) return false;
  }
  run run = {
      .pool = pool,
      .product = epc_product_of(level, linear->format, linear->in),
      .linear = linear,
      .x = x,
      .x_index = x_index,
      .rows = rows,
      .prepared = (char *)(((uintptr_t)scratch + 63) / 64 * 64),
      .y = y,
      .panels = epc_packed_panels(linear->out),
      .matrix_bytes = epc_packed_bytes(linear->format, linear->out, linear->in),
      .row_bytes = epc_prepared_bytes(linear->format, linear->in),
      // Rows that a thread prepares sooner than another wakes are not shared out.
      .pieces = rows * linear->in < 16384 ? 1 : 4 * threads,
  };
  run.batch_bytes = rows * run.row_bytes;
  run.chunks = (chunk *)(run.prepared + linear->batch * run.batch_bytes);
  if (linear->format == EPC_FORMAT_F32 && x_index == NULL) {
    // Floats are multiplied where they lie.
    run.prepared = (char *)(uintptr_t)x;
    run.batch_bytes = run.row_bytes;
    run.product.row_bytes = linear->batch * run.row_bytes;
  } else if (run.pieces == 1 && linear->batch * rows * linear->in < 16384) {
    for (size_t b = 0; b < linear->batch; b++) prepare(&run, b, 0);
  } else {
    epc_pool_run(pool, linear->batch * run.pieces, prepare, &run);
  }
  // Many rows of many inputs are read once for a few panels, as long as there are tasks for all.
  const size_t bytes = (rows < CHUNK ? rows : CHUNK) * run.row_bytes;
  const size_t most = run.panels / (2 * threads);
  run.span = bytes <= (1 << 19) || most < 2 ? 1 : most < SPAN ? most : SPAN;
  run.tasks = (run.panels + run.span - 1) / run.span;
  const size_t count = cut(&run);
  epc_pool_run(pool, count * linear->batch * run.tasks, multiply, &run);
  return true;
}
