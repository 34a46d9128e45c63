// A pool of threads that share out tasks: each begins with a range of its own, so that what lies side by
// side in memory is read by one thread, and then helps the others.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "epc_fast.h"

#if defined(__x86_64__)
#define RELAX() __builtin_ia32_pause()
#else
#define RELAX() ((void)0)
#endif

/// How often a thread looks for work before it sleeps: some tens of microseconds, which bridges the
/// gap between two operations and leaves the processor to others in longer ones.
enum { SPINS = 4000 };

enum { HUGE_PAGE = 2 << 20 };

typedef struct {
  /// The next task of this worker's range, by whoever takes it.
  _Alignas(64) atomic_size_t next;
  epc_pool *pool;
  size_t worker;
  pthread_t thread;
  void *scratch;
  size_t bytes;
} worker;

/// What `gate` is made of: the number of the run, whether threads may still join it, and how many
/// have. A thread that wakes too late finds it closed, so that nobody waits for sleepers.
#define RUN ((uint64_t)1 << 32)
#define OPEN ((uint64_t)1 << 31)

struct epc_pool {
  size_t threads;
  /// The current run.
  epc_task task;
  void *context;
  size_t count;
  _Alignas(64) _Atomic uint64_t gate;
  _Alignas(64) atomic_size_t left;
  _Alignas(64) atomic_bool ends;
  pthread_mutex_t mutex;
  pthread_cond_t begun;
  atomic_size_t sleepers;
  worker workers[];
};

static void work(epc_pool *pool, size_t worker) {
  const size_t threads = pool->threads;
  for (size_t i = 0; i < threads; i++) {
    const size_t owner = (worker + i) % threads;
    const size_t end = pool->count * (owner + 1) / threads;
    for (;;) {
      const size_t index =
          atomic_fetch_add_explicit(&pool->workers[owner].next, 1, memory_order_relaxed);
      if (index >= end) break;
      pool->task(pool->context, index, worker);
    }
  }
}

/// Waits until a run other than `seen` has begun, or the end.
static uint64_t await(epc_pool *pool, uint64_t seen) {
  for (int spin = 0; spin < SPINS; spin++) {
    const uint64_t gate = atomic_load_explicit(&pool->gate, memory_order_acquire);
    if (gate / RUN != seen) return gate;
    RELAX();
  }
  pthread_mutex_lock(&pool->mutex);
  atomic_fetch_add(&pool->sleepers, 1);
  uint64_t gate;
  while ((gate = atomic_load(&pool->gate)) / RUN == seen) {
    pthread_cond_wait(&pool->begun, &pool->mutex);
  }
  atomic_fetch_sub(&pool->sleepers, 1);
  pthread_mutex_unlock(&pool->mutex);
  return gate;
}

static void *serve(void *context) {
  worker *self = context;
  epc_pool *pool = self->pool;
  uint64_t seen = 0;
  for (;;) {
    uint64_t gate = await(pool, seen);
    if (atomic_load(&pool->ends)) return NULL;
    while ((gate & OPEN) != 0 && !atomic_compare_exchange_weak(&pool->gate, &gate, gate + 1)) {
    }
    seen = gate / RUN;
    if ((gate & OPEN) == 0) continue;
    work(pool, self->worker);
    atomic_fetch_add_explicit(&pool->left, 1, memory_order_release);
  }
}

/// Begins a run, or the end, and wakes whoever sleeps.
static void begin(epc_pool *pool) {
  const uint64_t gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);
  atomic_store(&pool->gate, (gate / RUN + 1) * RUN | OPEN);
  if (atomic_load(&pool->sleepers) == 0) return;
  pthread_mutex_lock(&pool->mutex);
  pthread_cond_broadcast(&pool->begun);
  pthread_mutex_unlock(&pool->mutex);
}

epc_pool *epc_pool_create(size_t threads) {
  if (threads == 0 || threads > 4096) return NULL;
  const size_t bytes = sizeof(epc_pool) + threads * sizeof(worker);
  epc_pool *pool = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (pool == NULL) return NULL;
  pool->threads = threads;
  pool->task = NULL;
  pool->context = NULL;
  pool->count = 0;
  atomic_init(&pool->gate, 0);
  atomic_init(&pool->left, 0);
  atomic_init(&pool->ends, false);
  atomic_init(&pool->sleepers, 0);
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->begun, NULL);
  for (size_t i = 0; i < threads; i++) {
    pool->workers[i] = (worker){.pool = pool, .worker = i, .scratch = NULL, .bytes = 0};
    atomic_init(&pool->workers[i].next, 0);
    if (i > 0 && pthread_create(&pool->workers[i].thread, NULL, serve, &pool->workers[i]) != 0) {
      pool->threads = i;
      epc_pool_destroy(pool);
      return NULL;
    }
  }
  return pool;
}

void epc_pool_destroy(epc_pool *pool) {
  atomic_store(&pool->ends, true);
  begin(pool);
  for (size_t i = 0; i < pool->threads; i++) {
    if (i > 0) pthread_join(pool->workers[i].thread, NULL);
    free(pool->workers[i].scratch);
  }
  pthread_mutex_destroy(&pool->mutex);
  pthread_cond_destroy(&pool->begun);
  free(pool);
}

size_t epc_pool_threads(const epc_pool *pool) { return pool->threads; }

void epc_pool_run(epc_pool *pool, size_t count, epc_task task, void *context) {
  if (count == 0) return;
  pool->task = task;
  pool->context = context;
  pool->count = count;
  for (size_t i = 0; i < pool->threads; i++) {
    const size_t first = count * i / pool->threads;
    atomic_store_explicit(&pool->workers[i].next, first, memory_order_relaxed);
  }
  if (pool->threads == 1 || count == 1) {
    work(pool, 0);
    return;
  }
  atomic_store_explicit(&pool->left, 0, memory_order_relaxed);
  begin(pool);
  work(pool, 0);
  const uint64_t joined = atomic_fetch_and(&pool->gate, ~OPEN) & (OPEN - 1);
  for (int spin = 0; atomic_load_explicit(&pool->left, memory_order_acquire) < joined; spin++) {
    if (spin < SPINS) {
      RELAX();
    } else {
      sched_yield();
    }
  }
}

void *epc_pool_scratch(epc_pool *pool, size_t index, size_t bytes) {
  worker *self = &pool->workers[index];
  if (self->bytes >= bytes) return self->scratch;
  free(self->scratch);
  // Much of it lies in huge pages.
  const size_t most = bytes + bytes / 2;
  const size_t unit = most < HUGE_PAGE / 2 ? 64 : HUGE_PAGE;
  const size_t rounded = (most + unit - 1) / unit * unit;
  self->scratch = aligned_alloc(unit, rounded);
  self->bytes = self->scratch == NULL ? 0 : rounded;
#ifdef MADV_HUGEPAGE
  if (unit == HUGE_PAGE && self->bytes > 0) madvise(self->scratch, rounded, MADV_HUGEPAGE);
#endif
  return self->scratch;
}
