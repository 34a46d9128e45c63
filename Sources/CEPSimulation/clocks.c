// Clocks of all ranks, advanced one job at a time. Wide vectors matter here: comparing 64-bit integers takes
// several instructions without.

#include "include/epc_simulation.h"
#include "wide.h"

static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

static inline int64_t paced(int64_t ticks, uint32_t pace) {
  return (int64_t)(((__int128)ticks * pace) >> 16);
}

static inline int64_t lookup(const epc_table *table, uint32_t load) {
  if (load > table->most) {
    int64_t end = table->ticks[epc_table_index(table->most)];
    return (int64_t)((__int128)end * load / table->most);
  }
  uint32_t index = epc_table_index(load);
  int64_t at = table->ticks[index];
  if (load < 16) return at;
  uint32_t shift = 31u - (uint32_t)__builtin_clz(load) - 3u;
  int64_t rest = load & ((1u << shift) - 1u);
  return at + (((table->ticks[index + 1] - at) * rest) >> shift);
}

EPC_WIDE void epc_raise(int64_t *values, const int64_t *least, size_t count) {
  for (size_t rank = 0; rank < count; rank++) values[rank] = larger(values[rank], least[rank]);
}

EPC_WIDE static void raise_to(
    int64_t *restrict values, const int64_t *restrict least, int64_t shift, size_t count) {
  for (size_t rank = 0; rank < count; rank++) {
    values[rank] = larger(values[rank], least[rank] + shift);
  }
}

static void meet_waits(const epc_issue *issue) {
  for (size_t wait = 0; wait < issue->wait_count; wait++) {
    raise_to(issue->clock, issue->waits[wait], issue->shifts[wait], issue->ranks);
  }
}

EPC_WIDE static void add(int64_t *restrict clock, int64_t ticks, size_t count) {
  for (size_t rank = 0; rank < count; rank++) clock[rank] += ticks;
}

EPC_WIDE static void add_and_keep(
    int64_t *restrict clock, int64_t *restrict event, int64_t ticks, size_t count) {
  for (size_t rank = 0; rank < count; rank++) {
    int64_t end = clock[rank] + ticks;
    clock[rank] = end;
    event[rank] = end;
  }
}

void epc_issue_kernel(const epc_issue *issue, int64_t ticks) {
  meet_waits(issue);
  if (!issue->pace && !issue->busy) {
    if (issue->event) {
      add_and_keep(issue->clock, issue->event, ticks, issue->ranks);
    } else if (ticks) {
      add(issue->clock, ticks, issue->ranks);
    }
    return;
  }
  for (size_t rank = 0; rank < issue->ranks; rank++) {
    int64_t own = issue->pace ? paced(ticks, issue->pace[rank]) : ticks;
    issue->clock[rank] += own;
    if (issue->busy) issue->busy[rank] += own;
    if (issue->event) issue->event[rank] = issue->clock[rank];
  }
}

void epc_issue_routed(
    const epc_issue *issue, const uint32_t *rows, const uint32_t *active, const epc_table *tables,
    size_t table_count) {
  meet_waits(issue);
  for (size_t rank = 0; rank < issue->ranks; rank++) {
    if (!rows[rank]) {
      if (issue->event) issue->event[rank] = issue->clock[rank];
      continue;
    }
    size_t which = active[rank] < table_count ? active[rank] : table_count - 1;
    int64_t own = lookup(&tables[which], rows[rank]);
    if (issue->pace) own = paced(own, issue->pace[rank]);
    issue->clock[rank] += own;
    if (issue->busy) issue->busy[rank] += own;
    if (issue->event) issue->event[rank] = issue->clock[rank];
  }
}

epc_exchange_outcome epc_issue_exchange(
    const epc_issue *issue, epc_groups groups, const uint32_t *out, const uint32_t *in,
    epc_table table) {
  epc_exchange_outcome outcome = {0, 0};
  meet_waits(issue);
  size_t block = groups.size * groups.inner;
  int64_t even = lookup(&table, EPC_RATIO_ONE);
  for (size_t base = 0; base < issue->ranks; base += block) {
    for (size_t offset = 0; offset < groups.inner; offset++) {
      int64_t *clock = issue->clock + base + offset;
      int64_t first = clock[0], last = clock[0], sent = 0;
      __int128 sum = 0;
      for (size_t member = 0; member < groups.size; member++) {
        size_t place = member * groups.inner;
        int64_t start = clock[place];
        size_t rank = base + offset + place;
        int64_t sending = out[rank] == EPC_RATIO_ONE ? even : lookup(&table, out[rank]);
        sent = larger(sent, start + sending);
        last = larger(last, start);
        if (start < first) first = start;
        sum += start;
      }
      int64_t mean = (int64_t)(sum / (__int128)groups.size);
      int64_t ended = last;
      for (size_t member = 0; member < groups.size; member++) {
        size_t place = member * groups.inner;
        size_t rank = base + offset + place;
        int64_t receiving = in[rank] == EPC_RATIO_ONE ? even : lookup(&table, in[rank]);
        int64_t end = larger(sent, mean + receiving);
        if (issue->busy) issue->busy[rank] += end - clock[place];
        clock[place] = end;
        ended = larger(ended, end);
        if (issue->event) issue->event[rank] = end;
      }
      outcome.longest = larger(outcome.longest, ended - last);
      outcome.longest_wait = larger(outcome.longest_wait, last - first);
    }
  }
  return outcome;
}

epc_exchange_outcome epc_issue_collective(
    const epc_issue *issue, epc_groups groups, int64_t ticks) {
  epc_exchange_outcome outcome = {0, 0};
  meet_waits(issue);
  size_t block = groups.size * groups.inner;
  for (size_t base = 0; base < issue->ranks; base += block) {
    for (size_t offset = 0; offset < groups.inner; offset++) {
      int64_t *clock = issue->clock + base + offset;
      int64_t first = clock[0], last = clock[0];
      uint32_t pace = EPC_PACE_ONE;
      for (size_t member = 0; member < groups.size; member++) {
        size_t place = member * groups.inner;
        last = larger(last, clock[place]);
        if (clock[place] < first) first = clock[place];
        if (issue->pace && issue->pace[base + offset + place] > pace) {
          pace = issue->pace[base + offset + place];
        }
      }
      int64_t end = last + paced(ticks, pace);
      for (size_t member = 0; member < groups.size; member++) {
        size_t place = member * groups.inner;
        if (issue->busy) issue->busy[base + offset + place] += end - clock[place];
        clock[place] = end;
        if (issue->event) issue->event[base + offset + place] = end;
      }
      outcome.longest = larger(outcome.longest, end - last);
      outcome.longest_wait = larger(outcome.longest_wait, last - first);
    }
  }
  return outcome;
}
