// What both forms of attention know of a step.
#ifndef EPC_ATTENTION_H
#define EPC_ATTENTION_H

#include "blocks.h"

/// Attention of all sequences of a step.
typedef struct {
  epc_pool *pool;
  const epc_kernels *kernels;
  const epc_span *spans;
  size_t count;
  size_t heads, key_heads;
  /// Elements of a query's parts, and of what is read.
  size_t sizes[2];
  size_t value_size;
  double scale;
  size_t window, chunk, selected;
  double softcap;
  const float *sinks;
  /// MLA: elements of a query before it is absorbed, and what makes keys and values of a latent.
  bool is_latent;
  size_t nope, up_value_size;
  epc_latent_up up;
  /// Absorbed queries and what they read of the latents, `[row, head, rank]`, of the rows of all
  /// sequences; those in blocks leave theirs alone.
  float *absorbed, *mixed;
  /// Heads of a task for one row.
  size_t decode_heads;
  /// Parts that threads share each sequence's positions in, 0 for none, and floats of its scores.
  size_t shared_parts, shared_floats;
} epc_attention_job;

/// The first position that a row at `position` sees.
static inline size_t epc_first_seen(const epc_attention_job *job, size_t position) {
  if (job->selected > 0) return 0;
  size_t first = 0;
  if (job->window > 0 && position + 1 > job->window) first = position + 1 - job->window;
  if (job->chunk > 0 && position / job->chunk * job->chunk > first) {
    first = position / job->chunk * job->chunk;
  }
  return first;
}

/// Whether a sequence has so many new rows that they are attended to in blocks of keys; MLA then makes
/// keys and values of latents instead of absorbing queries.
static inline bool epc_is_blocked(const epc_attention_job *job, const epc_span *span) {
  return span->rows >= 32 && job->selected == 0;
}

/// `rows` rows of a head's part of `up` from row `first` on, as reals; `room` has space for them.
const float *epc_up_rows(const epc_attention_job *job, size_t head, size_t first, size_t rows,
                         float *room);

/// Bytes of a thread's room for one head of a sequence in blocks.
size_t epc_blocked_room(const epc_attention_job *job, const epc_span *span);

/// One head of a sequence in blocks, in room that has been taken.
void epc_attend_blocked(const epc_attention_job *job, const epc_span *span, size_t head,
                        float *room);

#endif
