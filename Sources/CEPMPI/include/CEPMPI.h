// What epc needs of MPI, as a table of functions that a small library fills in.
//
// MPI itself is in no header and no link line of ours: handles differ between implementations, and a
// command that links it cannot start on a machine without it. plugins/mpi/shim is compiled against the
// MPI that is installed and is loaded when `--backend mpi` asks for it.
#ifndef CEPMPI_H
#define CEPMPI_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// The version of this table. A library with another is refused.
#define EPC_MPI_VERSION 3
// The symbol by which a library gives out its table.
#define EPC_MPI_SYMBOL "epc_mpi_table_v3"

// Functions return 0 or an error that `describe` puts into words. All are called from one thread.
typedef struct epc_mpi_table {
  size_t size;
  uint32_t version;

  // Joins the other processes. `*rank` and `*count` are this one's number and how many there are.
  int (*start)(int *rank, int *count);
  // Leaves them; every process must.
  int (*finish)(void);
  // Ends all processes at once with that exit code. Does not return.
  void (*abort)(int code);
  // The words for an error.
  void (*describe)(int error, char *text, size_t size);

  // Makes a group of the ranks, all of which must call it with the same list. `*group` is its handle.
  int (*group)(const int *ranks, int count, int *group);
  // Starts an all-to-all of bytes in a group: `members` blocks of `send_bytes[i]` bytes at
  // `send[i]`, and as many places. Sizes and addresses are multiples of 4. `*request` is its handle.
  int (*exchange)(
      int group, int members, void *const *send, const int64_t *send_bytes, void *const *receive,
      const int64_t *receive_bytes, int *request);
  // Starts an all-to-all of rows of `row_bytes` bytes, a multiple of 4, without a copy before or after:
  // rows[...] of `x`, `sent[i]` of them to member i, those to the first member first, go to rows
  // places[...] of `result` (one after the other if NULL), `received[i]` of them from member i.
  // The lists may go when this returns.
  int (*exchange_rows)(
      int group, int members, int64_t row_bytes, const void *x, const int32_t *rows,
      const int64_t *sent, void *result, const int32_t *places, const int64_t *received,
      int *request);
  // Sends a copy of the bytes to a rank.
  int (*send)(int rank, const void *bytes, int64_t count);
  // Starts receiving so many bytes from a rank. `*request` is its handle.
  int (*receive)(int rank, void *bytes, int64_t count, int *request);
  // Lets a request move on, without waiting.
  int (*progress)(int request);
  // Waits for a request, whose handle is then free.
  int (*wait)(int request);

  // Gives every process a number of every process.
  int (*gather_counts)(int64_t mine, int64_t *all);
  // Gives every process the bytes of every process, one after the other, `counts` as gathered.
  int (*gather)(const void *mine, const int64_t *counts, void *all);
} epc_mpi_table;

// Loads a library and returns its table, or NULL with the reason in `error`. It is never unloaded.
const epc_mpi_table *epc_mpi_load(const char *path, char *error, size_t size);

#ifdef __cplusplus
}
#endif

#endif
