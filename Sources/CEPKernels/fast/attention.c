// Attention over threads: a task makes a few queries of one sequence that read the same keys, or, where
// there are many rows, one head.
#include <math.h>
#include <string.h>

#include "attention.h"

enum {
  /// Queries of a task, so that keys read from the cache are used as often.
  QUERIES = 24,
  /// Heads of a task for one row, where there are few sequences, so that there are tasks for all threads.
  DECODE_HEADS = 8,
  /// Outputs of a task that threads share a sequence's positions for.
  COLUMNS = 64,
};

/// How a sequence is cut into tasks.
typedef struct {
  size_t heads, rows;
  size_t head_blocks, row_blocks;
} cut;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static cut cut_of(const epc_attention_job *job, const epc_span *span) {
  const size_t group = job->heads / job->key_heads;
  cut c;
  c.rows = least(span->rows, QUERIES);
  c.heads = least(group, c.rows == 1 ? job->decode_heads : QUERIES / c.rows);
  // A group is cut into equal parts.
  c.head_blocks = (group + c.heads - 1) / c.heads;
  c.row_blocks = (span->rows + c.rows - 1) / c.rows;
  return c;
}

static size_t tasks_of(const epc_attention_job *job, const epc_span *span) {
  if (span->rows == 0) return 0;
  if (epc_is_blocked(job, span)) return job->heads;
  const cut c = cut_of(job, span);
  return job->key_heads * c.head_blocks * c.row_blocks;
}

/// Bars all positions that are not selected.
static void keep_selected(const int32_t *selection, size_t selected, size_t position, float *scores,
                          uint8_t *marks) {
  memset(marks, 0, position + 1);
  for (size_t k = 0; k < selected; k++) {
    if (selection[k] >= 0 && (size_t)selection[k] <= position) marks[selection[k]] = 1;
  }
  for (size_t j = 0; j <= position; j++) {
    if (marks[j] == 0) scores[j] = -INFINITY;
  }
}

/// Turns the scores of one row, which begin with position `from`, into weights; 0 for what it does
/// not see.
static void weigh(const epc_attention_job *job, const epc_span *span, size_t row, size_t head, size_t from,
                  size_t to, float *scores, uint8_t *marks) {
  const size_t position = span->first_position + row;
  const size_t first = epc_first_seen(job, position);
  float *seen = scores + (first - from);
  const size_t count = position + 1 - first;
  if (job->softcap > 0) {
    for (size_t j = 0; j < count; j++) {
      seen[j] = (float)job->softcap * tanhf(seen[j] / (float)job->softcap);
    }
  }
  if (job->selected > 0) {
    keep_selected(span->selection + row * job->selected, job->selected, position, seen, marks);
  }
  job->kernels->softmax(seen, count, job->sinks == NULL ? NULL : job->sinks + head);
  memset(scores, 0, (first - from) * sizeof(float));
  memset(seen + count, 0, (to - position - 1) * sizeof(float));
}

/// Floats of a task's room, for sequences of up to `end` positions.
static size_t room_of(size_t end) { return QUERIES * end + end / 4 + 32; }

const float *epc_up_rows(const epc_attention_job *job, size_t head, size_t first, size_t rows,
                         float *room) {
  const size_t rank = job->sizes[0];
  const size_t at = (head * (job->nope + job->up_value_size) + first) * rank;
  if (job->up.reals != NULL) return job->up.reals + at;
  job->kernels->widen(job->up.halves + at, rows * rank, room);
  return room;
}

/// Rows whose queries lie one after the other, of sequences that are not attended to in blocks.
typedef struct {
  const epc_span *span;
  size_t first, rows;
} stretch;

/// The stretch that begins with sequence `*next` or a later one, whose first row is row `*row` of the
/// step; both are moved beyond it.
static stretch next_stretch(const epc_attention_job *job, size_t *next, size_t *row) {
  while (*next < job->count && epc_is_blocked(job, &job->spans[*next])) *row += job->spans[(*next)++].rows;
  stretch s = {.span = &job->spans[*next], .first = *row};
  const size_t query = job->heads * job->nope;
  const size_t value = job->heads * job->up_value_size;
  for (; *next < job->count && !epc_is_blocked(job, &job->spans[*next]); (*next)++) {
    const epc_span *now = &job->spans[*next];
    if (now->query != s.span->query + s.rows * query || now->y != s.span->y + s.rows * value) break;
    s.rows += now->rows;
    *row += now->rows;
  }
  return s;
}

