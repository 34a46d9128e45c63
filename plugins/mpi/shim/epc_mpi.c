// CEPMPI's table over the MPI that this is compiled against; see plugins/mpi/build.
#include <limits.h>
#include <mpi.h>
#include <stdlib.h>
#include <string.h>

#include "CEPMPI.h"

// Errors of our own, above MPI's classes.
enum { EPC_TOO_FAR = 1 << 24, EPC_NO_MEMORY };

static MPI_Comm *groups;
static int group_count;

// Blocks are counted in words of 4 bytes, so that displacements of 32 bits reach 8 GiB.
enum { WORD = 4 };

typedef struct {
  MPI_Request request;
  // Counts and displacements, which must last as long as the exchange.
  int *tables;
  // Types of rows that lie apart, as many; they too.
  MPI_Datatype *types;
  int type_count;
} pending;

static pending *requests;
static int request_count;

// Sends under way, with their copies.
typedef struct {
  MPI_Request request;
  void *copy;
} outgoing;

static outgoing *sends;
static int send_count;

static void *grown(void *array, int count, size_t size) {
  return realloc(array, (size_t)count * size);
}

static int start(int *rank, int *count) {
  int given;
  int error = MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &given);
  if (error) return error;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  error = MPI_Comm_rank(MPI_COMM_WORLD, rank);
  return error ? error : MPI_Comm_size(MPI_COMM_WORLD, count);
}

static int complete_sends(int all) {
  for (int index = 0; index < send_count;) {
    int done = 1;
    int error = all ? MPI_Wait(&sends[index].request, MPI_STATUS_IGNORE)
                    : MPI_Test(&sends[index].request, &done, MPI_STATUS_IGNORE);
    if (error) return error;
    if (!done) {
      index++;
      continue;
    }
    free(sends[index].copy);
    sends[index] = sends[--send_count];
  }
  return 0;
}

static int finish(void) {
  int error = complete_sends(1);
  if (error) return error;
  for (int index = 0; index < group_count; index++) MPI_Comm_free(&groups[index]);
  group_count = 0;
  return MPI_Finalize();
}

static void abort_all(int code) {
  MPI_Abort(MPI_COMM_WORLD, code);
  _Exit(code);
}

static void describe(int error, char *text, size_t size) {
  if (size == 0) return;
  text[0] = 0;
  if (error == EPC_TOO_FAR) {
    strncpy(text, "blocks of an exchange lie more than 8 GiB apart or are too large", size - 1);
  } else if (error == EPC_NO_MEMORY) {
    strncpy(text, "out of memory", size - 1);
  } else {
    char words[MPI_MAX_ERROR_STRING] = "";
    int length = 0;
    MPI_Error_string(error, words, &length);
    strncpy(text, words, size - 1);
  }
  text[size - 1] = 0;
}

static int group(const int *ranks, int count, int *handle) {
  MPI_Group world, members;
  MPI_Comm *larger = grown(groups, group_count + 1, sizeof(MPI_Comm));
  if (larger == NULL) return EPC_NO_MEMORY;
  groups = larger;
  int error = MPI_Comm_group(MPI_COMM_WORLD, &world);
  if (error) return error;
  error = MPI_Group_incl(world, count, ranks, &members);
  MPI_Group_free(&world);
  if (error) return error;
  // Only the members call this, in whatever order their programs meet.
  error = MPI_Comm_create_group(MPI_COMM_WORLD, members, 0, &groups[group_count]);
  MPI_Group_free(&members);
  if (error) return error;
  MPI_Comm_set_errhandler(groups[group_count], MPI_ERRORS_RETURN);
  *handle = group_count++;
  return 0;
}

static int new_request(int *handle) {
  for (int index = 0; index < request_count; index++) {
    if (requests[index].request == MPI_REQUEST_NULL && requests[index].tables == NULL) {
      *handle = index;
      return 0;
    }
  }
  pending *larger = grown(requests, request_count + 1, sizeof(pending));
  if (larger == NULL) return EPC_NO_MEMORY;
  requests = larger;
  requests[request_count].request = MPI_REQUEST_NULL;
  requests[request_count].tables = NULL;
  requests[request_count].types = NULL;
  requests[request_count].type_count = 0;
  *handle = request_count++;
  return 0;
}

