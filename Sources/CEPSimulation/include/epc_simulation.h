// The inner loops of the simulator: clocks of all ranks advanced at once, and routing drawn.
//
// Everything is arithmetic on integers over arrays that the caller owns, so results do not depend on
// the machine, the number of threads or the order of calls that touch different arrays.

#ifndef EPC_SIMULATION_H
#define EPC_SIMULATION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// A share of one, as slow-downs of ranks and ratios of links are kept.
#define EPC_PACE_ONE 65536u
/// The ratio of a link's traffic to that of even routing at which tables hold the even time.
#define EPC_RATIO_ONE 1024u

/// Ticks by an integer load. Loads below 8 have an entry each; above, each octave has 8, joined by
/// lines. Beyond `most` ticks grow in proportion to the load.
typedef struct epc_table {
  /// `epc_table_index(most) + 2` entries.
  const int64_t *ticks;
  /// The last load that the table covers, at least 8.
  uint32_t most;
} epc_table;

/// The entry that holds a load, or the last one before it.
static inline uint32_t epc_table_index(uint32_t load) {
  if (load < 8) return load;
  uint32_t octave = 31u - (uint32_t)__builtin_clz(load);
  return (octave - 2) * 8 + ((load >> (octave - 3)) & 7u);
}

/// One job that all ranks of a stage issue on one stream.
typedef struct epc_issue {
  /// When the stream is free, by rank; when the job ends, on return.
  int64_t *clock;
  /// Times that the job waits for, by rank each.
  const int64_t *const *waits;
  /// What to add to the times of each wait, 0 or less.
  const int64_t *shifts;
  size_t wait_count;
  /// Where to keep when the job ends, by rank, or NULL.
  int64_t *event;
  /// How much longer each rank takes, in parts of `EPC_PACE_ONE`, or NULL.
  const uint32_t *pace;
  /// Ticks that the stream has been in use, by rank, or NULL.
  int64_t *busy;
  size_t ranks;
} epc_issue;

/// A kernel that takes every rank the same.
void epc_issue_kernel(const epc_issue *issue, int64_t ticks);

/// A kernel that takes as long as the rows of the rank's experts ask for: the table for the number
/// of its experts that have rows, at the number of rows.
void epc_issue_routed(
    const epc_issue *issue, const uint32_t *rows, const uint32_t *active, const epc_table *tables,
    size_t table_count);

/// How an exchange went, over all groups.
typedef struct epc_exchange_outcome {
  /// The longest time from a group's last start to its last end.
  int64_t longest;
  /// The longest that a member waited for the last one of its group.
  int64_t longest_wait;
} epc_exchange_outcome;

/// How the ranks of a stage form groups: `inner` groups lie interleaved, `size` members each.
typedef struct epc_groups {
  size_t size;
  size_t inner;
} epc_groups;

/// Members of a group exchange rows. A member is done when all that is sent to it has come: when the
/// slowest sender's links have carried what it sends, and its own links what it gets, which come in
/// from the mean start on. `out` and `in` are ratios of its busiest link, in parts of
/// `EPC_RATIO_ONE`, that `table` turns into ticks.
epc_exchange_outcome epc_issue_exchange(
    const epc_issue *issue, epc_groups groups, const uint32_t *out, const uint32_t *in,
    epc_table table);

/// Members of a group meet and take the same time from the last one's start; `pace` of the slowest
/// member counts for all.
epc_exchange_outcome epc_issue_collective(
    const epc_issue *issue, epc_groups groups, int64_t ticks);

/// Raises every element to the other array's.
void epc_raise(int64_t *values, const int64_t *least, size_t count);

/// What a layer's routing is drawn from.
typedef struct epc_draw {
  /// What the draw depends on.
  uint64_t key;
  uint32_t experts;
  uint32_t top_k;
  /// Alias table: below the threshold (of 2^32) a bin gives its own expert, else its alias.
  const uint32_t *threshold;
  const uint32_t *alias;
  /// Recorded choices, `[recorded_rows, top_k]` with -1 for none, used in turn instead; or NULL.
  const int32_t *recorded;
  size_t recorded_rows;
  /// Groups of experts of which a token keeps some; 0 without.
  uint32_t groups;
  uint32_t kept;
  /// Slots of each expert: `places[first_place[e] ..< first_place[e + 1]]`.
  const uint32_t *first_place;
  const uint32_t *places;
  /// The expert in each slot of a group.
  const uint32_t *slot_expert;
  /// Members of an expert group, expert groups, slots of a member, members of a node.
  uint32_t members;
  uint32_t copies;
  uint32_t slots;
  uint32_t node;
  /// Tokens of each member of all expert groups.
  const uint32_t *tokens;
  /// Whether a token is sent to a node once and passed on inside.
  uint32_t is_hierarchical;

  // Results, all to be zero at first.

  /// Rows of each slot, `[copies, members, slots]`.
  uint32_t *slot_rows;
  /// Tokens that chose each expert.
  uint64_t *expert_rows;
  /// Rows over each member's links: out of and into its node, to and from its node's others.
  uint32_t *far_out;
  uint32_t *far_in;
  uint32_t *near_out;
  uint32_t *near_in;
  /// Rows from each member to each other of its group, `[members, members]` summed over groups, or
  /// NULL.
  uint32_t *pairs;
} epc_draw;

/// Draws `count` layers, on so many threads. Returns 0, ENOMEM, or EINVAL for a layer of more than 65,536
/// experts or 64 choices.
int epc_draw_layers(epc_draw *draws, size_t count, unsigned threads);

#ifdef __cplusplus
}
#endif

#endif
