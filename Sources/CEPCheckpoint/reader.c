#define _GNU_SOURCE
#include "epc_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRIORITIES 3

struct epc_read_file {
  // -1 where the file system has no direct reads.
  int direct;
  int buffered;
  uint64_t bytes;
  // Whether the page cache should not keep what is read through it.
  bool forgets;
  // Cleared by the first direct read that the file system refuses.
  atomic_bool is_direct;
};

// A range in whole blocks.
typedef struct {
  epc_read_file *file;
  uint64_t begin, end;
  // What must be there: the end of the range asked for.
  uint64_t needed;
  uint8_t *memory;
  // The first byte that no thread has taken on.
  uint64_t position;
} read_range;

// What a request waits for.
typedef enum { FOR_NOTHING, FOR_READERS, FOR_WORKERS } queue_kind;

struct epc_read {
  epc_read_priority priority;
  epc_read_work work;
  // All below is guarded by the reader's mutex.
  epc_read *next, *previous;
  queue_kind queue;
  // Pieces being read, or tasks being done.
  size_t active;
  // The first range with bytes, and the first task, that no thread has taken on.
  size_t range, task;
  bool has_failed;
  int error;
  size_t error_range;
  uint64_t error_offset;
  uint64_t bytes;
  size_t count;
  read_range ranges[];
};

typedef struct {
  epc_read *first, *last;
} request_list;

struct epc_reader {
  pthread_mutex_t mutex;
  // Something to read, something to do, or the end.
  pthread_cond_t reads, tasks;
  // A request is no longer pending.
  pthread_cond_t progress;
  // By what requests wait for and by priority.
  request_list lists[3][PRIORITIES];
  uint64_t bytes;
  bool is_ending;
  size_t readers, workers;
  pthread_t thread[];
};

// MARK: Files

epc_read_file *epc_read_file_open(int descriptor, bool direct, int *error) {
  epc_read_file *file = calloc(1, sizeof *file);
  if (file == NULL) {
    *error = ENOMEM;
    return NULL;
  }
  file->direct = -1;
  file->buffered = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  struct stat status;
  if (file->buffered < 0 || fstat(file->buffered, &status) != 0) {
    *error = errno;
    epc_read_file_close(file);
    return NULL;
  }
  file->bytes = (uint64_t)status.st_size;
  file->forgets = direct;
  if (direct) {
    // Whether reads are direct belongs to how a file was opened, not to the descriptor alone.
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    file->direct = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_DIRECT);
    // Where there is no direct way, ranges are read once and in one piece: reading ahead is waste.
    posix_fadvise(file->buffered, 0, 0, POSIX_FADV_RANDOM);
  }
  atomic_init(&file->is_direct, file->direct >= 0);
  return file;
}

void epc_read_file_close(epc_read_file *file) {
  if (file == NULL) return;
  if (file->direct >= 0) close(file->direct);
  if (file->buffered >= 0) close(file->buffered);
  free(file);
}

uint64_t epc_read_file_bytes(const epc_read_file *file) { return file->bytes; }

bool epc_read_file_is_direct(const epc_read_file *file) { return atomic_load(&file->is_direct); }

uint64_t epc_read_room(uint64_t offset, uint64_t length) {
  uint64_t end;
  if (__builtin_add_overflow(offset, length, &end) || end > INT64_MAX - EPC_READ_ALIGNMENT) return 0;
  const uint64_t first = offset - offset % EPC_READ_ALIGNMENT;
  const uint64_t rest = end % EPC_READ_ALIGNMENT;
  return end + (rest > 0 ? EPC_READ_ALIGNMENT - rest : 0) - first;
}

size_t epc_read_skip(uint64_t offset) { return offset % EPC_READ_ALIGNMENT; }

// MARK: Reading