// Counts and displacements in words from the lowest block.
static int lay_out(
    int members, void *const *blocks, const int64_t *bytes, int *counts, int *places, void **base) {
  uintptr_t lowest = UINTPTR_MAX;
  for (int index = 0; index < members; index++) {
    if (bytes[index] > 0 && (uintptr_t)blocks[index] < lowest) lowest = (uintptr_t)blocks[index];
  }
  *base = lowest == UINTPTR_MAX ? NULL : (void *)lowest;
  for (int index = 0; index < members; index++) {
    counts[index] = 0;
    places[index] = 0;
    if (bytes[index] <= 0) continue;
    uintptr_t distance = ((uintptr_t)blocks[index] - lowest) / WORD;
    if (distance > INT_MAX || bytes[index] / WORD > INT_MAX) return EPC_TOO_FAR;
    counts[index] = (int)(bytes[index] / WORD);
    places[index] = (int)distance;
  }
  return 0;
}

static int exchange(
    int group, int members, void *const *send, const int64_t *send_bytes, void *const *receive,
    const int64_t *receive_bytes, int *request) {
  int error = complete_sends(0);
  if (error) return error;
  error = new_request(request);
  if (error) return error;
  pending *slot = &requests[*request];
  int *tables = malloc(sizeof(int) * 4 * (size_t)members);
  if (tables == NULL) return EPC_NO_MEMORY;
  void *from, *to;
  error = lay_out(members, send, send_bytes, tables, tables + members, &from);
  if (!error) {
    error = lay_out(
        members, receive, receive_bytes, tables + 2 * members, tables + 3 * members, &to);
  }
  if (!error) {
    error = MPI_Ialltoallv(
        from, tables, tables + members, MPI_INT32_T, to, tables + 2 * members,
        tables + 3 * members, MPI_INT32_T, groups[group], &slot->request);
  }
  if (error) {
    free(tables);
    return error;
  }
  slot->tables = tables;
  return 0;
}

// The type of `count` rows of a member: rows[...], or consecutive ones from `first` on.
static int rows_type(
    const int32_t *rows, int64_t first, int64_t count, int64_t row_bytes, MPI_Datatype *type) {
  if (count > INT_MAX || row_bytes / WORD > INT_MAX) return EPC_TOO_FAR;
  MPI_Aint *places = malloc(sizeof(MPI_Aint) * (size_t)count);
  if (places == NULL) return EPC_NO_MEMORY;
  for (int64_t index = 0; index < count; index++) {
    places[index] = (MPI_Aint)((rows ? (int64_t)rows[index] : first + index) * row_bytes);
  }
  int error = MPI_Type_create_hindexed_block(
      (int)count, (int)(row_bytes / WORD), places, MPI_INT32_T, type);
  free(places);
  return error ? error : MPI_Type_commit(type);
}

static void free_types(pending *slot) {
  for (int index = 0; index < slot->type_count; index++) {
    if (slot->types[index] != MPI_INT32_T) MPI_Type_free(&slot->types[index]);
  }
  free(slot->types);
  slot->types = NULL;
  slot->type_count = 0;
}

static int exchange_rows(
    int group, int members, int64_t row_bytes, const void *x, const int32_t *rows,
    const int64_t *sent, void *result, const int32_t *places, const int64_t *received,
    int *request) {
  int error = complete_sends(0);
  if (error) return error;
  int self;
  error = MPI_Comm_rank(groups[group], &self);
  if (error) return error;
  error = new_request(request);
  if (error) return error;
  pending *slot = &requests[*request];
  // Counts to and from, and displacements, which are all 0: the types say where rows are.
  int *tables = calloc(3 * (size_t)members, sizeof(int));
  slot->types = malloc(sizeof(MPI_Datatype) * 2 * (size_t)members);
  if (tables == NULL || slot->types == NULL) error = EPC_NO_MEMORY;
  for (; !error && slot->type_count < 2 * members; slot->type_count++) {
    slot->types[slot->type_count] = MPI_INT32_T;
  }
  int64_t own_from = 0, own_to = 0, from = 0, to = 0;
  for (int index = 0; !error && index < members; index++) {
    if (index == self) {
      own_from = from;
      own_to = to;
    } else {
      if (sent[index] > 0) {
        tables[index] = 1;
        error = rows_type(rows + from, from, sent[index], row_bytes, &slot->types[index]);
      }
      if (!error && received[index] > 0) {
        tables[members + index] = 1;
        error = rows_type(
            places ? places + to : NULL, to, received[index], row_bytes,
            &slot->types[members + index]);
      }
    }
    from += sent[index];
    to += received[index];
  }
  if (!error) {
    error = MPI_Ialltoallw(
        x, tables, tables + 2 * members, slot->types, result, tables + members,
        tables + 2 * members, slot->types + members, groups[group], &slot->request);
  }
  if (error) {
    free(tables);
    free_types(slot);
    return error;
  }
  slot->tables = tables;
  // The rank's own rows need no message.
  for (int64_t index = 0; index < sent[self]; index++) {
    int64_t place = places ? places[own_to + index] : own_to + index;
    memcpy(
        (char *)result + place * row_bytes, (const char *)x + rows[own_from + index] * row_bytes,
        (size_t)row_bytes);
  }
  return 0;
}

