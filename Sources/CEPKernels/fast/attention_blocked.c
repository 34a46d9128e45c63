// Attention of many rows: for a head, keys and values of a block of positions are laid out as weights
// are, and all rows that see them meet them as in a matrix product. Weights are brought up to date from
// block to block (Milakov and Gimelshein, arXiv:1805.02867; Dao et al., arXiv:2205.14135).
//
// Blocks begin with fixed positions, so a row's result does not depend on the rows beside it.
#include <math.h>
#include <string.h>

#include "attention.h"

enum {
  /// Positions of a block.
  KEYS = 512,
  /// Rows that meet a block together: scores stay in the second-level cache.
  ROWS = 48,
};

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static size_t padded(size_t count) { return (count + EPC_LANES - 1) / EPC_LANES * EPC_LANES; }

static size_t key_size_of(const epc_attention_job *job) {
  return !job->is_latent ? job->sizes[0] : job->nope + job->sizes[1];
}

static size_t value_size_of(const epc_attention_job *job) {
  return !job->is_latent ? job->value_size : job->up_value_size;
}

/// Where things lie in a thread's room.
typedef struct {
  /// Keys of a block, `[panel, element, 64]`, and values, `[panel, key, width]`.
  float *keys, *values;
  /// MLA: latents as rows, what makes keys and values of them as weights, and the keys made.
  float *latents, *up_keys, *up_values, *made;
  /// A few rows: queries, scores, and scores as rows.
  float *queries, *scores, *weights;
  /// All rows: what is read so far, the largest score, and the sum of weights.
  float *sums, *most, *total;
  /// Room for one row.
  float *row;
  float *end;
} room;

static room lay_out(const epc_attention_job *job, const epc_span *span, float *at) {
  const size_t rank = !job->is_latent ? 0 : job->sizes[0];
  const size_t size = key_size_of(job);
  const size_t width = padded(value_size_of(job));
  room r;
  r.keys = at;
  r.values = r.keys + KEYS * size;
  r.latents = r.values + KEYS * width;
  const size_t together = job->nope > width ? job->nope : width;
  r.up_keys = r.latents + (together > KEYS ? together : KEYS) * rank;
  r.up_values = r.up_keys + padded(job->nope) * rank;
  r.made = r.up_values + width * rank;
  r.queries = r.made + (!job->is_latent ? 0 : KEYS * padded(job->nope));
  r.scores = r.queries + ROWS * size;
  r.weights = r.scores + ROWS * (size > KEYS ? size : KEYS);
  r.sums = r.weights + ROWS * KEYS;
  r.most = r.sums + span->rows * width;
  r.total = r.most + span->rows;
  r.row = r.total + span->rows;
  r.end = r.row + size + rank + KEYS + EPC_GROUP;
  return r;
}

size_t epc_blocked_room(const epc_attention_job *job, const epc_span *span) {
  // Only distances matter: nothing is touched.
  float origin;
  const room r = lay_out(job, span, &origin);
  return (size_t)((uintptr_t)r.end - (uintptr_t)&origin);
}

/// sums = rows * weights, or more of it, for the first `width` outputs. Panels of 64 outputs lie one
/// after the other, the last as wide as is left of `all`.
static void multiply(const epc_attention_job *job, const float *prepared, size_t rows,
                     size_t inputs, const float *weights, size_t panel_inputs, size_t all,
                     size_t width, float *sums, size_t stride, bool is_first) {
  for (size_t first = 0; first < width; first += EPC_PANEL) {
    const size_t now = least(width - first, EPC_PANEL);
    const float *panel = weights + first * panel_inputs;
    const epc_block block = {
        .vectors = now / EPC_LANES,
        .weights = panel,
        .stride = least(all - first, EPC_PANEL),
        .inputs = inputs,
        .rows = rows,
        .prepared = (const char *)prepared,
        .row_bytes = inputs * sizeof(float),
        .sums = sums + first,
        .sums_stride = stride,
        .is_first = is_first,
        .next = (const char *)panel,
    };
    job->kernels->f32(&block);
  }
}

