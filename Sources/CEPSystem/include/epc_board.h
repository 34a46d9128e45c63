// Memory that processes share, and a board on which they meet in it.
//
// The memory is a memfd: it has no name, and is gone with the last process that maps it. Ranks post
// blocks (offsets into the memory) on the board, their groups count posts, and whoever completes a
// count rings the processes that wait for it. An abort word lets all leave at once when one fails.

#ifndef EPC_BOARD_H
#define EPC_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// The most processes of a board.
#define EPC_MOST_PROCESSES 64

/// Creates shared memory of that size, zero at first and taken only as it is touched, which nobody
/// can shrink. Returns a descriptor, or -1 with `errno`.
int epc_shared_create(size_t bytes);

/// Bytes of shared memory behind a descriptor, or 0.
size_t epc_shared_bytes(int descriptor);

/// Maps all of it; NULL with `errno` if that fails.
void *epc_shared_map(int descriptor, size_t bytes);

/// Takes a mapping away.
void epc_shared_unmap(void *base, size_t bytes);

/// A place in shared memory.
typedef struct epc_block {
  uint64_t offset;
  uint64_t bytes;
} epc_block;

/// How large a board is to be.
typedef struct epc_board_shape {
  uint32_t processes;
  /// Ranks of all pools.
  uint32_t ranks;
  /// Groups of all pools.
  uint32_t groups;
  /// The most members of a group.
  uint32_t members;
} epc_board_shape;

/// Bytes of a board.
size_t epc_board_bytes(epc_board_shape shape);

/// Makes a board in zeroed memory that `epc_board_bytes` fit into, aligned to 64.
void epc_board_make(void *board, epc_board_shape shape);

/// Whether memory of that size holds a board of that shape.
bool epc_board_check(const void *board, size_t bytes, epc_board_shape shape);

/// Posts a rank's blocks for the members of a group, `kind` telling what for, and rings `processes`
/// (a bit each) if it is the last of its round. False if there are more blocks than members.
bool epc_board_post(
    void *board, uint32_t group, uint32_t members, uint32_t rank, uint32_t kind,
    const epc_block *blocks, uint32_t count, uint64_t processes);

/// Posts of a group so far: a round is complete when all its members' have come.
uint64_t epc_board_posted(const void *board, uint32_t group);

/// The block that a rank posted for a member, and what for.
epc_block epc_board_block(const void *board, uint32_t rank, uint32_t member, uint32_t *kind);

/// Copies a block. `round` is how many bytes receivers that share a core take in all: where those and what
/// they come from do not fit into its own cache, they are stored past it.
void epc_board_copy(void *to, const void *from, size_t bytes, size_t round);

/// Says that a rank has taken the blocks of its round; rings like `epc_board_post`.
void epc_board_take(void *board, uint32_t group, uint32_t members, uint64_t processes);

/// Takes of a group so far.
uint64_t epc_board_taken(const void *board, uint32_t group);

/// What a rank posted last, and how many posts it made.
void epc_board_progress(const void *board, uint32_t rank, uint32_t *kind, uint64_t *posts);

/// What a rank's device says of itself: how many times slower than it should be its clock and its links
/// run, in parts of 65536; 0 for as they should.
typedef struct epc_board_health {
  uint32_t pace;
  uint32_t link_pace;
} epc_board_health;

/// Sets what a rank's device says of itself.
void epc_board_set_health(void *board, uint32_t rank, epc_board_health health);

/// What a rank's device says of itself.
epc_board_health epc_board_health_of(const void *board, uint32_t rank);

/// Remembers that something has just gone wrong; the first time counts.
void epc_board_mark_fault(void *board);

/// Nanoseconds since then; 0 if nothing has.
uint64_t epc_board_since_fault(const void *board);

/// The count of a process's bell; wait for it to change.
uint32_t epc_board_bell(const void *board, uint32_t process);

/// Waits until a process's bell is no longer `seen`, first spinning so often, then asleep, at most
/// so many nanoseconds.
void epc_board_wait(
    void *board, uint32_t process, uint32_t seen, uint32_t spins, uint64_t nanoseconds);

/// Arrives at the barrier of all processes; the count to hand to `epc_board_is_open`.
uint64_t epc_board_arrive(void *board, uint32_t processes);

/// Whether all have arrived.
bool epc_board_is_open(const void *board, uint64_t arrival);

/// Ends the run for all processes, with a reason of at most 511 bytes; the first caller's counts.
/// True for that one.
bool epc_board_abort(void *board, uint32_t process, const char *reason);

/// Whether the run has been ended; fills who did and why (512 bytes with their end).
bool epc_board_aborted(const void *board, uint32_t *process, char *reason);

#ifdef __cplusplus
}
#endif

#endif