static int send(int rank, const void *bytes, int64_t count) {
  int error = complete_sends(0);
  if (error) return error;
  if (count / WORD > INT_MAX) return EPC_TOO_FAR;
  outgoing *larger = grown(sends, send_count + 1, sizeof(outgoing));
  if (larger == NULL) return EPC_NO_MEMORY;
  sends = larger;
  void *copy = malloc(count > 0 ? (size_t)count : 1);
  if (copy == NULL) return EPC_NO_MEMORY;
  if (count > 0) memcpy(copy, bytes, (size_t)count);
  error = MPI_Isend(
      copy, (int)(count / WORD), MPI_INT32_T, rank, 0, MPI_COMM_WORLD, &sends[send_count].request);
  if (error) {
    free(copy);
    return error;
  }
  sends[send_count++].copy = copy;
  return 0;
}

static int receive(int rank, void *bytes, int64_t count, int *request) {
  int error = new_request(request);
  if (error) return error;
  if (count / WORD > INT_MAX) return EPC_TOO_FAR;
  return MPI_Irecv(
      bytes, (int)(count / WORD), MPI_INT32_T, rank, 0, MPI_COMM_WORLD,
      &requests[*request].request);
}

static int progress(int request) {
  // Done or not, the request stays until it is waited for.
  int done;
  return MPI_Request_get_status(requests[request].request, &done, MPI_STATUS_IGNORE);
}

static int wait_for(int request) {
  pending *slot = &requests[request];
  int error = MPI_Wait(&slot->request, MPI_STATUS_IGNORE);
  free(slot->tables);
  slot->tables = NULL;
  free_types(slot);
  return error;
}

static int gather_counts(int64_t mine, int64_t *all) {
  return MPI_Allgather(&mine, 1, MPI_INT64_T, all, 1, MPI_INT64_T, MPI_COMM_WORLD);
}

static int gather(const void *mine, const int64_t *counts, void *all) {
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  int *tables = malloc(sizeof(int) * 2 * (size_t)ranks);
  if (tables == NULL) return EPC_NO_MEMORY;
  int64_t place = 0;
  for (int index = 0; index < ranks; index++) {
    if (counts[index] > INT_MAX || place > INT_MAX) {
      free(tables);
      return EPC_TOO_FAR;
    }
    tables[index] = (int)counts[index];
    tables[ranks + index] = (int)place;
    place += counts[index];
  }
  int error = MPI_Allgatherv(
      mine, tables[rank], MPI_BYTE, all, tables, tables + ranks, MPI_BYTE, MPI_COMM_WORLD);
  free(tables);
  return error;
}

const epc_mpi_table *epc_mpi_table_v3(void);

const epc_mpi_table *epc_mpi_table_v3(void) {
  static const epc_mpi_table table = {
      .size = sizeof(epc_mpi_table),
      .version = EPC_MPI_VERSION,
      .start = start,
      .finish = finish,
      .abort = abort_all,
      .describe = describe,
      .group = group,
      .exchange = exchange,
      .exchange_rows = exchange_rows,
      .send = send,
      .receive = receive,
      .progress = progress,
      .wait = wait_for,
      .gather_counts = gather_counts,
      .gather = gather,
  };
  return &table;
}
