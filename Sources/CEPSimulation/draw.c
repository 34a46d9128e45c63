// Routing, drawn for every token of every member of a layer.

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "include/epc_simulation.h"
#include "wide.h"

enum { lanes = 16, most_top_k = 64, most_tries = 64, most_threads = 64 };

/// Numbers of several tokens at once, and which of them something is true of (all bits, or none).
typedef uint32_t words __attribute__((vector_size(4 * lanes)));
typedef int32_t masks __attribute__((vector_size(4 * lanes)));

// Vectors are not passed by value: how depends on the machine that a clone is for.
#define EPC_INLINE static inline __attribute__((always_inline))
#define CHOOSE(which, yes, no) (((yes) & (words)(which)) | ((no) & ~(words)(which)))

EPC_INLINE void look_up(const uint32_t *table, const words *places, words *values) {
  for (uint32_t lane = 0; lane < lanes; lane++) (*values)[lane] = table[(*places)[lane]];
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

/// What drawing a layer needs beside its results.
struct marks {
  /// The last token that came to a node and to a member; tokens are numbered over all members.
  uint32_t *node;
  uint32_t *member;
  struct replicas *replicas;
  /// The member that has each slot, the node that has each member, the place of a slot among those of
  /// its expert, and the group of experts that each is in.
  uint32_t *slot_member;
  uint32_t *member_node;
  uint32_t *slot_turn;
  uint32_t *group;
  /// Alias table with thresholds of 16 bits above aliases of 16; NULL where all experts are alike.
  uint32_t *bins;
  /// Rows that members get from their own node, themselves included.
  uint32_t *home_in;
  /// Tokens of a member that chose each expert, and those of all members before it.
  uint32_t *chosen;
  uint32_t *before;
  /// Experts that tokens choose at once.
  words choices[most_top_k];
  uint32_t counter;
};

/// One candidate for each of several tokens, out of the alias table by counter: any of them can be
/// made without those before.
EPC_INLINE void draw_candidates(
    const epc_draw *draw, const uint32_t *bins, uint64_t key, uint32_t counter, words *candidates) {
  const words order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  words bits = (counter + order) * 0x9E3779B9u + (uint32_t)key;
  bits ^= bits >> 16;
  bits *= 0x7FEB352Du;
  bits ^= (bits >> 15) + (uint32_t)(key >> 32);
  bits *= 0x846CA68Bu;
  bits ^= bits >> 16;
  // Bits times experts in parts of 16 bits: the bin above, the place in it below.
  words scaled = (bits >> 16) * draw->experts + (((bits & 0xFFFFu) * draw->experts) >> 16);
  words bin = scaled >> 16;
  *candidates = bin;
  if (!bins) return;
  words entries;
  look_up(bins, &bin, &entries);
  *candidates = CHOOSE((scaled & 0xFFFFu) <= (entries >> 16), bin, entries & 0xFFFFu);
}

/// Chooses the experts of several tokens: each draws until it has as many different ones as it wants,
/// of the groups that it came to first where a router keeps some groups only.
EPC_WIDE static void choose(
    const epc_draw *draw, words *restrict choices, const uint32_t *restrict bins,
    const uint32_t *restrict group, uint64_t key, uint32_t *restrict counter) {
  const uint32_t top_k = draw->top_k, most = most_tries * top_k, limit = draw->kept;
  words count = {0}, kept = {0}, low = {0}, high = {0};
  for (uint32_t choice = 0; choice < top_k; choice++) choices[choice] = ~count;
  masks left = count < top_k;
  for (uint32_t tries = 0; tries < most && __builtin_reduce_or(left); tries++) {
    words candidates;
    draw_candidates(draw, bins, key, *counter, &candidates);
    *counter += lanes;
    uint32_t known = tries < top_k ? tries : top_k;
    masks is_new = left;
    for (uint32_t choice = 0; choice < known; choice++) is_new &= choices[choice] != candidates;
    if (group) {
      words own;
      look_up(group, &candidates, &own);
      words bit = 1u << (own & 31u);
      words in_low = bit & (words)(own < 32), in_high = bit & (words)(own >= 32);
      masks is_kept = ((low & in_low) | (high & in_high)) != 0;
      masks opens = is_new & ~is_kept & (kept < limit);
      is_new &= is_kept | opens;
      kept -= (words)opens;
      low |= in_low & (words)opens;
      high |= in_high & (words)opens;
    }
    uint32_t last = known < top_k ? known : top_k - 1;
    for (uint32_t choice = 0; choice <= last; choice++) {
      choices[choice] = CHOOSE(is_new & (count == choice), candidates, choices[choice]);
    }
    count -= (words)is_new;
    left = count < top_k;
  }
  if (!__builtin_reduce_or(left)) return;
  // So skewed that draws hardly find another expert: the next ones in order.
  for (uint32_t lane = 0; lane < lanes; lane++) {
    for (uint32_t expert = 0; count[lane] < top_k && expert < draw->experts; expert++) {
      uint32_t is_there = 0;
      for (uint32_t choice = 0; choice < count[lane]; choice++) {
        is_there |= choices[choice][lane] == expert;
      }
      if (is_there) continue;
      choices[count[lane]][lane] = expert;
      count[lane]++;
    }
  }
}

/// Once to each node, to the member at the sender's place there, which passes rows on.
static void pass_on(
    epc_draw *draw, struct marks *marks, size_t base, uint32_t member, uint32_t place,
    uint32_t target, uint32_t token) {
  uint32_t node = marks->member_node[target], home = marks->member_node[member];
  uint32_t door = node * draw->node + place;
  if (door >= draw->members) door = draw->members - 1;
  // Without branches: where a token goes cannot be foretold.
  uint32_t far = (marks->node[node] != token) & (node != home);
  marks->node[node] = token;
  draw->far_out[base + member] += far;
  draw->far_in[base + door] += far;
  uint32_t near = (marks->member[target] != token) & (door != target);
  marks->member[target] = token;
  draw->near_out[base + door] += near;
  draw->near_in[base + target] += near;
}

/// Sends a token's row to one expert.
static inline void send(
    epc_draw *draw, struct marks *marks, size_t base, uint32_t member, uint32_t place,
    uint32_t expert, uint32_t token) {
  struct replicas *replicas = &marks->replicas[expert];
  if (!replicas->count) return;
  uint32_t turn = replicas->turn, following = turn + 1;
  replicas->turn = following == replicas->count ? 0 : following;
  uint32_t slot = draw->places[replicas->first + turn];
  uint32_t target = marks->slot_member[slot];
  draw->slot_rows[base * draw->slots + slot]++;
  if (draw->pairs) draw->pairs[(size_t)member * draw->members + target]++;
  if (draw->is_hierarchical) {
    pass_on(draw, marks, base, member, place, target, token);
    return;
  }
  draw->far_out[base + member]++;
  if (marks->member_node[target] != marks->member_node[member]) return;
  draw->far_out[base + member]--;
  marks->home_in[base + target]++;
  if (target == member) return;
  draw->near_in[base + target]++;
  draw->near_out[base + member]++;
}

/// Of numbers below `end`, how many leave `rest` when divided by `count`.
static inline uint32_t turns(uint32_t end, uint32_t rest, uint32_t count) {
  return count == 1 ? end : (end + count - 1 - rest) / count;
}

/// Sends a member's rows where only their number counts: what stays in its node, and the rest.
static void send_counted(epc_draw *draw, struct marks *marks, size_t base, uint32_t member) {
  uint32_t node = marks->member_node[member];
  uint32_t first = node * draw->node, last = first + draw->node;
  if (last > draw->members) last = draw->members;
  uint32_t home = 0, kept = 0, sent = 0;
  for (uint32_t target = first; target < last; target++) {
    uint32_t rows = 0;
    for (uint32_t slot = target * draw->slots; slot < (target + 1) * draw->slots; slot++) {
      uint32_t expert = draw->slot_expert[slot];
      const struct replicas *replicas = &marks->replicas[expert];
      uint32_t start = replicas->turn + marks->before[expert];
      uint32_t rest = marks->slot_turn[slot];
      rows += turns(start + marks->chosen[expert], rest, replicas->count) -
              turns(start, rest, replicas->count);
    }
    home += rows;
    marks->home_in[base + target] += rows;
    if (target == member) {
      kept = rows;
    } else {
      draw->near_in[base + target] += rows;
    }
  }
  for (uint32_t expert = 0; expert < draw->experts; expert++) {
    uint32_t count = marks->chosen[expert];
    sent += marks->replicas[expert].count ? count : 0;
    marks->before[expert] += count;
    marks->chosen[expert] = 0;
  }
  draw->far_out[base + member] = sent - home;
  draw->near_out[base + member] = home - kept;
}

/// Gives the rows of all members of a group to slots, and the turns on to the next group.
static void finish_counted(epc_draw *draw, struct marks *marks, size_t base) {
  for (uint32_t expert = 0; expert < draw->experts; expert++) {
    struct replicas *replicas = &marks->replicas[expert];
    if (!replicas->count) continue;
    uint32_t end = replicas->turn + marks->before[expert];
    for (uint32_t rest = 0; rest < replicas->count; rest++) {
      uint32_t slot = draw->places[replicas->first + rest];
      draw->slot_rows[base * draw->slots + slot] =
          turns(end, rest, replicas->count) - turns(replicas->turn, rest, replicas->count);
    }
    replicas->turn = end % replicas->count;
    marks->before[expert] = 0;
  }
}

static void draw_member(
    epc_draw *draw, struct marks *marks, uint32_t copy, uint32_t member, uint32_t *token,
    size_t *row, bool is_counted) {
  size_t base = (size_t)copy * draw->members;
  uint64_t key = mix(draw->key ^ mix(base + member));
  uint32_t place = member % draw->node, count = draw->tokens[base + member];
  const uint32_t *group = draw->groups ? marks->group : NULL;
  marks->counter = 0;
  if (draw->recorded) {
    for (uint32_t index = 0; index < count; index++, (*row)++, (*token)++) {
      const int32_t *choices = draw->recorded + (*row % draw->recorded_rows) * draw->top_k;
      for (uint32_t choice = 0; choice < draw->top_k; choice++) {
        int32_t expert = choices[choice];
        if (expert >= 0 && (uint32_t)expert < draw->experts) {
          send(draw, marks, base, member, place, (uint32_t)expert, *token);
        }
      }
    }
    return;
  }
  for (uint32_t index = 0; index < count; index += lanes) {
    choose(draw, marks->choices, marks->bins, group, key, &marks->counter);
    uint32_t used = count - index < lanes ? count - index : lanes;
    if (is_counted) {
      for (uint32_t choice = 0; choice < draw->top_k; choice++) {
        const words experts = marks->choices[choice];
        for (uint32_t lane = 0; lane < used; lane++) marks->chosen[experts[lane]]++;
      }
      continue;
    }
    for (uint32_t lane = 0; lane < used; lane++, (*token)++) {
      for (uint32_t choice = 0; choice < draw->top_k; choice++) {
        send(draw, marks, base, member, place, marks->choices[choice][lane], *token);
      }
    }
  }
  if (is_counted) send_counted(draw, marks, base, member);
}

struct work {
  epc_draw *draws;
  size_t count;
  atomic_size_t next;
  atomic_int error;
};

/// Room for what drawing a layer needs, in one piece; NULL where there is none.
static struct marks *make_marks(const epc_draw *draw) {
  size_t nodes = draw->members / draw->node + 1, all = (size_t)draw->members * draw->copies;
  size_t slots = (size_t)draw->members * draw->slots, experts = draw->experts;
  size_t words = nodes + 2 * (size_t)draw->members + 2 * slots + all + 4 * experts;
  size_t replicas = sizeof(struct replicas) * experts;
  struct marks *marks = NULL;
  size_t bytes = sizeof(struct marks) + replicas + sizeof(uint32_t) * words;
  if (posix_memalign((void **)&marks, 64, bytes)) return NULL;
  memset(marks, 0, bytes);
  marks->replicas = (struct replicas *)(marks + 1);
  marks->node = (uint32_t *)(marks->replicas + experts);
  marks->member = marks->node + nodes;
  memset(marks->node, 0xFF, sizeof(uint32_t) * (nodes + draw->members));
  marks->member_node = marks->member + draw->members;
  marks->slot_member = marks->member_node + draw->members;
  marks->slot_turn = marks->slot_member + slots;
  marks->home_in = marks->slot_turn + slots;
  marks->chosen = marks->home_in + all;
  marks->before = marks->chosen + experts;
  marks->group = marks->before + experts;
  marks->bins = marks->group + experts;
  for (uint32_t member = 0; member < draw->members; member++) {
    marks->member_node[member] = member / draw->node;
  }
  for (size_t slot = 0; slot < slots; slot++) {
    marks->slot_member[slot] = (uint32_t)(slot / draw->slots);
  }
  bool is_even = true;
  for (uint32_t expert = 0; expert < experts; expert++) {
    uint32_t first = draw->first_place[expert];
    marks->replicas[expert] = (struct replicas){first, draw->first_place[expert + 1] - first, 0};
    for (uint32_t turn = 0; turn < marks->replicas[expert].count; turn++) {
      marks->slot_turn[draw->places[first + turn]] = turn;
    }
    if (draw->groups) marks->group[expert] = expert / (draw->experts / draw->groups);
    marks->bins[expert] = (draw->threshold[expert] & 0xFFFF0000u) | draw->alias[expert];
    is_even &= draw->threshold[expert] == UINT32_MAX;
  }
  if (is_even) marks->bins = NULL;
  return marks;
}

static int draw_layer(epc_draw *draw) {
  if (draw->top_k > most_top_k || draw->experts > 1u << 16) return EINVAL;
  struct marks *marks = make_marks(draw);
  if (!marks) return ENOMEM;
  size_t all = (size_t)draw->members * draw->copies;
  size_t slots = (size_t)draw->members * draw->slots;
  // Where rows go one by one, and with what others, matters to those that pass them on.
  bool is_counted = !draw->recorded && !draw->is_hierarchical && !draw->pairs;
  size_t row = draw->recorded_rows ? (size_t)(mix(draw->key) % draw->recorded_rows) : 0;
  uint32_t token = 0;
  for (uint32_t copy = 0; copy < draw->copies; copy++) {
    for (uint32_t member = 0; member < draw->members; member++) {
      draw_member(draw, marks, copy, member, &token, &row, is_counted);
    }
    if (is_counted) finish_counted(draw, marks, (size_t)copy * draw->members);
  }
  for (size_t slot = 0; slot < slots * draw->copies; slot++) {
    uint32_t rows = draw->slot_rows[slot];
    draw->expert_rows[draw->slot_expert[slot % slots]] += rows;
    if (!draw->is_hierarchical) draw->far_in[slot / draw->slots] += rows;
  }
  if (!draw->is_hierarchical) {
    for (size_t member = 0; member < all; member++) draw->far_in[member] -= marks->home_in[member];
  }
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
