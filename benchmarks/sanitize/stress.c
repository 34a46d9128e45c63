// Threads in the place of processes on one board, and threads that draw routing: what ThreadSanitizer and
// AddressSanitizer can see of the memory that simulated ranks share. scripts/sanitize runs it.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "epc_board.h"
#include "epc_simulation.h"

enum { processes = 4, ranks = 8, rounds = 400, most_bytes = 4096 };

static void *board;
static char *memory;
static size_t bytes;

static char *place(int rank, int member, int receives) {
  return memory + (((size_t)rank * ranks + (size_t)member) * 2 + (size_t)receives) * most_bytes;
}

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

/// Waits as a process does: looking at its bell before what it waits for.
static void wait_for(uint32_t process, uint64_t (*count)(const void *, uint32_t), uint64_t least) {
  for (;;) {
    uint32_t seen = epc_board_bell(board, process);
    if (count(board, 0) >= least) return;
    epc_board_wait(board, process, seen, process % 2 ? 100 : 0, 20000000);
  }
}

/// The ranks of one process: each round all exchange blocks whose bytes tell who sent them to whom.
static void *run_process(void *argument) {
  uint32_t process = (uint32_t)(size_t)argument, own = ranks / processes;
  for (int round = 0; round < rounds; round++) {
    size_t size = (size_t)(64 << (round % 7));
    for (uint32_t rank = process * own; rank < (process + 1) * own; rank++) {
      epc_block blocks[ranks];
      for (int member = 0; member < ranks; member++) {
        char *block = place((int)rank, member, 0);
        memset(block, (int)(rank * 31 + (uint32_t)member * 7 + (uint32_t)round), size);
        blocks[member] = (epc_block){(uint64_t)(block - (char *)board), size};
      }
      if (!epc_board_post(board, 0, ranks, rank, 3, blocks, ranks, (1u << processes) - 1)) {
        fail("a post was refused");
      }
    }
    uint64_t complete = (uint64_t)(round + 1) * ranks;
    wait_for(process, epc_board_posted, complete);
    for (uint32_t rank = process * own; rank < (process + 1) * own; rank++) {
      for (int from = 0; from < ranks; from++) {
        uint32_t kind = 0;
        epc_block block = epc_board_block(board, (uint32_t)from, rank, &kind);
        if (kind != 3 || block.bytes != size) fail("a block is another round's");
        char *into = place((int)rank, from, 1);
        memcpy(into, (char *)board + block.offset, block.bytes);
        char expected = (char)(from * 31 + (int)rank * 7 + round);
        if (into[0] != expected || into[size - 1] != expected) fail("a block has other bytes");
      }
      epc_board_take(board, 0, ranks, (1u << processes) - 1);
    }
    wait_for(process, epc_board_taken, complete);
    uint64_t arrival = epc_board_arrive(board, processes);
    for (;;) {
      uint32_t seen = epc_board_bell(board, process);
      if (epc_board_is_open(board, arrival)) break;
      epc_board_wait(board, process, seen, 0, 20000000);
    }
    epc_board_set_health(board, process * own, (epc_board_health){(uint32_t)round, 0});
    (void)epc_board_health_of(board, (process + 1) % processes * own);
  }
  // All end the run at once: one reason counts, and everyone can read it.
  char reason[512], said[64];
  snprintf(said, sizeof said, "process %u", process);
  epc_board_mark_fault(board);
  epc_board_abort(board, process, said);
  uint32_t who = 0;
  while (!epc_board_aborted(board, &who, reason) || who == UINT32_MAX) {}
  if (strncmp(reason, "process ", 8) || (uint32_t)atoi(reason + 8) != who) fail("another reason");
  return NULL;
}

