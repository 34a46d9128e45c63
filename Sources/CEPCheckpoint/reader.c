#define _GNU_SOURCE
#include "epc_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRIORITIES 3

struct epc_read_file {
  // -1 where the file system has no direct reads.
  int direct;
  int buffered;
  uint64_t bytes;
  // Cleared by the first direct read that the file system refuses.
  atomic_bool is_direct;
};

struct epc_read {
  epc_read_file *file;
  // Whole blocks: the range as it is read.
  uint64_t begin, end;
  // What must be there: the end of the range asked for.
  uint64_t needed;
  uint8_t *memory;
  epc_read_priority priority;
  // All below is guarded by the reader's mutex.
  epc_read *next, *previous;
  bool is_queued;
  // The first byte that no thread has taken on.
  uint64_t position;
  // Pieces being read.
  size_t active;
  bool has_failed;
  int error;
  uint64_t error_offset;
};

struct epc_reader {
  pthread_mutex_t mutex;
  // Something to read, or the end.
  pthread_cond_t work;
  // A request is no longer pending.
  pthread_cond_t progress;
  epc_read *first[PRIORITIES], *last[PRIORITIES];
  uint64_t bytes;
  bool is_ending;
  size_t threads;
  pthread_t thread[];
};

// MARK: Files

// Opens the file that is known by device and inode, or returns -1 and sets errno.
static int open_known(const char *path, int flags, uint64_t device, uint64_t inode,
                      uint64_t *bytes) {
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
  struct stat status;
  if (descriptor < 0) return -1;
  int error = 0;
  if (fstat(descriptor, &status) != 0) error = errno;
  else if (status.st_dev != device || status.st_ino != inode || !S_ISREG(status.st_mode)) error = ESTALE;
  if (error == 0) {
    *bytes = (uint64_t)status.st_size;
    return descriptor;
  }
  close(descriptor);
  errno = error;
  return -1;
}

epc_read_file *epc_read_file_open(const char *path, uint64_t device, uint64_t inode, int *error) {
  epc_read_file *file = calloc(1, sizeof *file);
  if (file == NULL) {
    *error = ENOMEM;
    return NULL;
  }
  uint64_t bytes;
  file->direct = -1;
  file->buffered = open_known(path, 0, device, inode, &file->bytes);
  if (file->buffered < 0) {
    *error = errno;
    epc_read_file_close(file);
    return NULL;
  }
  file->direct = open_known(path, O_DIRECT, device, inode, &bytes);
  atomic_init(&file->is_direct, file->direct >= 0);
  // Without a direct way each range is read once and in one piece: reading ahead would be waste.
  posix_fadvise(file->buffered, 0, 0, POSIX_FADV_RANDOM);
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
    if (!is_direct && got > 0) {
      posix_fadvise(file->buffered, (off_t)(offset + done), got, POSIX_FADV_DONTNEED);
    }
    if (done + (uint64_t)got <= *count) return 0;
    *count = done + (uint64_t)got;
  }
  return 0;
}

static void dequeue(epc_reader *reader, epc_read *read) {
  if (!read->is_queued) return;
  if (read->previous != NULL) read->previous->next = read->next;
  else reader->first[read->priority] = read->next;
  if (read->next != NULL) read->next->previous = read->previous;
  else reader->last[read->priority] = read->previous;
  read->next = read->previous = NULL;
  read->is_queued = false;
}

static void enqueue(epc_reader *reader, epc_read *read) {
  read->next = NULL;
  read->previous = reader->last[read->priority];
  if (read->previous != NULL) read->previous->next = read;
  else reader->first[read->priority] = read;
  reader->last[read->priority] = read;
  read->is_queued = true;
}

static epc_read *next_read(epc_reader *reader) {
  for (size_t priority = 0; priority < PRIORITIES; priority++) {
    if (reader->first[priority] != NULL) return reader->first[priority];
  }
  return NULL;
}

static void *run(void *context) {
  epc_reader *reader = context;
  pthread_mutex_lock(&reader->mutex);
  while (true) {
    epc_read *read = next_read(reader);
    if (reader->is_ending) break;
    if (read == NULL) {
      pthread_cond_wait(&reader->work, &reader->mutex);
      continue;
    }
    const uint64_t begin = read->position;
    const uint64_t length = read->end - begin < EPC_READ_PIECE ? read->end - begin : EPC_READ_PIECE;
    read->position += length;
    read->active++;
    if (read->position == read->end) dequeue(reader, read);
    pthread_mutex_unlock(&reader->mutex);

    uint64_t count = 0;
    const int error = read_fully(read->file, begin, length, read->memory + (begin - read->begin),
                                 &count);

    pthread_mutex_lock(&reader->mutex);
    reader->bytes += count;
    const uint64_t wanted = read->needed < begin + length ? read->needed : begin + length;
    if ((error != 0 || begin + count < wanted) && !read->has_failed) {
      read->has_failed = true;
      read->error = error;
      read->error_offset = begin + count;
      dequeue(reader, read);
    }
    read->active--;
    if (read->active == 0 && !read->is_queued) pthread_cond_broadcast(&reader->progress);
  }
  pthread_mutex_unlock(&reader->mutex);
  return NULL;
}