// Reads up to `length` bytes, stopping early at the end of the file only. Returns an errno.
static int read_fully(epc_read_file *file, uint64_t offset, uint64_t length, uint8_t *memory,
                      uint64_t *count) {
  *count = 0;
  while (*count < length) {
    const bool is_direct = atomic_load(&file->is_direct);
    // After a short read a direct one goes on from the start of the block.
    const uint64_t done = is_direct ? *count - *count % EPC_READ_ALIGNMENT : *count;
    const ssize_t got = pread(is_direct ? file->direct : file->buffered, memory + done,
                              length - done, (off_t)(offset + done));
    if (got < 0) {
      if (errno == EINTR) continue;
      if (is_direct && errno == EINVAL) {
        atomic_store(&file->is_direct, false);
        continue;
      }
      return errno;
    }
    if (!is_direct && file->forgets && got > 0) {
      posix_fadvise(file->buffered, (off_t)(offset + done), got, POSIX_FADV_DONTNEED);
    }
    if (done + (uint64_t)got <= *count) return 0;
    *count = done + (uint64_t)got;
  }
  return 0;
}

static void dequeue(epc_reader *reader, epc_read *read) {
  if (read->queue == FOR_NOTHING) return;
  request_list *list = &reader->lists[read->queue][read->priority];
  if (read->previous != NULL) read->previous->next = read->next;
  else list->first = read->next;
  if (read->next != NULL) read->next->previous = read->previous;
  else list->last = read->previous;
  read->next = read->previous = NULL;
  read->queue = FOR_NOTHING;
}

static void enqueue(epc_reader *reader, epc_read *read, queue_kind queue) {
  request_list *list = &reader->lists[queue][read->priority];
  read->next = NULL;
  read->previous = list->last;
  if (read->previous != NULL) read->previous->next = read;
  else list->first = read;
  list->last = read;
  read->queue = queue;
}

static epc_read *next_request(epc_reader *reader, queue_kind queue) {
  for (size_t priority = 0; priority < PRIORITIES; priority++) {
    if (reader->lists[queue][priority].first != NULL) return reader->lists[queue][priority].first;
  }
  return NULL;
}

// Called when the last piece of a request has been read.
static void end_reading(epc_reader *reader, epc_read *read) {
  if (read->has_failed || read->work.count == 0) {
    pthread_cond_broadcast(&reader->progress);
    return;
  }
  enqueue(reader, read, FOR_WORKERS);
  pthread_cond_broadcast(&reader->tasks);
}

// Reads the next piece of a request; the mutex is held but while it reads.
static void read_piece(epc_reader *reader, epc_read *read) {
  const size_t index = read->range;
  read_range *range = &read->ranges[index];
  const uint64_t begin = range->position;
  const uint64_t left = range->end - begin;
  const uint64_t length = left < EPC_READ_PIECE ? left : EPC_READ_PIECE;
  range->position += length;
  read->active++;
  if (range->position == range->end) {
    read->range++;
    if (read->range == read->count) dequeue(reader, read);
  }
  pthread_mutex_unlock(&reader->mutex);

  uint64_t count = 0;
  const int error = read_fully(range->file, begin, length,
                               range->memory + (begin - range->begin), &count);

  pthread_mutex_lock(&reader->mutex);
  reader->bytes += count;
  read->bytes += count;
  const uint64_t wanted = range->needed < begin + length ? range->needed : begin + length;
  if ((error != 0 || begin + count < wanted) && !read->has_failed) {
    read->has_failed = true;
    read->error = error;
    read->error_range = index;
    read->error_offset = begin + count;
    dequeue(reader, read);
  }
  read->active--;
  if (read->active == 0 && read->queue == FOR_NOTHING) end_reading(reader, read);
}

// Does the next task of a request; the mutex is held but while it is done.
static void do_task(epc_reader *reader, epc_read *read) {
  const size_t task = read->task++;
  read->active++;
  if (read->task == read->work.count) dequeue(reader, read);
  pthread_mutex_unlock(&reader->mutex);

  read->work.run(read->work.context, task);

  pthread_mutex_lock(&reader->mutex);
  read->active--;
  if (read->active == 0 && read->queue == FOR_NOTHING) pthread_cond_broadcast(&reader->progress);
}

