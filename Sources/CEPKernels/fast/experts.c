// A layer of routed experts over threads, each weight read once: a task makes a panel of gate and the one
// of up for the rows of an expert and gates them, another a panel of down.
#include <stdatomic.h>
#include <string.h>

#include "products.h"

enum {
  /// Rows of an expert that meet weights together: as many as stay in the second-level cache.
  CHUNK = 256,
};

/// Rows of a slot that tasks make together.
typedef struct {
  uint32_t slot, first, end;
  /// Panels of gate and up that have still to be made.
  atomic_uint left;
} part;

typedef struct {
  epc_pool *pool;
  epc_level level;
  const epc_experts *experts;
  /// Of gate and up, and of down.
  epc_product in, out;
  size_t in_panels, out_panels;
  const float *x;
  float *y;
  part *parts;
  /// By thread, one more than the part whose rows it has prepared.
  uint32_t *tags;
  /// What comes out of the gate, as numbers and prepared.
  float *gated;
  char *prepared;
} run;

/// Where things lie in a thread's room.
typedef struct {
  float *gate, *up, *row, *gathered;
  char *prepared;
} room;

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static room lay_out(const run *run, void *at) {
  const size_t in = larger(run->in.in, run->out.in);
  room r;
  r.prepared = at;
  r.gate = (float *)(r.prepared + CHUNK * run->in.row_bytes);
  r.up = r.gate + CHUNK * EPC_PANEL;
  r.row = r.up + CHUNK * EPC_PANEL;
  r.gathered = r.row + in + EPC_GROUP;
  return r;
}

static size_t room_bytes(const run *run) {
  return CHUNK * (run->in.row_bytes + 2 * EPC_PANEL * sizeof(float)) +
         ((1 + EPC_ROWS) * larger(run->in.in, run->out.in) + EPC_GROUP) * sizeof(float);
}

/// Rows of x one after the other, or those of `sources`.
static void prepare(const epc_product *product, const float *x, const int32_t *sources, size_t rows,
                    const room *room, char *prepared) {
  const size_t in = product->in;
  if (epc_is_in_tiles(product, rows)) {
    for (size_t r = 0; r < rows; r++) {
      const ptrdiff_t away = sources == NULL ? 0 : sources[r] - (ptrdiff_t)r;
      epc_prepare_tiles(product->format, x + away * (ptrdiff_t)in, in, NULL, in, rows, r, r + 1,
                        prepared);
    }
    return;
  }
  const size_t blocks = epc_row_blocks(rows);
  for (size_t b = 0; b < blocks; b++) {
    const size_t first = rows * b / blocks;
    const size_t end = rows * (b + 1) / blocks;
    const float *from = x;
    if (sources != NULL) {
      for (size_t r = first; r < end; r++) {
        memcpy(room->gathered + (r - first) * in, x + (size_t)sources[r] * in, in * sizeof(float));
      }
      from = room->gathered - (ptrdiff_t)(first * in);
    }
    epc_prepare(product->kernels, product->format, from, in, NULL, in, rows, b, b + 1, room->row, prepared);
  }
}

static void add_bias(const float *bias, size_t count, size_t rows, size_t stride, float *y) {
  if (bias == NULL) return;
  for (size_t r = 0; r < rows; r++) {
    for (size_t o = 0; o < count; o++) y[r * stride + o] += bias[o];
  }
}