// MARK: Threads

static void end_threads(epc_reader *reader) {
  pthread_mutex_lock(&reader->mutex);
  reader->is_ending = true;
  pthread_cond_broadcast(&reader->work);
  pthread_mutex_unlock(&reader->mutex);
  for (size_t i = 0; i < reader->threads; i++) pthread_join(reader->thread[i], NULL);
}

static void free_reader(epc_reader *reader) {
  pthread_cond_destroy(&reader->progress);
  pthread_cond_destroy(&reader->work);
  pthread_mutex_destroy(&reader->mutex);
  free(reader);
}

epc_reader *epc_reader_create(size_t threads, int *error) {
  if (threads < 1 || threads > 256) {
    *error = EINVAL;
    return NULL;
  }
  epc_reader *reader = calloc(1, sizeof *reader + threads * sizeof reader->thread[0]);
  if (reader == NULL) {
    *error = ENOMEM;
    return NULL;
  }
  pthread_mutex_init(&reader->mutex, NULL);
  pthread_cond_init(&reader->work, NULL);
  pthread_cond_init(&reader->progress, NULL);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  // They keep nothing on the stack, which counts as memory of the process.
  const size_t least = (size_t)PTHREAD_STACK_MIN;
  pthread_attr_setstacksize(&attributes, least > 64 << 10 ? least : 64 << 10);
  for (; reader->threads < threads; reader->threads++) {
    const int code = pthread_create(&reader->thread[reader->threads], &attributes, run, reader);
    if (code != 0) {
      *error = code;
      break;
    }
  }
  pthread_attr_destroy(&attributes);
  if (reader->threads == threads) return reader;
  end_threads(reader);
  free_reader(reader);
  return NULL;
}

void epc_reader_destroy(epc_reader *reader) {
  if (reader == NULL) return;
  end_threads(reader);
  free_reader(reader);
}

// MARK: Requests

epc_read *epc_reader_submit(epc_reader *reader, epc_read_file *file, uint64_t offset,
                            uint64_t length, void *memory, uint64_t room,
                            epc_read_priority priority) {
  const uint64_t needed = epc_read_room(offset, length);
  if (length == 0 || needed == 0 || needed > room || memory == NULL) return NULL;
  if (offset > file->bytes || length > file->bytes - offset) return NULL;
  if ((uintptr_t)memory % EPC_READ_ALIGNMENT != 0) return NULL;
  if ((unsigned)priority >= PRIORITIES) return NULL;
  epc_read *read = calloc(1, sizeof *read);
  if (read == NULL) return NULL;
  read->file = file;
  read->begin = offset - offset % EPC_READ_ALIGNMENT;
  read->end = read->begin + needed;
  read->needed = offset + length;
  read->memory = memory;
  read->priority = priority;
  read->position = read->begin;
  pthread_mutex_lock(&reader->mutex);
  enqueue(reader, read);
  // A long request is work for several threads.
  pthread_cond_broadcast(&reader->work);
  pthread_mutex_unlock(&reader->mutex);
  return read;
}

void epc_reader_hurry(epc_reader *reader, epc_read *read, epc_read_priority priority) {
  if ((unsigned)priority >= PRIORITIES) return;
  pthread_mutex_lock(&reader->mutex);
  if (read->is_queued && priority < read->priority) {
    dequeue(reader, read);
    read->priority = priority;
    enqueue(reader, read);
  }
  pthread_mutex_unlock(&reader->mutex);
}

static epc_read_state state(const epc_read *read) {
  if (read->active > 0 || read->is_queued) return EPC_READ_PENDING;
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

int epc_reader_error(epc_reader *reader, epc_read *read, uint64_t *offset) {
  pthread_mutex_lock(&reader->mutex);
  *offset = read->error_offset;
  const int error = read->error;
  pthread_mutex_unlock(&reader->mutex);
  return error;
}

void epc_reader_release(epc_reader *reader, epc_read *read) {
  if (read == NULL) return;
  pthread_mutex_lock(&reader->mutex);
  dequeue(reader, read);
  while (read->active > 0) pthread_cond_wait(&reader->progress, &reader->mutex);
  pthread_mutex_unlock(&reader->mutex);
  free(read);
}

uint64_t epc_reader_bytes(epc_reader *reader) {
  pthread_mutex_lock(&reader->mutex);
  const uint64_t bytes = reader->bytes;
  pthread_mutex_unlock(&reader->mutex);
  return bytes;
}
