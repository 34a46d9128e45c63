// Random reads of a file by the reader of checkpoints, beside plain preads of as many threads: see
// reads.sh.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "epc_reader.h"

#define BLOCK ((uint64_t)4 << 20)
#define READS 256
#define THREADS 4
#define WINDOW 8

static const char *path;
static uint64_t offsets[READS];
static atomic_size_t next_read;

static double seconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, strerror(errno));
  exit(1);
}

static void *read_plainly(void *unused) {
  (void)unused;
  const int file = open(path, O_RDONLY | O_DIRECT);
  void *memory = NULL;
  if (file < 0 || posix_memalign(&memory, 4096, BLOCK) != 0) fail(path);
  for (size_t i; (i = atomic_fetch_add(&next_read, 1)) < READS;) {
    if (pread(file, memory, BLOCK, (off_t)offsets[i]) != (ssize_t)BLOCK) fail("pread");
  }
  free(memory);
  close(file);
  return NULL;
}

static double plain(void) {
  pthread_t threads[THREADS];
  atomic_store(&next_read, 0);
  const double start = seconds();
  for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, read_plainly, NULL);
  for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  return (double)(BLOCK * READS) / (seconds() - start) / 1e9;
}

static double with_reader(size_t shift) {
  int error = 0;
  const int descriptor = open(path, O_RDONLY);
  if (descriptor < 0) fail(path);
  epc_read_file *file = epc_read_file_open(descriptor, true, &error);
  epc_reader *reader = epc_reader_create(THREADS, 0, &error);
  if (file == NULL || reader == NULL) exit(1);
  if (!epc_read_file_is_direct(file)) puts("(the file system has no direct reads)");
  void *memory[WINDOW];
  epc_read *reads[WINDOW];
  const uint64_t room = epc_read_room(1, BLOCK);
  const double start = seconds();
  for (size_t i = 0; i < READS + WINDOW; i++) {
    const size_t place = i % WINDOW;
    if (i >= WINDOW) {
      epc_reader_wait(reader, &reads[place], 1);
      if (epc_reader_state(reader, reads[place]) != EPC_READ_DONE) exit(1);
      epc_reader_release(reader, reads[place]);
    } else if (posix_memalign(&memory[place], EPC_READ_ALIGNMENT, room) != 0) {
      exit(1);
    }
    if (i >= READS) continue;
    const epc_read_range range = {file, offsets[i] + shift, BLOCK - shift, memory[place], room};
    reads[place] = epc_reader_submit(reader, &range, 1, (epc_read_work){0}, EPC_READ_NOW);
    if (reads[place] == NULL) exit(1);
  }
  const double rate = (double)(BLOCK * READS) / (seconds() - start) / 1e9;
  epc_reader_destroy(reader);
  epc_read_file_close(file);
  close(descriptor);
  return rate;
}

int main(int count, char **arguments) {
  if (count != 2) return 64;
  path = arguments[1];
  struct stat status;
  if (stat(path, &status) != 0) fail(path);
  const uint64_t blocks = (uint64_t)status.st_size / BLOCK;
  if (blocks == 0) return 64;
  uint64_t state = 1;
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < READS; i++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      offsets[i] = (state >> 33) % blocks * BLOCK;
    }
    const double floor = plain();
    const double aligned = with_reader(0), shifted = with_reader(1234);
    printf("plain preads %.2f GB/s; reader %.2f GB/s (%.2f of it), from odd offsets %.2f GB/s (%.2f)\n",
           floor, aligned, aligned / floor, shifted, shifted / floor);
  }
  return 0;
}
