// What drawing a layer's routing takes on one core, in processor time:
//   clang -O2 -I Sources/CEPSimulation/include benchmarks/draw.c Sources/CEPSimulation/draw.c -lm -lpthread -o draw
//   ./draw MEMBERS TOKENS EXPERTS GROUPS HIERARCHICAL SKEW
// for so many ranks with so many tokens each, 8 choices a token; half of the groups are kept, 0 for none; 1
// for exchanges that pass rows on in nodes; the power of a Zipf distribution, 0 for experts all alike.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "epc_simulation.h"

static uint32_t *numbers(size_t count) { return calloc(count, sizeof(uint32_t)); }

/// Walker's alias table.
static void make_table(uint32_t experts, double skew, uint32_t *threshold, uint32_t *alias) {
  double *share = malloc(sizeof(double) * experts), sum = 0;
  uint32_t *small = numbers(experts), *large = numbers(experts), smalls = 0, larges = 0;
  for (uint32_t expert = 0; expert < experts; expert++) sum += pow(expert + 1, -skew);
  for (uint32_t expert = 0; expert < experts; expert++) {
    share[expert] = skew > 0 ? pow(expert + 1, -skew) / sum * experts : 1;
    alias[expert] = expert;
    if (share[expert] < 1) small[smalls++] = expert;
    else large[larges++] = expert;
  }
  while (smalls && larges) {
    uint32_t low = small[--smalls], high = large[larges - 1];
    alias[low] = high;
    share[high] -= 1 - share[low];
    if (share[high] < 1) small[smalls++] = large[--larges];
  }
  for (uint32_t expert = 0; expert < experts; expert++) {
    threshold[expert] = share[expert] >= 1 ? UINT32_MAX : (uint32_t)(share[expert] * UINT32_MAX);
  }
  free(share), free(small), free(large);
}

int main(int count, char **words) {
  if (count != 7) return 1;
  uint32_t members = (uint32_t)atoi(words[1]), tokens = (uint32_t)atoi(words[2]);
  uint32_t experts = (uint32_t)atoi(words[3]), groups = (uint32_t)atoi(words[4]), top_k = 8;
  uint32_t slots = (experts + members - 1) / members, all = members * slots, next = 0;
  uint32_t *first = numbers(experts + 1), *places = numbers(all), *of_slot = numbers(all);
  for (uint32_t slot = 0; slot < all; slot++) of_slot[slot] = slot % experts;
  for (uint32_t expert = 0; expert < experts; expert++) {
    first[expert] = next;
    for (uint32_t slot = expert; slot < all; slot += experts) places[next++] = slot;
  }
  first[experts] = next;
  uint32_t *threshold = numbers(experts), *alias = numbers(experts), *each = numbers(members);
  make_table(experts, atof(words[6]), threshold, alias);
  for (uint32_t member = 0; member < members; member++) each[member] = tokens;
  uint32_t *rows = numbers(all), *links = numbers(4 * (size_t)members);
  uint64_t *chosen = calloc(experts, sizeof(uint64_t));
  double best = 1e9;
  for (int repeat = 0; repeat < 5; repeat++) {
    memset(rows, 0, sizeof(uint32_t) * all);
    memset(links, 0, sizeof(uint32_t) * 4 * members);
    epc_draw draw = {
        .key = (uint64_t)repeat + 1, .experts = experts, .top_k = top_k, .threshold = threshold,
        .alias = alias, .groups = groups, .kept = groups / 2, .first_place = first,
        .places = places, .slot_expert = of_slot, .members = members, .copies = 1,
        .slots = slots, .node = 8, .tokens = each, .is_hierarchical = (uint32_t)atoi(words[5]),
        .slot_rows = rows, .expert_rows = chosen, .far_out = links, .far_in = links + members,
        .near_out = links + 2 * members, .near_in = links + 3 * (size_t)members};
    clock_t start = clock();
    if (epc_draw_layers(&draw, 1, 1)) return 1;
    best = fmin(best, (double)(clock() - start) / CLOCKS_PER_SEC);
  }
  printf("%.2f ms a layer, %.2f ns a choice\n", best * 1e3, best * 1e9 / ((double)members * tokens * top_k));
}