/// Multiplies rows with `count` rows of a head's part of `up`, from row `first` on.
static void multiply_halves(const epc_attention_job *job, void (*multiply)(const epc_halves *), size_t head,
                            size_t first, const float *x, size_t rows, size_t width, size_t count,
                            float *const *results, float *room) {
  const size_t rank = job->sizes[0];
  const size_t all = job->nope + job->up_value_size;
  const uint16_t *halves = job->up.halves + (head * all + first) * rank;
  const epc_halves product = {
      .rows = rows,
      .count = count,
      .size = rank,
      .x = x,
      .x_stride = job->heads * width,
      .halves = halves,
      // The same rows of the next head, if there is one.
      .next = head + 1 < job->heads ? halves + all * rank : halves,
      .room = room,
      .results = results,
  };
  multiply(&product);
}

/// Absorbs the queries of a head, all of them together, so that what makes keys is read once.
static void absorb(void *context, size_t head, size_t worker) {
  const epc_attention_job *job = context;
  const size_t rank = job->sizes[0];
  const float *up = job->up.reals == NULL ? NULL : epc_up_rows(job, head, 0, job->nope, NULL);
  size_t next = 0;
  size_t row = 0;
  while (next < job->count) {
    const stretch s = next_stretch(job, &next, &row);
    for (size_t first = 0; first < s.rows; first += QUERIES) {
      float *results[QUERIES];
      const size_t rows = least(s.rows - first, QUERIES);
      for (size_t i = 0; i < rows; i++) {
        results[i] = job->absorbed + ((s.first + first + i) * job->heads + head) * rank;
      }
      const float *x = s.span->query + (first * job->heads + head) * job->nope;
      if (up == NULL) {
        multiply_halves(job, job->kernels->mix_halves, head, 0, x, rows, job->nope, job->nope, results,
                        epc_pool_scratch(job->pool, worker, 0));
        continue;
      }
      const epc_mixture m = {
          .rows = rows,
          .count = job->nope,
          .size = rank,
          .weights = x,
          .weight_stride = job->heads * job->nope,
          .values = up,
          .value_stride = rank,
          .results = results,
      };
      job->kernels->mix(&m);
    }
  }
}

/// Makes values of what the queries of a head read of the latents.
static void make_values(void *context, size_t head, size_t worker) {
  const epc_attention_job *job = context;
  const size_t rank = job->sizes[0];
  const float *up =
      job->up.reals == NULL ? NULL : epc_up_rows(job, head, job->nope, job->up_value_size, NULL);
  size_t next = 0;
  size_t row = 0;
  while (next < job->count) {
    const stretch s = next_stretch(job, &next, &row);
    for (size_t first = 0; first < s.rows; first += QUERIES) {
      const float *queries[QUERIES];
      float *results[QUERIES];
      const size_t rows = least(s.rows - first, QUERIES);
      float *y = s.span->y + (first * job->heads + head) * job->up_value_size;
      for (size_t i = 0; i < rows; i++) {
        queries[i] = job->mixed + ((s.first + first + i) * job->heads + head) * rank;
        results[i] = y + i * job->heads * job->up_value_size;
      }
      if (up == NULL) {
        multiply_halves(job, job->kernels->dot_halves, head, job->nope, queries[0], rows, rank,
                        job->up_value_size, results, epc_pool_scratch(job->pool, worker, 0));
        continue;
      }
      const epc_scores values = {
          .rows = rows,
          .queries = {queries, queries},
          .keys = {up, NULL},
          .key_strides = {rank, 0},
          .sizes = {rank, 0},
          .from = 0,
          .to = job->up_value_size,
          .scale = 1,
          .scores = y,
          .stride = job->heads * job->up_value_size,
      };
      job->kernels->scores(&values);
    }
  }
}

/// Queries of one sequence that read the same keys.
typedef struct {
  const epc_span *span;
  size_t key_head;
  /// The positions that any of them sees.
  size_t from, to;
  size_t count;
  size_t rows[QUERIES], heads[QUERIES];
  const float *parts[2][QUERIES];
  float *results[QUERIES];
} queries;

/// Those of a task of a sequence, whose first row is row `row_before` of the step.
static void find_queries(const epc_attention_job *job, const epc_span *span, size_t row_before, size_t index,
                         queries *q) {
  const cut c = cut_of(job, span);
  const size_t group = job->heads / job->key_heads;
  const size_t row_block = index / (job->key_heads * c.head_blocks);
  const size_t head_block = index % c.head_blocks;
  const size_t first_row = span->rows * row_block / c.row_blocks;
  const size_t end_row = span->rows * (row_block + 1) / c.row_blocks;
  q->span = span;
  q->key_head = index / c.head_blocks % job->key_heads;
  q->from = epc_first_seen(job, span->first_position + first_row);
  q->to = span->first_position + end_row;
  q->count = 0;
  const size_t first_head = q->key_head * group + group * head_block / c.head_blocks;
  const size_t end_head = q->key_head * group + group * (head_block + 1) / c.head_blocks;
  for (size_t h = first_head; h < end_head; h++) {
    for (size_t r = first_row; r < end_row; r++) {
      const size_t i = q->count++;
      const size_t place = r * job->heads + h;
      const size_t latent = (row_before * job->heads + place) * job->sizes[0];
      q->rows[i] = r;
      q->heads[i] = h;
      q->parts[0][i] = job->is_latent ? job->absorbed + latent : span->query + place * job->sizes[0];
      q->parts[1][i] = job->is_latent ? span->query_rope + place * job->sizes[1] : NULL;
      q->results[i] = job->is_latent ? job->mixed + latent : span->y + place * job->value_size;
    }
  }
}

