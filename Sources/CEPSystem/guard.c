// Watching over calls into code of others.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "include/epc_guard.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

/// What the calling thread is within.
static _Thread_local struct {
  volatile sig_atomic_t active;
  char who[200];
  char what[200];
  uint32_t milliseconds;
  bool has_timer;
  timer_t timer;
} current;

static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
enum { CRASHES = sizeof crashes / sizeof *crashes };
static struct sigaction before[CRASHES];
static pthread_once_t installed = PTHREAD_ONCE_INIT;

/// Adds a text to a line. Async-signal-safe, as all below.
static size_t add(char *line, size_t size, size_t at, const char *text) {
  while (*text != 0 && at + 1 < size) line[at++] = *text++;
  return at;
}

static size_t add_number(char *line, size_t size, size_t at, uint64_t number) {
  char digits[24];
  size_t first = sizeof digits;
  digits[--first] = 0;
  do digits[--first] = (char)('0' + number % 10);
  while ((number /= 10) > 0);
  return add(line, size, at, digits + first);
}

static void leave(const char *verb, const char *detail, uint64_t number, const char *rest) {
  char line[640];
  size_t at = add(line, sizeof line, 0, "error: ");
  at = add(line, sizeof line, at, current.who);
  at = add(line, sizeof line, at, verb);
  at = add(line, sizeof line, at, current.what);
  at = add(line, sizeof line, at, detail);
  at = add_number(line, sizeof line, at, number);
  at = add(line, sizeof line, at, rest);
  line[at++] = '\n';
  if (write(STDERR_FILENO, line, at) < 0) _exit(1);
  _exit(1);
}

static void crashed(int number) {
  if (current.active) leave(" crashed in ", ": signal ", (uint64_t)number, " [backend]");
  // Not ours: as if this handler had never been; the signal comes again when it returns.
  for (size_t i = 0; i < CRASHES; i++) {
    if (crashes[i] == number) sigaction(number, &before[i], NULL);
  }
  if (number == SIGABRT) raise(number);
}

static void expired(int number) {
  (void)number;
  if (!current.active) return;
  leave(" did not return from ", " within ", current.milliseconds / 1000, " s [backend]");
}

static void ended(void) {
  if (current.active) {
    leave(" called exit in ", ", in thread ", (uint64_t)syscall(SYS_gettid), " [backend]");
  }
}

static void install(void) {
  atexit(ended);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  sigemptyset(&action.sa_mask);
  action.sa_flags = SA_ONSTACK | SA_NODEFER;
  action.sa_handler = crashed;
  for (size_t i = 0; i < CRASHES; i++) sigaction(crashes[i], &action, &before[i]);
  action.sa_flags = SA_RESTART;
  action.sa_handler = expired;
  sigaction(SIGALRM, &action, NULL);
}

static void copy(char *to, size_t size, const char *text) {
  size_t length = strnlen(text, size - 1);
  memcpy(to, text, length);
  to[length] = 0;
}

static void set_timer(uint32_t milliseconds) {
  if (!current.has_timer) {
    // Who started us may have blocked signals, and a mask is inherited.
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGALRM);
    for (size_t i = 0; i < CRASHES; i++) sigaddset(&ours, crashes[i]);
    pthread_sigmask(SIG_UNBLOCK, &ours, NULL);
    struct sigevent event;
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGALRM;
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &event, &current.timer) != 0) return;
    current.has_timer = true;
  }
  const struct itimerspec time = {
      .it_value = {.tv_sec = milliseconds / 1000,
                   .tv_nsec = (long)(milliseconds % 1000) * 1000000},
  };
  timer_settime(current.timer, 0, &time, NULL);
}

void epc_guard_begin(const char *who, const char *what, uint32_t milliseconds) {
  pthread_once(&installed, install);
  copy(current.who, sizeof current.who, who);
  copy(current.what, sizeof current.what, what);
  current.milliseconds = milliseconds;
  current.active = 1;
  set_timer(milliseconds);
}

void epc_guard_end(void) {
  if (current.has_timer) set_timer(0);
  current.active = 0;
}