static void prepare(const epc_attention_job *job, const float *x, size_t stride, size_t in, size_t rows,
                    float *row, float *prepared) {
  epc_prepare(job->kernels, EPC_FORMAT_F32, x, stride, NULL, in, rows, 0, epc_row_blocks(rows), row,
              prepared);
}

/// Rows of `[out, in]` as weights: panels of inputs by up to 64 outputs, padded with zeros.
static void transpose(const float *x, size_t stride, size_t out, size_t in, size_t panel_inputs,
                      float *panels) {
  for (size_t first = 0; first < out; first += EPC_PANEL) {
    const size_t width = least(padded(out) - first, EPC_PANEL);
    const size_t kept = least(out - first, width);
    float *panel = panels + first * panel_inputs;
    for (size_t k = 0; k < in; k++) {
      float *to = panel + k * width;
      for (size_t o = 0; o < kept; o++) to[o] = x[(first + o) * stride + k];
      for (size_t o = kept; o < width; o++) to[o] = 0;
    }
  }
}

/// Keys and values of the positions `from` up to `to`, of the caches or of latents.
static void lay_keys(const epc_attention_job *job, const epc_span *span, size_t head, size_t from,
                     size_t to, const room *r) {
  const size_t count = to - from;
  const size_t size = key_size_of(job);
  const size_t value_size = value_size_of(job);
  if (!job->is_latent) {
    const size_t key_head = head / (job->heads / job->key_heads);
    const size_t key_stride = job->key_heads * size;
    const size_t value_stride = job->key_heads * value_size;
    transpose(span->keys + from * key_stride + key_head * size, key_stride, count, size, size,
              r->keys);
    const float *values = span->others + from * value_stride + key_head * value_size;
    for (size_t first = 0; first < value_size; first += EPC_PANEL) {
      const size_t width = least(padded(value_size) - first, EPC_PANEL);
      const size_t kept = least(value_size - first, width);
      float *panel = r->values + first * KEYS;
      for (size_t j = 0; j < count; j++) {
        memcpy(panel + j * width, values + j * value_stride + first, kept * sizeof(float));
        memset(panel + j * width + kept, 0, (width - kept) * sizeof(float));
      }
    }
    return;
  }
  const size_t rank = job->sizes[0];
  const size_t nope = job->nope;
  prepare(job, span->keys + from * rank, rank, rank, count, r->row, r->latents);
  multiply(job, r->latents, count, rank, r->up_keys, rank, padded(nope), padded(nope), r->made,
           padded(nope), true);
  for (size_t first = 0; first < padded(value_size); first += EPC_PANEL) {
    const size_t width = least(padded(value_size) - first, EPC_PANEL);
    multiply(job, r->latents, count, rank, r->up_values + first * rank, rank, width, width,
             r->values + first * KEYS, width, true);
  }
  // A key is what was made of its latent and then the part that all heads share.
  for (size_t first = 0; first < count; first += EPC_PANEL) {
    const size_t width = least(padded(count) - first, EPC_PANEL);
    float *panel = r->keys + first * size;
    transpose(r->made + first * padded(nope), padded(nope), least(count - first, width), nope,
              size, panel);
    transpose(span->others + (from + first) * job->sizes[1], job->sizes[1],
              least(count - first, width), job->sizes[1], size, panel + nope * width);
  }
}

/// The queries of a few rows, scaled.
static void lay_queries(const epc_attention_job *job, const epc_span *span, size_t head,
                        size_t first, size_t rows, const room *r) {
  const size_t size = key_size_of(job);
  const size_t own = !job->is_latent ? size : job->nope;
  const float scale = (float)job->scale;
  // Scores have room for them: they come later.
  float *plain = r->scores;
  for (size_t i = 0; i < rows; i++) {
    const size_t place = (first + i) * job->heads + head;
    const float *query = span->query + place * own;
    for (size_t k = 0; k < own; k++) plain[i * size + k] = query[k] * scale;
    for (size_t k = own; k < size; k++) {
      plain[i * size + k] = span->query_rope[place * job->sizes[1] + k - own] * scale;
    }
  }
  prepare(job, plain, size, size, rows, r->row, r->queries);
}