static void meet(void) {
  epc_board_shape shape = {.processes = processes, .ranks = ranks, .groups = 1, .members = ranks};
  size_t start = (epc_board_bytes(shape) + 4095) / 4096 * 4096;
  bytes = start + (size_t)ranks * ranks * 2 * most_bytes;
  int descriptor = epc_shared_create(bytes);
  if (descriptor < 0 || epc_shared_bytes(descriptor) != bytes) fail("no shared memory");
  board = epc_shared_map(descriptor, bytes);
  if (!board) fail("shared memory cannot be mapped");
  memory = (char *)board + start;
  epc_board_make(board, shape);
  if (!epc_board_check(board, bytes, shape)) fail("the board is another one");
  pthread_t threads[processes];
  for (size_t process = 0; process < processes; process++) {
    if (pthread_create(&threads[process], NULL, run_process, (void *)process)) fail("no thread");
  }
  for (int process = 0; process < processes; process++) pthread_join(threads[process], NULL);
  epc_shared_unmap(board, bytes);
}

/// Draws the same layers on one and on eight threads; every way to draw, exact room for results.
static void draw(int groups, int hierarchical, int pairs, int recorded, int members, int slots) {
  enum { layers = 12, top_k = 6 };
  uint32_t experts = 48, all = (uint32_t)(members * slots), copies = 2;
  uint32_t *results[2][layers];
  size_t words = (size_t)all * copies + 4 * (size_t)members * copies +
                 (pairs ? (size_t)members * members : 0);
  uint32_t *first = calloc(experts + 1, 4), *places = calloc(all, 4), *of_slot = calloc(all, 4);
  uint32_t *threshold = calloc(experts, 4), *alias = calloc(experts, 4);
  uint32_t *tokens = calloc((size_t)members * copies, 4), next = 0;
  int32_t *choices = calloc(5 * top_k, 4);
  for (uint32_t slot = 0; slot < all; slot++) of_slot[slot] = slot % experts;
  for (uint32_t expert = 0; expert < experts; expert++) {
    first[expert] = next;
    for (uint32_t slot = 0; slot < all; slot++) {
      if (of_slot[slot] == expert) places[next++] = slot;
    }
    threshold[expert] = expert * 80000000u;
    alias[expert] = (expert * 7) % experts;
  }
  first[experts] = next;
  for (uint32_t member = 0; member < (uint32_t)members * copies; member++) tokens[member] = member % 37;
  for (int choice = 0; choice < 5 * top_k; choice++) choices[choice] = choice % 9 - 1;
  for (int run = 0; run < 2; run++) {
    epc_draw draws[layers];
    uint64_t *chosen[layers];
    for (int layer = 0; layer < layers; layer++) {
      uint32_t *room = results[run][layer] = calloc(words, 4);
      chosen[layer] = calloc(experts, 8);
      uint32_t *links = room + (size_t)all * copies;
      size_t count = (size_t)members * copies;
      draws[layer] = (epc_draw){
          .key = (uint64_t)layer + 1, .experts = experts, .top_k = top_k, .threshold = threshold,
          .alias = alias, .recorded = recorded ? choices : NULL, .recorded_rows = recorded ? 5 : 0,
          .groups = (uint32_t)groups, .kept = (uint32_t)groups / 2, .first_place = first,
          .places = places, .slot_expert = of_slot, .members = (uint32_t)members,
          .copies = copies, .slots = (uint32_t)slots, .node = 8, .tokens = tokens,
          .is_hierarchical = (uint32_t)hierarchical, .slot_rows = room, .expert_rows = chosen[layer],
          .far_out = links, .far_in = links + count, .near_out = links + 2 * count,
          .near_in = links + 3 * count, .pairs = pairs ? links + 4 * count : NULL};
    }
    if (epc_draw_layers(draws, layers, run ? 8 : 1)) fail("a layer was not drawn");
    for (int layer = 0; layer < layers; layer++) free(chosen[layer]);
  }
  for (int layer = 0; layer < layers; layer++) {
    if (memcmp(results[0][layer], results[1][layer], words * 4)) fail("threads change what is drawn");
    free(results[0][layer]);
    free(results[1][layer]);
  }
  free(first), free(places), free(of_slot), free(threshold), free(alias), free(tokens), free(choices);
}

int main(void) {
  meet();
  for (int way = 0; way < 32; way++) {
    draw(way & 1 ? 8 : 0, way >> 1 & 1, way >> 2 & 1, way >> 3 & 1, way >> 4 & 1 ? 20 : 12, 4);
  }
  puts("the board and the draws are clean");
}