/// Gate, up and what is made of them: a panel of the elements between.
static void gate(void *context, size_t index, size_t worker) {
  const run *run = context;
  const epc_experts *e = run->experts;
  const size_t number = index / run->in_panels;
  const size_t panel = index % run->in_panels;
  part *part = &run->parts[number];
  const size_t rows = part->end - part->first;
  const room room = lay_out(run, epc_pool_scratch(run->pool, worker, 0));
  if (run->tags[worker] != number + 1) {
    const bool is_gathered = e->sources != NULL;
    prepare(&run->in, is_gathered ? run->x : run->x + part->first * e->width,
            is_gathered ? e->sources + part->first : NULL, rows, &room, room.prepared);
    run->tags[worker] = (uint32_t)number + 1;
  }
  const size_t bytes = epc_packed_bytes(e->format, e->hidden, e->width) * part->slot;
  epc_panel panels[2] = {
      epc_panel_at(&run->in, (const char *)e->gate + bytes, e->hidden, panel),
      epc_panel_at(&run->in, (const char *)e->up + bytes, e->hidden, panel),
  };
  const size_t width = panels->width;
  for (int i = 0; i < 2; i++) {
    panels[i].block.rows = rows;
    panels[i].block.prepared = room.prepared;
    panels[i].block.sums = i == 0 ? room.gate : room.up;
    panels[i].block.sums_stride = width;
  }
  epc_panels_multiply(panels, 2);
  const size_t first = panel * EPC_PANEL;
  const size_t kept = e->hidden - first < width ? e->hidden - first : width;
  const size_t vector = part->slot * e->hidden + first;
  add_bias(e->gate_bias == NULL ? NULL : e->gate_bias + vector, kept, rows, width, room.gate);
  add_bias(e->up_bias == NULL ? NULL : e->up_bias + vector, kept, rows, width, room.up);
  float *gated = run->gated + part->first * e->hidden;
  for (size_t r = 0; r < rows; r++) {
    epc_glu_run(run->level, &e->glu, room.gate + r * width, room.up + r * width, kept,
                gated + r * e->hidden + first);
  }
  // Whoever makes the last panel makes all of them ready for down.
  if (atomic_fetch_sub_explicit(&part->left, 1, memory_order_acq_rel) == 1) {
    prepare(&run->out, gated, NULL, rows, &room,
            run->prepared + part->first * run->out.row_bytes);
  }
}

static void finish(void *context, size_t index, size_t worker) {
  const run *run = context;
  const epc_experts *e = run->experts;
  const part *part = &run->parts[index / run->out_panels];
  const size_t panel = index % run->out_panels;
  const size_t rows = part->end - part->first;
  const size_t bytes = epc_packed_bytes(e->format, e->width, e->hidden) * part->slot;
  epc_panel p = epc_panel_at(&run->out, (const char *)e->down + bytes, e->width, panel);
  const size_t first = panel * EPC_PANEL;
  const size_t kept = e->width - first < p.width ? e->width - first : p.width;
  float *y = run->y + part->first * e->width + first;
  // The last panel, if it is padded, is made elsewhere and copied.
  float *made = epc_pool_scratch(run->pool, worker, 0);
  p.block.rows = rows;
  p.block.prepared = run->prepared + part->first * run->out.row_bytes;
  p.block.sums = kept == p.width ? y : made;
  p.block.sums_stride = kept == p.width ? e->width : p.width;
  p.is_streamed = kept == p.width && e->down_bias == NULL &&
                  epc_is_streamed((size_t)e->ends[e->slots - 1], e->width);
  epc_panels_multiply(&p, 1);
  for (size_t r = 0; r < rows && kept < p.width; r++) {
    memcpy(y + r * e->width, made + r * p.width, kept * sizeof(float));
  }
  const float *bias =
      e->down_bias == NULL ? NULL : e->down_bias + part->slot * e->width + first;
  add_bias(bias, kept, rows, e->width, y);
}

/// Bytes rounded up, so that what comes next is aligned.
static size_t aligned(size_t bytes) { return (bytes + 63) / 64 * 64; }

size_t epc_experts_scratch(const epc_experts *experts, size_t rows, size_t threads) {
  return aligned(rows * experts->hidden * sizeof(float)) +
         aligned(rows * epc_prepared_bytes(experts->format, experts->hidden)) +
         aligned((experts->slots + rows / CHUNK) * sizeof(part)) + threads * sizeof(uint32_t) + 64;
}