/// The scores of the positions `from` up to `to`; a query's are `q->to - q->from` from those of the next.
static void score(const epc_attention_job *job, const queries *q, size_t from, size_t to, float *scores) {
  const epc_scores s = {
      .rows = q->count,
      .queries = {q->parts[0], q->parts[1]},
      .keys = {q->span->keys + q->key_head * job->sizes[0], q->span->others},
      .key_strides = {job->key_heads * job->sizes[0], job->sizes[1]},
      .sizes = {job->sizes[0], job->sizes[1]},
      .from = from,
      .to = to,
      .scale = (float)job->scale,
      .scores = scores + (from - q->from),
      .stride = q->to - q->from,
  };
  job->kernels->scores(&s);
}

/// The elements `from` up to `to` of what is read.
static void mix(const epc_attention_job *job, const queries *q, const float *weights, size_t from, size_t to) {
  const size_t size = job->is_latent ? job->sizes[0] : job->value_size;
  const float *values = job->is_latent ? q->span->keys : q->span->others + q->key_head * size;
  const size_t stride = job->is_latent ? size : job->key_heads * size;
  float *results[QUERIES];
  for (size_t i = 0; i < q->count; i++) results[i] = q->results[i] + from;
  const epc_mixture m = {
      .rows = q->count,
      .count = q->to - q->from,
      .size = to - from,
      .weights = weights,
      .weight_stride = q->to - q->from,
      .values = values + q->from * stride + from,
      .value_stride = stride,
      .results = results,
  };
  job->kernels->mix(&m);
}

static void attend(void *context, size_t index, size_t worker) {
  const epc_attention_job *job = context;
  const epc_span *span = job->spans;
  size_t row_before = 0;
  while (index >= tasks_of(job, span)) {
    index -= tasks_of(job, span);
    row_before += (span++)->rows;
  }
  float *room = epc_pool_scratch(job->pool, worker, 0);
  if (epc_is_blocked(job, span)) {
    epc_attend_blocked(job, span, index, room);
    return;
  }
  queries q;
  find_queries(job, span, row_before, index, &q);
  const size_t count = q.to - q.from;
  uint8_t *marks = (uint8_t *)(room + QUERIES * q.to);
  score(job, &q, q.from, q.to, room);
  for (size_t i = 0; i < q.count; i++) {
    weigh(job, span, q.rows[i], q.heads[i], q.from, q.to, room + i * count, marks);
  }
  mix(job, &q, room, 0, job->is_latent ? job->sizes[0] : job->value_size);
}

// Few sequences of one row each, whose latents all heads share: threads share the positions, so that each
// reads a part of them.

/// The queries of a sequence, and its scores, which are all threads'.
static float *find_shared(const epc_attention_job *job, size_t sequence, queries *q) {
  find_queries(job, &job->spans[sequence], sequence, 0, q);
  return (float *)epc_pool_scratch(job->pool, 0, 0) + sequence * job->shared_floats;
}

static void score_part(void *context, size_t index, size_t worker) {
  (void)worker;
  const epc_attention_job *job = context;
  queries q;
  float *scores = find_shared(job, index / job->shared_parts, &q);
  const size_t part = index % job->shared_parts;
  const size_t count = q.to - q.from;
  score(job, &q, q.from + count * part / job->shared_parts,
        q.from + count * (part + 1) / job->shared_parts, scores);
}

static void weigh_query(void *context, size_t index, size_t worker) {
  (void)worker;
  const epc_attention_job *job = context;
  queries q;
  float *scores = find_shared(job, index / job->heads, &q);
  const size_t i = index % job->heads;
  weigh(job, q.span, q.rows[i], q.heads[i], q.from, q.to, scores + i * (q.to - q.from), NULL);
}

