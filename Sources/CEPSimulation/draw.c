// Routing, drawn for every token of every member of a layer.

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "include/epc_simulation.h"

#if defined(__x86_64__) && !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#define EPC_WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EPC_WIDE
#endif

enum { candidate_count = 1024, most_tries = 64, most_threads = 64 };

/// Experts out of the alias table, by counter: any of them can be made without those before.
EPC_WIDE static void draw_candidates(
    const epc_draw *draw, uint32_t low, uint32_t high, uint32_t counter,
    uint32_t *restrict candidates) {
  const uint32_t *restrict threshold = draw->threshold;
  const uint32_t *restrict alias = draw->alias;
  uint64_t experts = draw->experts;
  for (uint32_t index = 0; index < candidate_count; index++) {
    uint32_t bits = (counter + index) * 0x9E3779B9u + low;
    bits ^= bits >> 16;
    bits *= 0x7FEB352Du;
    bits ^= (bits >> 15) + high;
    bits *= 0x846CA68Bu;
    bits ^= bits >> 16;
    uint64_t scaled = bits * experts;
    uint32_t bin = (uint32_t)(scaled >> 32);
    candidates[index] = (uint32_t)scaled < threshold[bin] ? bin : alias[bin];
  }
}

static uint64_t mix(uint64_t value) {
  value += 0x9E3779B97F4A7C15u;
  value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
  value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
  return value ^ (value >> 31);
}

/// The slots of an expert, which take turns.
struct replicas {
  uint32_t first;
  uint32_t count;
  uint32_t turn;
};

/// What drawing a layer needs beside its results. Marks hold the last token that left them; tokens
/// are numbered over all members.
struct marks {
  uint32_t *expert;
  uint32_t *node;
  uint32_t *member;
  struct replicas *replicas;
  /// The member that has each slot.
  uint32_t *slot_member;
  /// Rows that members get from their own node, themselves included.
  uint32_t *home_in;
  uint32_t *chosen;
  uint32_t candidates[candidate_count];
  uint32_t next;
  uint32_t counter;
};

/// Chooses a token's experts; returns how many.
static uint32_t choose(
    const epc_draw *draw, struct marks *restrict marks, uint32_t *restrict chosen,
    uint32_t *restrict expert_marks, uint32_t token, uint64_t key) {
  uint32_t count = 0, tries = 0, kept = 0, next = marks->next;
  uint64_t mask = 0;
  const uint32_t top_k = draw->top_k;
  uint32_t in_group = draw->groups ? draw->experts / draw->groups : 0;
  while (count < top_k && tries < most_tries * top_k) {
    if (next == candidate_count) {
      draw_candidates(draw, (uint32_t)key, (uint32_t)(key >> 32), marks->counter, marks->candidates);
      marks->counter += candidate_count;
      next = 0;
    }
    uint32_t expert = marks->candidates[next++];
    tries++;
    uint32_t is_new = expert_marks[expert] != token;
    if (in_group && is_new) {
      uint64_t bit = (uint64_t)1 << (expert / in_group);
      if (!(mask & bit)) {
        if (kept == draw->kept) continue;
        mask |= bit;
        kept++;
      }
    }
    expert_marks[expert] = token;
    chosen[count] = expert;
    count += is_new;
  }
  marks->next = next;
  // So skewed that draws hardly find another expert: the next ones in order.
  for (uint32_t expert = 0; count < top_k && expert < draw->experts; expert++) {
    if (expert_marks[expert] == token) continue;
    expert_marks[expert] = token;
    chosen[count++] = expert;
  }
  return count;
}

static uint32_t recorded(const epc_draw *draw, struct marks *marks, size_t row) {
  const int32_t *choices = draw->recorded + (row % draw->recorded_rows) * draw->top_k;
  uint32_t count = 0;
  for (uint32_t choice = 0; choice < draw->top_k; choice++) {
    int32_t expert = choices[choice];
    if (expert >= 0 && (uint32_t)expert < draw->experts) marks->chosen[count++] = (uint32_t)expert;
  }
  return count;
}

/// Once to each node, to the member at the sender's place there, which passes rows on.
static void pass_on(
    epc_draw *draw, struct marks *marks, size_t base, uint32_t member, uint32_t target,
    uint32_t token) {
  uint32_t node = target / draw->node, home = member / draw->node;
  uint32_t door = node * draw->node + member % draw->node;
  if (door >= draw->members) door = draw->members - 1;
  if (marks->node[node] != token) {
    marks->node[node] = token;
    if (node != home) {
      draw->far_out[base + member]++;
      draw->far_in[base + door]++;
    }
  }
  if (marks->member[target] != token) {
    marks->member[target] = token;
    if (door != target) {
      draw->near_out[base + door]++;
      draw->near_in[base + target]++;
    }
  }
}