bool epc_experts_run(epc_pool *pool, epc_level level, const epc_experts *experts, const float *x,
                     size_t rows, void *scratch, float *y) {
  if (rows == 0) return true;
  run run = {
      .pool = pool,
      .level = level,
      .experts = experts,
      .in = epc_product_of(level, experts->format, experts->width),
      .out = epc_product_of(level, experts->format, experts->hidden),
      .in_panels = epc_packed_panels(experts->hidden),
      .out_panels = epc_packed_panels(experts->width),
      .x = x,
      .y = y,
  };
  const size_t threads = epc_pool_threads(pool);
  for (size_t i = 0; i < threads; i++) {
    if (epc_pool_scratch(pool, i, room_bytes(&run)) == NULL) return false;
  }
  char *at = (char *)aligned((uintptr_t)scratch);
  run.prepared = at;
  at += aligned(rows * run.out.row_bytes);
  run.gated = (float *)at;
  at += aligned(rows * experts->hidden * sizeof(float));
  run.parts = (part *)at;
  at += aligned((experts->slots + rows / CHUNK) * sizeof(part));
  run.tags = (uint32_t *)at;
  memset(run.tags, 0, threads * sizeof(uint32_t));
  size_t count = 0;
  size_t first = 0;
  for (size_t slot = 0; slot < experts->slots; slot++) {
    const size_t end = (size_t)experts->ends[slot];
    for (; first < end; count++) {
      const size_t next = end - first > CHUNK ? first + CHUNK : end;
      part *part = &run.parts[count];
      part->slot = (uint32_t)slot;
      part->first = (uint32_t)first;
      part->end = (uint32_t)next;
      atomic_init(&part->left, (unsigned)run.in_panels);
      first = next;
    }
  }
  epc_pool_run(pool, count * run.in_panels, gate, &run);
  epc_pool_run(pool, count * run.out_panels, finish, &run);
  return true;
}

typedef struct {
  const epc_kernels *kernels;
  const epc_combination *c;
  float *y;
  size_t pieces;
} sums;

static void combine(void *context, size_t index, size_t worker) {
  (void)worker;
  const sums *s = context;
  const epc_combination *c = s->c;
  enum { TOGETHER = 16 };
  const float *rows[TOGETHER];
  float weights[TOGETHER];
  for (size_t r = c->rows * index / s->pieces; r < c->rows * (index + 1) / s->pieces; r++) {
    float *y = s->y + r * c->width;
    bool is_first = true;
    size_t count = 0;
    for (size_t k = 0; k < c->top_k; k++) {
      const size_t choice = r * c->top_k + k;
      if (c->indices[choice] < 0) continue;
      const bool is_identity = (size_t)c->indices[choice] >= c->experts;
      if (is_identity && c->identity == NULL) continue;
      rows[count] = is_identity ? c->identity + r * c->width
                                : c->returned + (size_t)c->places[choice] * c->width;
      weights[count++] = c->unweighted && !is_identity ? 1 : c->weights[choice];
      if (count == TOGETHER) {
        s->kernels->add_rows(rows, weights, count, is_first, c->width, y);
        is_first = false;
        count = 0;
      }
    }
    if (count > 0 || is_first) s->kernels->add_rows(rows, weights, count, is_first, c->width, y);
  }
}

void epc_combine_run(epc_pool *pool, epc_level level, const epc_combination *combination, float *y) {
  const size_t work = combination->rows * combination->top_k * combination->width;
  const size_t most = 4 * epc_pool_threads(pool);
  sums s = {.kernels = epc_kernels_of(level), .c = combination, .y = y};
  s.pieces = combination->rows < most ? combination->rows : most;
  // Some 10 us of work are worth a thread.
  if (work < (1 << 17)) s.pieces = 1;
  if (combination->rows > 0) epc_pool_run(pool, s.pieces, combine, &s);
}
