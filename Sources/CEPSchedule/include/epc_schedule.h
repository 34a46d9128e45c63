/// Loops that searches for schedules spend their time in, compiled for wide vectors and chosen at run time.
#ifndef EPC_SCHEDULE_H
#define EPC_SCHEDULE_H

#include <stdint.h>

/// Brings longest paths up to date with an arc: `least` is a square of `count` rows, and what `from` reaches
/// in `ticks` more is what `to` reaches. Returns the rows that were looked at.
int64_t epc_lengthen_paths(int64_t *least, int64_t count, int64_t from, int64_t to, int64_t ticks);

/// Ticks of work of `count` jobs that lie between two points, and in `furthest` how far the last of them
/// reaches behind the second one; see `Sides` of EPSchedule. No sum may overflow.
int32_t epc_work_between(
    const int32_t *durations, const int32_t *rests, const int32_t *shifts, const int32_t *ahead,
    int64_t count, int32_t *furthest);

#endif
