#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "include/epc_board.h"

enum { magic = 0x45504342, reason_bytes = 512, yields = 100 };

/// Words that different processes write have a cache line each.
struct line {
  _Alignas(64) atomic_uint value;
  atomic_uint sleepers;
};

struct group {
  _Alignas(64) _Atomic uint64_t posted;
  _Alignas(64) _Atomic uint64_t taken;
};

struct rank {
  _Alignas(64) _Atomic uint64_t posts;
  atomic_uint kind;
  atomic_uint pace;
  atomic_uint link_pace;
};

struct board {
  uint32_t magic;
  epc_board_shape shape;
  /// 0 while all is well, 1 while a reason is being written, 2 when it can be read.
  _Alignas(64) atomic_uint aborted;
  uint32_t aborter;
  char reason[reason_bytes];
  _Alignas(64) _Atomic uint64_t arrived;
  /// When something first went wrong, in nanoseconds of the system's clock.
  _Atomic uint64_t fault;
  struct line bells[EPC_MOST_PROCESSES];
};

static size_t groups_at(void) { return (sizeof(struct board) + 63) / 64 * 64; }

static size_t ranks_at(epc_board_shape shape) {
  return groups_at() + sizeof(struct group) * shape.groups;
}

static size_t blocks_at(epc_board_shape shape) {
  return ranks_at(shape) + sizeof(struct rank) * shape.ranks;
}

size_t epc_board_bytes(epc_board_shape shape) {
  return blocks_at(shape) + sizeof(epc_block) * (size_t)shape.ranks * shape.members;
}

void epc_board_make(void *memory, epc_board_shape shape) {
  struct board *board = memory;
  board->shape = shape;
  board->magic = magic;
}

bool epc_board_check(const void *memory, size_t bytes, epc_board_shape shape) {
  const struct board *board = memory;
  return bytes >= epc_board_bytes(shape) && board->magic == magic &&
         !memcmp(&board->shape, &shape, sizeof shape);
}

static struct group *group_of(const void *memory, uint32_t group) {
  return (struct group *)((char *)(uintptr_t)memory + groups_at()) + group;
}

static struct rank *rank_of(const void *memory, uint32_t rank) {
  const struct board *board = memory;
  return (struct rank *)((char *)(uintptr_t)memory + ranks_at(board->shape)) + rank;
}

static epc_block *block_of(const void *memory, uint32_t rank, uint32_t member) {
  const struct board *board = memory;
  return (epc_block *)((char *)(uintptr_t)memory + blocks_at(board->shape)) +
         (size_t)rank * board->shape.members + member;
}

static long futex(atomic_uint *word, int operation, unsigned value, const struct timespec *limit) {
  return syscall(SYS_futex, word, operation, value, limit, NULL, 0);
}

static void ring(struct board *board, uint64_t processes) {
  for (uint32_t process = 0; processes; process++, processes >>= 1) {
    if (!(processes & 1)) continue;
    struct line *bell = &board->bells[process];
    atomic_fetch_add(&bell->value, 1);
    if (atomic_load(&bell->sleepers)) futex(&bell->value, FUTEX_WAKE, 1 << 30, NULL);
  }
}

static uint64_t everyone(const struct board *board) {
  uint32_t count = board->shape.processes;
  return count >= 64 ? UINT64_MAX : ((uint64_t)1 << count) - 1;
}

bool epc_board_post(
    void *memory, uint32_t group, uint32_t members, uint32_t rank, uint32_t kind,
    const epc_block *blocks, uint32_t count, uint64_t processes) {
  struct board *board = memory;
  if (count > board->shape.members || rank >= board->shape.ranks || group >= board->shape.groups) {
    return false;
  }
  memcpy(block_of(memory, rank, 0), blocks, sizeof(epc_block) * count);
  struct rank *own = rank_of(memory, rank);
  atomic_store_explicit(&own->kind, kind, memory_order_relaxed);
  atomic_fetch_add_explicit(&own->posts, 1, memory_order_relaxed);
  uint64_t posted = atomic_fetch_add(&group_of(memory, group)->posted, 1) + 1;
  if (posted % members == 0) ring(board, processes);
  return true;
}

uint64_t epc_board_posted(const void *memory, uint32_t group) {
  return atomic_load(&group_of(memory, group)->posted);
}

epc_block epc_board_block(const void *memory, uint32_t rank, uint32_t member, uint32_t *kind) {
  *kind = atomic_load_explicit(&rank_of(memory, rank)->kind, memory_order_relaxed);
  return *block_of(memory, rank, member);
}

/// Bytes of a core's own cache.
static size_t cache_bytes(void) {
  static atomic_size_t known;
  size_t bytes = atomic_load_explicit(&known, memory_order_relaxed);
  if (bytes) return bytes;
  long second = sysconf(_SC_LEVEL2_CACHE_SIZE);
  bytes = second > 0 ? (size_t)second : (size_t)1 << 20;
  atomic_store_explicit(&known, bytes, memory_order_relaxed);
  return bytes;
}