static void draw_member(
    epc_draw *draw, struct marks *marks, uint32_t copy, uint32_t member, uint32_t *token,
    size_t *row) {
  size_t base = (size_t)copy * draw->members;
  uint64_t key = mix(draw->key ^ mix(base + member));
  uint32_t *rows = draw->slot_rows + base * draw->slots;
  // Slots of the sender's own node follow one another.
  uint32_t first_near = member / draw->node * draw->node * draw->slots;
  uint32_t last_near = first_near + draw->node * draw->slots;
  uint32_t sent = 0, home = 0, kept = 0;
  marks->next = candidate_count;
  marks->counter = 0;
  for (uint32_t index = 0; index < draw->tokens[base + member]; index++) {
    uint32_t id = (*token)++;
    uint32_t count = draw->recorded
                         ? recorded(draw, marks, (*row)++)
                         : choose(draw, marks, marks->chosen, marks->expert, id, key);
    for (uint32_t choice = 0; choice < count; choice++) {
      struct replicas *replicas = &marks->replicas[marks->chosen[choice]];
      if (!replicas->count) continue;
      uint32_t turn = replicas->turn, following = turn + 1;
      replicas->turn = following == replicas->count ? 0 : following;
      uint32_t slot = draw->places[replicas->first + turn];
      rows[slot]++;
      sent++;
      if (draw->pairs) {
        draw->pairs[(size_t)member * draw->members + marks->slot_member[slot]]++;
      }
      if (draw->is_hierarchical) {
        pass_on(draw, marks, base, member, marks->slot_member[slot], id);
      } else if (slot >= first_near && slot < last_near) {
        uint32_t target = marks->slot_member[slot];
        home++;
        marks->home_in[base + target]++;
        if (target == member) {
          kept++;
        } else {
          draw->near_in[base + target]++;
        }
      }
    }
  }
  if (!draw->is_hierarchical) {
    draw->far_out[base + member] = sent - home;
    draw->near_out[base + member] = home - kept;
  }
}

struct work {
  epc_draw *draws;
  size_t count;
  atomic_size_t next;
  atomic_int error;
};

static int draw_layer(epc_draw *draw) {
  size_t nodes = draw->members / draw->node + 1;
  size_t all = (size_t)draw->members * draw->copies, slots = (size_t)draw->members * draw->slots;
  struct marks *marks = malloc(sizeof(struct marks));
  uint32_t *room = malloc(
      sizeof(uint32_t) *
      (draw->experts + nodes + draw->members + slots + all + draw->top_k + 1));
  struct replicas *replicas = malloc(sizeof(struct replicas) * draw->experts);
  if (!marks || !room || !replicas) {
    free(marks);
    free(room);
    free(replicas);
    return ENOMEM;
  }
  marks->expert = room;
  marks->node = marks->expert + draw->experts;
  marks->member = marks->node + nodes;
  memset(room, 0xFF, sizeof(uint32_t) * (draw->experts + nodes + draw->members));
  marks->home_in = marks->member + draw->members;
  memset(marks->home_in, 0, sizeof(uint32_t) * all);
  marks->replicas = replicas;
  for (uint32_t expert = 0; expert < draw->experts; expert++) {
    uint32_t first = draw->first_place[expert];
    replicas[expert] = (struct replicas){first, draw->first_place[expert + 1] - first, 0};
  }
  marks->slot_member = marks->home_in + all;
  for (size_t slot = 0; slot < slots; slot++) {
    marks->slot_member[slot] = (uint32_t)(slot / draw->slots);
  }
  marks->chosen = marks->slot_member + slots;
  size_t row = draw->recorded_rows ? (size_t)(mix(draw->key) % draw->recorded_rows) : 0;
  uint32_t token = 0;
  for (uint32_t copy = 0; copy < draw->copies; copy++) {
    for (uint32_t member = 0; member < draw->members; member++) {
      draw_member(draw, marks, copy, member, &token, &row);
    }
  }
  for (size_t slot = 0; slot < slots * draw->copies; slot++) {
    uint32_t rows = draw->slot_rows[slot];
    draw->expert_rows[draw->slot_expert[slot % slots]] += rows;
    if (!draw->is_hierarchical) draw->far_in[slot / draw->slots] += rows;
  }
  if (!draw->is_hierarchical) {
    for (size_t member = 0; member < all; member++) draw->far_in[member] -= marks->home_in[member];
  }
  free(replicas);
  free(room);
  free(marks);
  return 0;
}

static void *draw_some(void *argument) {
  struct work *work = argument;
  for (;;) {
    size_t index = atomic_fetch_add(&work->next, 1);
    if (index >= work->count) return NULL;
    int error = draw_layer(&work->draws[index]);
    if (error) atomic_store(&work->error, error);
  }
}

int epc_draw_layers(epc_draw *draws, size_t count, unsigned threads) {
  struct work work = {.draws = draws, .count = count};
  atomic_init(&work.next, 0);
  atomic_init(&work.error, 0);
  pthread_t started[most_threads];
  unsigned running = 0;
  if (threads > most_threads) threads = most_threads;
  while (running + 1 < threads && running + 1 < count) {
    if (pthread_create(&started[running], NULL, draw_some, &work)) break;
    running++;
  }
  draw_some(&work);
  for (unsigned index = 0; index < running; index++) pthread_join(started[index], NULL);
  return atomic_load(&work.error);
}
