// What a machine can do at most, to measure kernels by.
#include <string.h>
#include <time.h>

#include "blocks.h"

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

typedef struct {
  epc_pool *pool;
  epc_level level;
  bool has_tiles, is_cached;
  /// Which of a level's rates.
  size_t number;
  size_t steps;
  double operations;
} rate;

static void multiply(void *context, size_t index, size_t worker) {
  rate *r = context;
  const char *memory =
      r->is_cached ? epc_pool_scratch(r->pool, worker, EPC_CACHED_BYTES) : NULL;
  const double made = r->has_tiles ? epc_multiply_tiles(r->number == 2, memory, r->steps)
                                   : epc_kernels_of(r->level)->rates[r->number](r->steps);
  if (index == 0) r->operations = made;
}

double epc_peak_rate(epc_pool *pool, epc_level level, epc_format format, bool is_cached,
                     size_t rounds) {
  const bool has_tiles = level == EPC_LEVEL_AMX && format != EPC_FORMAT_F32;
  // Tiles expand MXFP4 to bf16.
  const bool is_bytes = format == EPC_FORMAT_INT8 || (format == EPC_FORMAT_MXFP4 && !has_tiles);
  const bool has_words = is_bytes && level < EPC_LEVEL_VNNI;
  rate r = {
      .pool = pool,
      .level = level,
      .has_tiles = has_tiles,
      .is_cached = is_cached && has_tiles,
      .number = format == EPC_FORMAT_F32 || has_words ? 0 : is_bytes ? 2 : 1,
      .steps = has_tiles ? 50000 : 250000,
  };
  const size_t threads = epc_pool_threads(pool);
  for (size_t i = 0; i < threads && r.is_cached; i++) {
    char *memory = epc_pool_scratch(pool, i, EPC_CACHED_BYTES);
    if (memory == NULL) return 0;
    memset(memory, 0, EPC_CACHED_BYTES);
  }
  double best = 0;
  // About a millisecond each: some of them are undisturbed.
  for (size_t round = 0; round < rounds; round++) {
    const double start = now();
    epc_pool_run(pool, threads, multiply, &r);
    const double rate = r.operations * (double)threads / (now() - start);
    if (rate > best) best = rate;
  }
  // Activations of 16 bits are two digits: two products of bytes make one.
  return r.number == 2 ? best / 2 : best;
}

enum { PIECE = 1 << 20 };

typedef struct {
  const char *memory;
  size_t bytes;
} reading;

static void read_piece(void *context, size_t index, size_t worker) {
  (void)worker;
  const reading *r = context;
  const char *piece = r->memory + index * PIECE;
  const size_t bytes = r->bytes - index * PIECE < PIECE ? r->bytes - index * PIECE : PIECE;
  uint64_t sums[8] = {0};
  for (size_t i = 0; i + 64 <= bytes; i += 64) {
    __builtin_prefetch(piece + i + 8192, 0, 3);
    for (size_t k = 0; k < 8; k++) sums[k] ^= ((const uint64_t *)(piece + i))[k];
  }
  uint64_t all = 0;
  for (size_t k = 0; k < 8; k++) all ^= sums[k];
  // The sum must be seen to be used.
  __asm__ volatile("" ::"r"(all));
}

double epc_read_rate(epc_pool *pool, const void *memory, size_t bytes, size_t rounds) {
  reading r = {.memory = memory, .bytes = bytes};
  double best = 0;
  for (size_t round = 0; round < rounds; round++) {
    const double start = now();
    epc_pool_run(pool, (bytes + PIECE - 1) / PIECE, read_piece, &r);
    const double rate = (double)bytes / (now() - start);
    if (rate > best) best = rate;
  }
  return best;
}