/// Brings a few rows up to date with the keys of a block.
static void attend_block(const epc_attention_job *job, const epc_span *span, size_t first,
                         size_t rows, size_t from, size_t to, const room *r) {
  const size_t width = padded(value_size_of(job));
  const size_t size = key_size_of(job);
  const size_t count = least(to, span->first_position + first + rows) - from;
  multiply(job, r->queries, rows, size, r->keys, size, padded(to - from), padded(count), r->scores,
           KEYS, true);
  for (size_t i = 0; i < rows; i++) {
    const size_t row = first + i;
    const size_t position = span->first_position + row;
    const size_t seen = epc_first_seen(job, position);
    const size_t begin = seen > from ? least(seen - from, count) : 0;
    const size_t end = position < from ? begin : least(position + 1 - from, count);
    float *scores = r->scores + i * KEYS;
    memset(scores, 0, begin * sizeof(float));
    if (end < count) memset(scores + end, 0, (count - end) * sizeof(float));
    if (end <= begin) continue;
    for (size_t j = begin; j < end && job->softcap > 0; j++) {
      scores[j] = (float)job->softcap * tanhf(scores[j] / (float)job->softcap);
    }
    const float factor =
        job->kernels->weigh(scores + begin, end - begin, r->most + row, r->total + row);
    float *sums = r->sums + row * width;
    for (size_t k = 0; k < width && factor != 1; k++) sums[k] *= factor;
  }
  prepare(job, r->scores, KEYS, count, rows, r->row, r->weights);
  multiply(job, r->weights, rows, count, r->values, KEYS, width, width, r->sums + first * width,
           width, false);
}

void epc_attend_blocked(const epc_attention_job *job, const epc_span *span, size_t head,
                        float *memory) {
  const room r = lay_out(job, span, memory);
  const size_t value_size = value_size_of(job);
  const size_t width = padded(value_size);
  if (job->is_latent) {
    const size_t rank = job->sizes[0];
    // Latents have room for them: they come later.
    const float *up = epc_up_rows(job, head, 0, job->nope, r.latents);
    transpose(up, rank, job->nope, rank, rank, r.up_keys);
    up = epc_up_rows(job, head, job->nope, value_size, r.latents);
    transpose(up, rank, value_size, rank, rank, r.up_values);
  }
  memset(r.sums, 0, span->rows * width * sizeof(float));
  for (size_t i = 0; i < span->rows; i++) {
    r.most[i] = -INFINITY;
    r.total[i] = 0;
  }
  const size_t end = span->first_position + span->rows;
  const size_t start = epc_first_seen(job, span->first_position) / KEYS * KEYS;
  for (size_t from = start; from < end; from += KEYS) {
    const size_t to = least(from + KEYS, end);
    lay_keys(job, span, head, from, to, &r);
    for (size_t first = 0; first < span->rows; first += ROWS) {
      const size_t rows = least(span->rows - first, ROWS);
      const size_t position = span->first_position + first;
      // Rows before the block, and rows whose windows begin after it.
      if (position + rows <= from || epc_first_seen(job, position) >= to) continue;
      lay_queries(job, span, head, first, rows, &r);
      attend_block(job, span, first, rows, from, to, &r);
    }
  }
  for (size_t i = 0; i < span->rows; i++) {
    float total = r.total[i];
    float factor = 1;
    if (job->sinks != NULL) {
      // One more logit that carries nothing.
      const float most = fmaxf(r.most[i], job->sinks[head]);
      factor = expf(r.most[i] - most);
      total = total * factor + expf(job->sinks[head] - most);
    }
    factor = total > 0 ? factor / total : 0;
    float *y = span->y + (i * job->heads + head) * value_size;
    for (size_t k = 0; k < value_size; k++) y[k] = r.sums[i * width + k] * factor;
  }
}