void epc_board_copy(void *to, const void *from, size_t bytes, size_t round) {
#if defined(__SSE2__)
  if (round > cache_bytes() / 2 && bytes >= 4096) {
    // Stores past the cache do not read first what they overwrite, and leave in it what others still copy.
    char *target = to;
    const char *source = from;
    size_t head = -(uintptr_t)target & 63, body = (bytes - head) & ~(size_t)63;
    memcpy(target, source, head);
    for (size_t place = head; place < head + body; place += 64) {
      for (size_t part = place; part < place + 64; part += 16) {
        _mm_stream_si128(
            (__m128i *)(target + part), _mm_loadu_si128((const __m128i *)(source + part)));
      }
    }
    memcpy(target + head + body, source + head + body, bytes - head - body);
    _mm_sfence();
    return;
  }
#endif
  (void)round;
  memcpy(to, from, bytes);
}

void epc_board_take(void *memory, uint32_t group, uint32_t members, uint64_t processes) {
  uint64_t taken = atomic_fetch_add(&group_of(memory, group)->taken, 1) + 1;
  if (taken % members == 0) ring(memory, processes);
}

uint64_t epc_board_taken(const void *memory, uint32_t group) {
  return atomic_load(&group_of(memory, group)->taken);
}

void epc_board_progress(const void *memory, uint32_t rank, uint32_t *kind, uint64_t *posts) {
  *kind = atomic_load(&rank_of(memory, rank)->kind);
  *posts = atomic_load(&rank_of(memory, rank)->posts);
}

void epc_board_set_health(void *memory, uint32_t rank, epc_board_health health) {
  atomic_store(&rank_of(memory, rank)->pace, health.pace);
  atomic_store(&rank_of(memory, rank)->link_pace, health.link_pace);
}

epc_board_health epc_board_health_of(const void *memory, uint32_t rank) {
  struct rank *own = rank_of(memory, rank);
  return (epc_board_health){atomic_load(&own->pace), atomic_load(&own->link_pace)};
}

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

void epc_board_mark_fault(void *memory) {
  uint64_t none = 0;
  atomic_compare_exchange_strong(&((struct board *)memory)->fault, &none, now());
}

uint64_t epc_board_since_fault(const void *memory) {
  uint64_t fault = atomic_load(&((struct board *)(uintptr_t)memory)->fault);
  return fault ? now() - fault : 0;
}

uint32_t epc_board_bell(const void *memory, uint32_t process) {
  return atomic_load(&((struct board *)(uintptr_t)memory)->bells[process].value);
}

void epc_board_wait(
    void *memory, uint32_t process, uint32_t seen, uint32_t spins, uint64_t nanoseconds) {
  struct line *bell = &((struct board *)memory)->bells[process];
  for (uint32_t spin = 0; spin < spins; spin++) {
    if (atomic_load_explicit(&bell->value, memory_order_acquire) != seen) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  // Where several processes share a core, letting another run is a tenth of what falling asleep and being
  // woken takes, and it may be the one that rings.
  for (uint32_t turn = 0; turn < yields; turn++) {
    sched_yield();
    if (atomic_load_explicit(&bell->value, memory_order_acquire) != seen) return;
  }
  atomic_fetch_add(&bell->sleepers, 1);
  struct timespec limit = {
      .tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000)};
  if (atomic_load(&bell->value) == seen) futex(&bell->value, FUTEX_WAIT, seen, &limit);
  atomic_fetch_sub(&bell->sleepers, 1);
}

uint64_t epc_board_arrive(void *memory, uint32_t processes) {
  struct board *board = memory;
  uint64_t arrived = atomic_fetch_add(&board->arrived, 1) + 1;
  uint64_t needed = (arrived + processes - 1) / processes * processes;
  if (arrived == needed) ring(board, everyone(board));
  return needed;
}

bool epc_board_is_open(const void *memory, uint64_t arrival) {
  return atomic_load(&((struct board *)(uintptr_t)memory)->arrived) >= arrival;
}

bool epc_board_abort(void *memory, uint32_t process, const char *reason) {
  struct board *board = memory;
  unsigned none = 0;
  if (!atomic_compare_exchange_strong(&board->aborted, &none, 1)) return false;
  board->aborter = process;
  strncpy(board->reason, reason, reason_bytes - 1);
  atomic_store(&board->aborted, 2);
  ring(board, everyone(board));
  return true;
}

bool epc_board_aborted(const void *memory, uint32_t *process, char *reason) {
  struct board *board = (struct board *)(uintptr_t)memory;
  unsigned state = atomic_load(&board->aborted);
  if (!state) return false;
  *process = UINT32_MAX;
  reason[0] = 0;
  // A process that dies while it writes its reason leaves state 1 behind: the run has ended anyway.
  for (int tries = 0; tries < 1000 && state != 2; tries++) {
    state = atomic_load(&board->aborted);
  }
  if (state == 2) {
    *process = board->aborter;
    memcpy(reason, board->reason, reason_bytes);
    reason[reason_bytes - 1] = 0;
  }
  return true;
}