static void *run(epc_reader *reader, queue_kind queue, pthread_cond_t *awaited,
                 void (*go_on)(epc_reader *, epc_read *)) {
  pthread_mutex_lock(&reader->mutex);
  while (!reader->is_ending) {
    epc_read *read = next_request(reader, queue);
    if (read == NULL) {
      pthread_cond_wait(awaited, &reader->mutex);
    } else {
      go_on(reader, read);
    }
  }
  pthread_mutex_unlock(&reader->mutex);
  return NULL;
}

static void *run_reader(void *reader) {
  return run(reader, FOR_READERS, &((epc_reader *)reader)->reads, read_piece);
}

static void *run_worker(void *reader) {
  return run(reader, FOR_WORKERS, &((epc_reader *)reader)->tasks, do_task);
}

// MARK: Threads

static void end_threads(epc_reader *reader, size_t threads) {
  pthread_mutex_lock(&reader->mutex);
  reader->is_ending = true;
  pthread_cond_broadcast(&reader->reads);
  pthread_cond_broadcast(&reader->tasks);
  pthread_mutex_unlock(&reader->mutex);
  for (size_t i = 0; i < threads; i++) pthread_join(reader->thread[i], NULL);
}

static void free_reader(epc_reader *reader) {
  pthread_cond_destroy(&reader->progress);
  pthread_cond_destroy(&reader->reads);
  pthread_cond_destroy(&reader->tasks);
  pthread_mutex_destroy(&reader->mutex);
  free(reader);
}

epc_reader *epc_reader_create(size_t threads, size_t workers, int *error) {
  if (threads < 1 || threads > 256 || workers > 256) {
    *error = EINVAL;
    return NULL;
  }
  epc_reader *reader = calloc(1, sizeof *reader + (threads + workers) * sizeof reader->thread[0]);
  if (reader == NULL) {
    *error = ENOMEM;
    return NULL;
  }
  pthread_mutex_init(&reader->mutex, NULL);
  pthread_cond_init(&reader->reads, NULL);
  pthread_cond_init(&reader->tasks, NULL);
  pthread_cond_init(&reader->progress, NULL);
  reader->readers = threads;
  reader->workers = workers;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  // What readers keep on the stack is little, and all of it counts as memory of the process.
  const size_t least = (size_t)PTHREAD_STACK_MIN;
  pthread_attr_setstacksize(&attributes, least > 64 << 10 ? least : 64 << 10);
  size_t started = 0;
  int code = 0;
  for (; started < threads + workers; started++) {
    if (started == threads) pthread_attr_setstacksize(&attributes, 1 << 20);
    code = pthread_create(&reader->thread[started], &attributes,
                          started < threads ? run_reader : run_worker, reader);
    if (code != 0) break;
  }
  pthread_attr_destroy(&attributes);
  if (code == 0) return reader;
  *error = code;
  end_threads(reader, started);
  free_reader(reader);
  return NULL;
}

void epc_reader_destroy(epc_reader *reader) {
  if (reader == NULL) return;
  end_threads(reader, reader->readers + reader->workers);
  free_reader(reader);
}

// MARK: Requests

// Whole blocks of a range; false where it cannot be read.
static bool take_range(const epc_read_range *range, read_range *taken) {
  const uint64_t needed = epc_read_room(range->offset, range->length);
  if (range->length == 0 || needed == 0 || needed > range->room || range->memory == NULL) return false;
  if (range->offset > range->file->bytes || range->length > range->file->bytes - range->offset) return false;
  if ((uintptr_t)range->memory % EPC_READ_ALIGNMENT != 0) return false;
  taken->file = range->file;
  taken->begin = range->offset - range->offset % EPC_READ_ALIGNMENT;
  taken->end = taken->begin + needed;
  taken->needed = range->offset + range->length;
  taken->memory = range->memory;
  taken->position = taken->begin;
  return true;
}

