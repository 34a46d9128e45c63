#include "internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/// Room for `extra` more bytes; false when memory is out.
static bool reserve(struct epc_capture *capture, size_t extra) {
  if (extra > SIZE_MAX - capture->size) return false;
  const size_t wanted = capture->size + extra;
  if (wanted <= capture->capacity) return true;
  size_t capacity = capture->capacity > 0 ? capture->capacity : 4096;
  while (capacity < wanted) {
    if (capacity > SIZE_MAX / 2) return false;
    capacity *= 2;
  }
  uint8_t *bytes = realloc(capture->bytes, capacity);
  if (bytes == NULL) return false;
  capture->bytes = bytes;
  capture->capacity = capacity;
  return true;
}

static void keep_tail(struct epc_capture *capture) {
  if (capture->size <= capture->limit) return;
  memmove(capture->bytes, capture->bytes + (capture->size - capture->limit), capture->limit);
  capture->size = capture->limit;
  capture->exceeded = true;
}

static void append(struct epc_capture *capture, const uint8_t *bytes, size_t count) {
  if (!capture->keeps_tail && count > capture->limit - capture->size) {
    capture->exceeded = true;
    count = capture->limit - capture->size;
  }
  if (count == 0) return;
  if (!reserve(capture, count)) {
    capture->failed = true;
    return;
  }
  memcpy(capture->bytes + capture->size, bytes, count);
  capture->size += count;
  // Moving only when twice the limit is held makes the cost per byte constant.
  if (capture->keeps_tail && capture->size / 2 >= capture->limit) keep_tail(capture);
}

bool epc_capture_read(struct epc_capture *capture, int descriptor) {
  uint8_t chunk[65536];
  // A bound on one call, so that a flood on one pipe cannot keep the caller from its other duties.
  for (int round = 0; round < 16; round++) {
    const ssize_t count = read(descriptor, chunk, sizeof chunk);
    if (count > 0) {
      append(capture, chunk, (size_t)count);
      if (capture->failed || (capture->exceeded && !capture->keeps_tail)) return false;
    } else if (count == 0) {
      return false;
    } else if (errno == EAGAIN) {
      return true;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

void epc_capture_finish(struct epc_capture *capture) {
  if (capture->keeps_tail) keep_tail(capture);
}
