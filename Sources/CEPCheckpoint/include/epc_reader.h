// Reads of ranges of files by threads, past the page cache where that is asked for and the file system
// allows it, and what is to be done with what was read.
//
// A request names ranges of files and memory to read them to. Threads cut ranges into pieces, so that
// one large request keeps the disk as busy as several small ones; requests of a lower priority wait until
// those of a higher one have all been begun. When all is there, other threads do the request's work.
//
// Nothing is trusted: ranges are checked against the file's length as it was opened and against the
// memory given, and a file that became shorter is an error that names the place.
#ifndef EPC_READER_H
#define EPC_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// What offsets, lengths and memory are aligned to, so that the disk can write to it directly.
#define EPC_READ_ALIGNMENT 4096

/// The longest piece that one thread reads at a time, in bytes.
#define EPC_READ_PIECE ((uint64_t)2 << 20)

/// A file open for reading.
typedef struct epc_read_file epc_read_file;

/// Opens the file of a descriptor once more, whatever its path leads to by now, to be read past the page
/// cache or through it. Returns null and sets `*error` to an errno.
epc_read_file *epc_read_file_open(int descriptor, bool direct, int *error);

/// Closes a file that no request uses any more.
void epc_read_file_close(epc_read_file *file);

/// Its length in bytes when it was opened.
uint64_t epc_read_file_bytes(const epc_read_file *file);

/// Whether reads pass by the page cache; false where that was not asked for, or was refused.
bool epc_read_file_is_direct(const epc_read_file *file);

/// Bytes of memory that a range needs: it is widened to whole blocks at both ends. 0 where the range
/// is past what can be counted.
uint64_t epc_read_room(uint64_t offset, uint64_t length);

/// Where in that memory the range begins.
size_t epc_read_skip(uint64_t offset);

/// Which requests come first.
typedef enum {
  /// Somebody waits for it.
  EPC_READ_NOW,
  /// Somebody will probably want it soon.
  EPC_READ_SOON,
  /// It may be of use some time.
  EPC_READ_LATER,
} epc_read_priority;

/// Threads that read, and threads that work on what was read.
typedef struct epc_reader epc_reader;

/// A request.
typedef struct epc_read epc_read;

/// Bytes `offset` up to `offset + length` of a file. `memory` is aligned to EPC_READ_ALIGNMENT, has room
/// for `epc_read_room` bytes and stays until the request is released.
typedef struct {
  epc_read_file *file;
  uint64_t offset, length;
  void *memory;
  uint64_t room;
} epc_read_range;

/// What to do once all is read: tasks 0 up to `count`, which several threads may do at once.
typedef struct {
  size_t count;
  void (*run)(void *context, size_t task);
  void *context;
} epc_read_work;

/// How a request stands.
typedef enum {
  EPC_READ_PENDING,
  /// All is read and all tasks are done.
  EPC_READ_DONE,
  /// See `epc_read_error`; no task was begun.
  EPC_READ_FAILED,
} epc_read_state;

/// Starts threads that read, at least one, and as many as wanted that work. Returns null and sets
/// `*error` to an errno.
epc_reader *epc_reader_create(size_t threads, size_t workers, int *error);

/// Drops all requests that have not begun, waits for the others and ends the threads. Requests must
/// have been released before.
void epc_reader_destroy(epc_reader *reader);

/// Asks for ranges, perhaps none, and for work, which needs a reader with threads for it.
///
/// Returns null where a range is not in its file, its memory does not fit it, work has nobody to do it,
/// or there is no memory for the request.
epc_read *epc_reader_submit(epc_reader *reader, const epc_read_range *ranges, size_t count,
                            epc_read_work work, epc_read_priority priority);

/// Moves a request up to a higher priority.
void epc_reader_hurry(epc_reader *reader, epc_read *read, epc_read_priority priority);

/// How a request stands now.
epc_read_state epc_reader_state(epc_reader *reader, epc_read *read);

/// Waits until one of `count` requests is no longer pending, and returns which; `count` where there
/// is none to wait for.
size_t epc_reader_wait(epc_reader *reader, epc_read *const *reads, size_t count);

/// Why a request failed: an errno, or 0 where the file ended early; which of its ranges, and where in the
/// file.
int epc_reader_error(epc_reader *reader, epc_read *read, size_t *range, uint64_t *offset);

/// Drops pieces and tasks that have not begun. The request fails, with ECANCELED, when the others are over.
void epc_reader_cancel(epc_reader *reader, epc_read *read);

/// Gives a request up: pieces and tasks not begun are dropped, the others waited for. Memory and context
/// are the caller's again when this returns: how many bytes were read for it.
uint64_t epc_reader_release(epc_reader *reader, epc_read *read);

/// Bytes read so far, by all requests.
uint64_t epc_reader_bytes(epc_reader *reader);

#endif