epc_read *epc_reader_submit(epc_reader *reader, const epc_read_range *ranges, size_t count,
                            epc_read_work work, epc_read_priority priority) {
  if ((unsigned)priority >= PRIORITIES || count > SIZE_MAX / 2 / sizeof(read_range)) return NULL;
  if (work.count > 0 && (reader->workers == 0 || work.run == NULL)) return NULL;
  epc_read *read = calloc(1, sizeof *read + count * sizeof read->ranges[0]);
  if (read == NULL) return NULL;
  read->count = count;
  read->work = work;
  read->priority = priority;
  for (size_t i = 0; i < count; i++) {
    if (take_range(&ranges[i], &read->ranges[i])) continue;
    free(read);
    return NULL;
  }
  pthread_mutex_lock(&reader->mutex);
  if (count == 0) {
    end_reading(reader, read);
  } else {
    enqueue(reader, read, FOR_READERS);
    // A long request is work for several threads.
    pthread_cond_broadcast(&reader->reads);
  }
  pthread_mutex_unlock(&reader->mutex);
  return read;
}

void epc_reader_hurry(epc_reader *reader, epc_read *read, epc_read_priority priority) {
  if ((unsigned)priority >= PRIORITIES) return;
  pthread_mutex_lock(&reader->mutex);
  const queue_kind queue = read->queue;
  if (priority < read->priority) {
    dequeue(reader, read);
    read->priority = priority;
    if (queue != FOR_NOTHING) enqueue(reader, read, queue);
  }
  pthread_mutex_unlock(&reader->mutex);
}

static epc_read_state state(const epc_read *read) {
  if (read->active > 0 || read->queue != FOR_NOTHING) return EPC_READ_PENDING;
  return read->has_failed ? EPC_READ_FAILED : EPC_READ_DONE;
}

epc_read_state epc_reader_state(epc_reader *reader, epc_read *read) {
  pthread_mutex_lock(&reader->mutex);
  const epc_read_state result = state(read);
  pthread_mutex_unlock(&reader->mutex);
  return result;
}

size_t epc_reader_wait(epc_reader *reader, epc_read *const *reads, size_t count) {
  if (count == 0) return 0;
  pthread_mutex_lock(&reader->mutex);
  size_t found = count;
  while (true) {
    for (size_t i = 0; i < count && found == count; i++) {
      if (state(reads[i]) != EPC_READ_PENDING) found = i;
    }
    if (found < count) break;
    pthread_cond_wait(&reader->progress, &reader->mutex);
  }
  pthread_mutex_unlock(&reader->mutex);
  return found;
}

int epc_reader_error(epc_reader *reader, epc_read *read, size_t *range, uint64_t *offset) {
  pthread_mutex_lock(&reader->mutex);
  *range = read->error_range;
  *offset = read->error_offset;
  const int error = read->error;
  pthread_mutex_unlock(&reader->mutex);
  return error;
}

void epc_reader_cancel(epc_reader *reader, epc_read *read) {
  pthread_mutex_lock(&reader->mutex);
  const bool is_over = state(read) != EPC_READ_PENDING;
  dequeue(reader, read);
  read->work.count = 0;
  if (!is_over && !read->has_failed) {
    read->has_failed = true;
    read->error = ECANCELED;
  }
  if (read->active == 0) pthread_cond_broadcast(&reader->progress);
  pthread_mutex_unlock(&reader->mutex);
}

uint64_t epc_reader_release(epc_reader *reader, epc_read *read) {
  if (read == NULL) return 0;
  pthread_mutex_lock(&reader->mutex);
  // What is being read or done now ends; nothing follows it.
  read->work.count = 0;
  dequeue(reader, read);
  while (read->active > 0) pthread_cond_wait(&reader->progress, &reader->mutex);
  pthread_mutex_unlock(&reader->mutex);
  const uint64_t bytes = read->bytes;
  free(read);
  return bytes;
}

uint64_t epc_reader_bytes(epc_reader *reader) {
  pthread_mutex_lock(&reader->mutex);
  const uint64_t bytes = reader->bytes;
  pthread_mutex_unlock(&reader->mutex);
  return bytes;
}
