// All-to-all over the board that simulated ranks meet on, beside memcpy of the same blocks, and with
// -DEPC_MPI MPI_Alltoall of the same sizes: benchmarks/exchange.sh builds both and prints one table.
//
// Processes do what SharedTransport does: post where blocks lie, wait until all have posted, copy each block
// once, say so, and wait until all have taken theirs.

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { least = 1024, most = 1 << 20, repeats = 15 };

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int rounds_of(size_t bytes) { return bytes <= 16384 ? 400 : bytes <= 262144 ? 60 : 15; }

/// What the least disturbed repeat took: other programs only ever add to it.
///
/// A repeat lasts from the first process's start to the last one's end: where several share a core, some
/// are done before others begin.
static double least_of(const double *times) {
  double best = times[0];
  for (int repeat = 1; repeat < repeats; repeat++) best = times[repeat] < best ? times[repeat] : best;
  return best;
}

#ifdef EPC_MPI

#include <mpi.h>

int main(int count, char **arguments) {
  MPI_Init(&count, &arguments);
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  char *out = malloc((size_t)ranks * most), *into = malloc((size_t)ranks * most);
  memset(out, rank, (size_t)ranks * most);
  memset(into, 0, (size_t)ranks * most);
  for (size_t bytes = least; bytes <= most; bytes *= 4) {
    double times[repeats];
    for (int repeat = 0; repeat < repeats; repeat++) {
      MPI_Barrier(MPI_COMM_WORLD);
      double start = now();
      for (int round = 0; round < rounds_of(bytes); round++) {
        MPI_Alltoall(out, (int)bytes, MPI_BYTE, into, (int)bytes, MPI_BYTE, MPI_COMM_WORLD);
      }
      double end = now(), first, last;
      MPI_Allreduce(&start, &first, 1, MPI_DOUBLE, MPI_MIN, MPI_COMM_WORLD);
      MPI_Allreduce(&end, &last, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
      times[repeat] = (last - first) / rounds_of(bytes);
    }
    if (!rank) printf("mpi %d %zu %.2f\n", ranks, bytes, least_of(times) * 1e6);
  }
  MPI_Finalize();
}

#else

#include <sys/wait.h>

#include "epc_board.h"

static void *board;
static uint32_t ranks, self, spins, cores;
static uint64_t all, round_number;

static void wait_for(uint64_t (*count)(const void *, uint32_t), uint64_t enough) {
  for (;;) {
    uint32_t seen = epc_board_bell(board, self);
    if (count(board, 0) >= enough) return;
    epc_board_wait(board, self, seen, spins, 20000000);
  }
}

static void barrier(void) {
  uint64_t arrival = epc_board_arrive(board, ranks);
  for (;;) {
    uint32_t seen = epc_board_bell(board, self);
    if (epc_board_is_open(board, arrival)) return;
    epc_board_wait(board, self, seen, spins, 20000000);
  }
}

static void exchange(char *memory, char *into, size_t bytes) {
  epc_block blocks[EPC_MOST_PROCESSES];
  for (uint32_t member = 0; member < ranks; member++) {
    uint64_t place = ((uint64_t)self * ranks + member) * most;
    blocks[member] = (epc_block){(uint64_t)(memory - (char *)board) + place, bytes};
  }
  if (!epc_board_post(board, 0, ranks, self, 0, blocks, ranks, all)) _exit(1);
  round_number++;
  wait_for(epc_board_posted, round_number * ranks);
  for (uint32_t step = 0; step < ranks; step++) {
    uint32_t from = (self + step) % ranks, kind;
    epc_block block = epc_board_block(board, from, self, &kind);
    epc_board_copy(
        into + (size_t)from * most, (char *)board + block.offset, block.bytes,
        block.bytes * ranks * ranks / cores);
  }
  epc_board_take(board, 0, ranks, all);
  wait_for(epc_board_taken, round_number * ranks);
}

/// What one copy of all blocks takes at least: a process a core copies those of its share of ranks one after
/// the other, and meets nobody. (If every rank's process copied its own again and again, those that
/// share a core would have its cache to themselves for a while, which nobody who exchanges has.)
static void copy(const char *memory, char *copies, size_t bytes) {
  for (uint32_t rank = self; rank < ranks && self < cores; rank += cores) {
    for (uint32_t step = 0; step < ranks; step++) {
      uint32_t from = (rank + step) % ranks;
      memcpy(
          copies + ((size_t)(rank / cores) * ranks + from) * most,
          memory + ((size_t)from * ranks + rank) * most, bytes);
    }
  }
}

/// When each process began and ended a repeat.
struct span {
  double start, end;
};

static double length_of(const struct span *spans) {
  double start = spans[0].start, end = spans[0].end;
  for (uint32_t rank = 1; rank < ranks; rank++) {
    if (spans[rank].start < start) start = spans[rank].start;
    if (spans[rank].end > end) end = spans[rank].end;
  }
  return end - start;
}

static void run(char *memory, struct span *spans) {
  size_t taken = (size_t)ranks * most, copied = taken * ((ranks + cores - 1) / cores);
  char *into = aligned_alloc(4096, taken), *copies = aligned_alloc(4096, copied);
  if (!into || !copies) _exit(1);
  memset(into, 0, taken);
  if (self < cores) memset(copies, 0, copied);
  memset(memory + (size_t)self * ranks * most, (int)self + 1, (size_t)ranks * most);
  for (size_t bytes = least; bytes <= most; bytes *= 4) {
    double times[2][repeats];
    for (int repeat = 0; repeat < repeats; repeat++) {
      for (int way = 0; way < 2; way++) {
        barrier();
        spans[self].start = now();
        for (int round = 0; round < rounds_of(bytes); round++) {
          if (way) {
            copy(memory, copies, bytes);
          } else {
            exchange(memory, into, bytes);
          }
        }
        spans[self].end = now();
        barrier();
        times[way][repeat] = length_of(spans) / rounds_of(bytes);
      }
    }
    for (uint32_t from = 0; from < ranks; from++) {
      if (into[(size_t)from * most + bytes - 1] != (char)(from + 1)) _exit(2);
    }
    if (!self) {
      printf("board %u %zu %.2f %.2f\n", ranks, bytes, least_of(times[0]) * 1e6, least_of(times[1]) * 1e6);
    }
  }
  fflush(stdout);
}

int main(int count, char **arguments) {
  ranks = count > 1 ? (uint32_t)atoi(arguments[1]) : 2;
  if (ranks < 1 || ranks > EPC_MOST_PROCESSES) return 1;
  all = ranks == 64 ? UINT64_MAX : ((uint64_t)1 << ranks) - 1;
  uint32_t online = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
  cores = ranks < online ? ranks : online;
  spins = ranks <= online ? 20000 : 0;
  epc_board_shape shape = {.processes = ranks, .ranks = ranks, .groups = 1, .members = ranks};
  size_t start = (epc_board_bytes(shape) + 4095) / 4096 * 4096;
  size_t blocks = (size_t)ranks * ranks * most, bytes = start + blocks + sizeof(struct span) * ranks;
  int descriptor = epc_shared_create(bytes);
  board = descriptor < 0 ? NULL : epc_shared_map(descriptor, bytes);
  if (!board) return 1;
  epc_board_make(board, shape);
  char *memory = (char *)board + start;
  struct span *spans = (struct span *)(memory + blocks);
  for (uint32_t rank = 1; rank < ranks; rank++) {
    if (fork() == 0) {
      self = rank;
      run(memory, spans);
      _exit(0);
    }
  }
  run(memory, spans);
  int failed = 0, status;
  while (wait(&status) > 0) failed |= status;
  return failed != 0;
}

#endif