static void mix_part(void *context, size_t index, size_t worker) {
  (void)worker;
  const epc_attention_job *job = context;
  const size_t parts = (job->sizes[0] + COLUMNS - 1) / COLUMNS;
  queries q;
  const float *scores = find_shared(job, index / parts, &q);
  const size_t from = index % parts * COLUMNS;
  mix(job, &q, scores, from, least(from + COLUMNS, job->sizes[0]));
}

/// Decides how many heads a task has, and whether threads share positions.
static void plan(epc_attention_job *job) {
  const size_t enough = 2 * epc_pool_threads(job->pool);
  const size_t blocks = (job->heads / job->key_heads + QUERIES - 1) / QUERIES * job->key_heads;
  bool are_plain = job->is_latent && job->selected == 0 && job->heads <= QUERIES;
  size_t end = 0;
  for (size_t i = 0; i < job->count; i++) {
    are_plain = are_plain && job->spans[i].rows == 1;
    if (job->spans[i].first_position >= end) end = job->spans[i].first_position + 1;
  }
  job->shared_parts = are_plain && job->count < enough ? enough : 0;
  job->shared_floats = job->heads * end;
  job->decode_heads =
      job->shared_parts > 0 || job->count * blocks >= enough ? QUERIES : DECODE_HEADS;
}

static bool run(epc_attention_job *job) {
  plan(job);
  size_t bytes = job->shared_parts > 0 ? job->count * job->shared_floats * sizeof(float) : 0;
  size_t tasks = 0;
  bool is_absorbed = false;
  for (size_t i = 0; i < job->count; i++) {
    const epc_span *span = &job->spans[i];
    const bool is_blocked = epc_is_blocked(job, span);
    const size_t needed = is_blocked ? epc_blocked_room(job, span)
                                     : room_of(span->first_position + span->rows) * sizeof(float);
    if (needed > bytes) bytes = needed;
    is_absorbed = is_absorbed || (job->is_latent && !is_blocked);
    tasks += tasks_of(job, span);
  }
  if (is_absorbed) {
    const size_t needed = 4 * job->sizes[0] * sizeof(float);
    if (needed > bytes) bytes = needed;
  }
  for (size_t w = 0; w < epc_pool_threads(job->pool); w++) {
    if (epc_pool_scratch(job->pool, w, bytes) == NULL) return false;
  }
  if (is_absorbed) epc_pool_run(job->pool, job->heads, absorb, job);
  if (job->shared_parts > 0) {
    epc_pool_run(job->pool, job->count * job->shared_parts, score_part, job);
    epc_pool_run(job->pool, job->count * job->heads, weigh_query, job);
    epc_pool_run(job->pool, job->count * ((job->sizes[0] + COLUMNS - 1) / COLUMNS), mix_part, job);
  } else {
    epc_pool_run(job->pool, tasks, attend, job);
  }
  if (is_absorbed) epc_pool_run(job->pool, job->heads, make_values, job);
  return true;
}

bool epc_attention_run(epc_pool *pool, epc_level level, const epc_attention *attention,
                       const float *sinks, const epc_span *spans, size_t count) {
  epc_attention_job job = {
      .pool = pool,
      .kernels = epc_kernels_of(level),
      .spans = spans,
      .count = count,
      .heads = attention->heads,
      .key_heads = attention->key_heads,
      .sizes = {attention->key_size, 0},
      .value_size = attention->value_size,
      .scale = attention->scale,
      .window = attention->window,
      .chunk = attention->chunk,
      .selected = attention->selected,
      .softcap = attention->softcap,
      .sinks = sinks,
  };
  return run(&job);
}

/// Floats of absorbed queries, of all rows.
static size_t latent_floats(const epc_latent_attention *attention, const epc_span *spans, size_t count) {
  size_t rows = 0;
  for (size_t i = 0; i < count; i++) rows += spans[i].rows;
  return (rows * attention->heads * attention->rank + 15) / 16 * 16;
}

size_t epc_latent_attention_scratch(const epc_latent_attention *attention, const epc_span *spans,
                                    size_t count) {
  return 2 * latent_floats(attention, spans, count) * sizeof(float);
}

bool epc_latent_attention_run(epc_pool *pool, epc_level level,
                              const epc_latent_attention *attention, epc_latent_up up,
                              const epc_span *spans, size_t count, void *scratch) {
  epc_attention_job job = {
      .pool = pool,
      .kernels = epc_kernels_of(level),
      .spans = spans,
      .count = count,
      .heads = attention->heads,
      .key_heads = 1,
      .sizes = {attention->rank, attention->rope_size},
      .scale = attention->scale,
      .selected = attention->selected,
      .is_latent = true,
      .nope = attention->key_size,
      .up_value_size = attention->value_size,
      .up = up,
      .absorbed = scratch,
      .mixed = (float *)scratch + latent_floats(attention, spans, count),
  };
  return run(&job);
}
