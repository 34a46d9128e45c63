// A thread that runs in turns with the one that made it.
#include "include/epc_baton.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdlib.h>

struct epc_baton {
  pthread_t thread;
  sem_t turn;
  sem_t back;
  bool ended;
  void (*body)(void *);
  void *context;
};

static void take(sem_t *semaphore) {
  while (sem_wait(semaphore) != 0 && errno == EINTR) {
  }
}

static void *run(void *context) {
  epc_baton *baton = context;
  take(&baton->turn);
  baton->body(baton->context);
  baton->ended = true;
  sem_post(&baton->back);
  return NULL;
}

epc_baton *epc_baton_make(void (*body)(void *), void *context) {
  epc_baton *baton = calloc(1, sizeof *baton);
  if (baton == NULL) return NULL;
  sem_init(&baton->turn, 0, 0);
  sem_init(&baton->back, 0, 0);
  baton->body = body;
  baton->context = context;
  const int error = pthread_create(&baton->thread, NULL, run, baton);
  if (error != 0) {
    free(baton);
    errno = error;
    return NULL;
  }
  return baton;
}

void epc_baton_resume(epc_baton *baton) {
  if (baton->ended) return;
  sem_post(&baton->turn);
  take(&baton->back);
}

void epc_baton_yield(epc_baton *baton) {
  sem_post(&baton->back);
  take(&baton->turn);
}

void epc_baton_free(epc_baton *baton) {
  pthread_join(baton->thread, NULL);
  sem_destroy(&baton->turn);
  sem_destroy(&baton->back);
  free(baton);
}
