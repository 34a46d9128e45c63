// The innermost loops of searches.

#include "include/epc_schedule.h"

// Compiled for wider vectors too, and the machine's are chosen when the program is loaded: comparing
// 64-bit integers takes several instructions without.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
#define EPC_WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define EPC_WIDE
#endif

EPC_WIDE int64_t epc_lengthen_paths(
    int64_t *least, int64_t count, int64_t from, int64_t to, int64_t ticks) {
  const int64_t *behind = least + to * count;
  int64_t rows = 1;
  for (int64_t first = 0; first < count; first++) {
    int64_t *row = least + first * count;
    const int64_t sum = row[from] + ticks;
    // Rows that the arc does not lengthen at its end are lengthened nowhere behind it; the row of `to` is one.
    if (sum <= row[to]) continue;
    rows++;
#pragma clang loop vectorize(assume_safety)
    for (int64_t second = 0; second < count; second++) {
      const int64_t way = sum + behind[second];
      row[second] = row[second] > way ? row[second] : way;
    }
  }
  return rows;
}

EPC_WIDE int32_t epc_work_between(
    const int32_t *durations, const int32_t *rests, const int32_t *shifts, const int32_t *ahead,
    int64_t count, int32_t *furthest) {
  int32_t between = 0, most = 0;
  for (int64_t job = 0; job < count; job++) {
    // From the job's end to the second point, at least.
    const int32_t after = ahead[job] - shifts[job];
    const int32_t work = rests[job] + (after < 0 ? after : 0);
    between += work > 0 ? work : 0;
    const int32_t end = after + durations[job];
    most = end > most ? end : most;
  }
  *furthest = most;
  return between;
}
