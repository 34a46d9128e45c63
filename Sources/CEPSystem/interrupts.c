#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "include/epc_interrupts.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static const int watched[] = {SIGINT, SIGTERM, SIGHUP};
enum { watched_count = sizeof watched / sizeof watched[0] };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int watchers = 0;
static bool taken[watched_count];
// Read by the handler, so set before it is installed and kept until after it is removed.
static int ends[2] = {-1, -1};
static volatile sig_atomic_t received = 0;

static void note_signal(int number) {
  const int error = errno;
  received = number;
  const char byte = 0;
  // A full pipe is readable already, which is all that is needed.
  const ssize_t written = write(ends[1], &byte, 1);
  (void)written;
  errno = error;
}

static void install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = note_signal;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  for (int i = 0; i < watched_count; i++) {
    struct sigaction present;
    taken[i] = sigaction(watched[i], NULL, &present) == 0 &&
               (present.sa_flags & SA_SIGINFO) == 0 && present.sa_handler == SIG_DFL &&
               sigaction(watched[i], &action, NULL) == 0;
  }
}

static void restore(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = SIG_DFL;
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < watched_count; i++) {
    if (taken[i]) sigaction(watched[i], &action, NULL);
    taken[i] = false;
  }
}

int epc_interrupts_watch(void) {
  pthread_mutex_lock(&lock);
  // The pipe is made once and kept: a handler that still runs on another thread may write to it.
  if (ends[0] < 0 && pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    ends[0] = -1;
    ends[1] = -1;
    pthread_mutex_unlock(&lock);
    return -1;
  }
  if (watchers == 0) {
    received = 0;
    char byte;
    while (read(ends[0], &byte, 1) > 0) {
    }
    install();
  }
  watchers++;
  const int descriptor = ends[0];
  pthread_mutex_unlock(&lock);
  return descriptor;
}

int epc_interrupts_unwatch(void) {
  pthread_mutex_lock(&lock);
  bool last = false;
  if (watchers > 0) {
    watchers--;
    last = watchers == 0;
  }
  if (last) restore();
  const int number = received;
  pthread_mutex_unlock(&lock);
  if (last && number != 0) kill(getpid(), number);
  return number;
}
