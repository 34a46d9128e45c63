// The ABI between epc and a backend in a shared library.
//
// A backend exports one symbol, `epc_backend_query`, and links nothing of epc. The rules, which
// docs/abi.md explains and gives the changelog of:
//
// - The same major is required. A minor only appends: fields at the ends of structs, constants.
// - Every struct begins with its size, as its maker knew it, and an extension pointer, which is NULL
//   in this version. A reader looks at fields within that size only: `EPC_HAS`.
// - Lists are arrays of pointers, so that what they list may grow.
// - A call that can fail returns an error, NULL when it did what it should. Whoever gets an error
//   releases it through the error's own function. Nothing unwinds across.
// - Texts are UTF-8 and end with a zero. They and all data handed over live as long as the call,
//   unless it says otherwise.
// - The library is never unloaded.
//
// Reals are 32-bit floats and indices 32-bit integers, row-major without gaps, in memory of the
// host. docs/ops.md says what each operation computes.
#ifndef EPC_BACKEND_H
#define EPC_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define EPC_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#define EPC_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

/// The version of the ABI that this header declares.
#define EPC_BACKEND_MAJOR 1
#define EPC_BACKEND_MINOR 1

/// What marks the exported function, whatever else the library hides.
#if defined(__GNUC__)
#define EPC_BACKEND_EXPORT __attribute__((visibility("default")))
#else
#define EPC_BACKEND_EXPORT
#endif

/// Whether the maker of `*pointer` knew the field.
#define EPC_HAS(pointer, field) \
  ((pointer)->struct_size >= \
   (size_t)((const char *)&(pointer)->field - (const char *)(pointer)) + sizeof((pointer)->field))

/// States the last field of a struct: there is nothing behind it, not even padding that a later
/// field would fill without changing the size.
#define EPC_LAST_FIELD(type, field) \
  EPC_STATIC_ASSERT(offsetof(type, field) + sizeof(((type *)0)->field) == sizeof(type), \
                    #type " ends with " #field)

// Errors ------------------------------------------------------------------------------------------

/// Why a call failed.
enum {
  /// The operation, or one of its attributes, is not implemented; the message says which.
  EPC_ERROR_UNSUPPORTED = 1,
  /// What was handed over makes no sense.
  EPC_ERROR_ARGUMENT = 2,
  /// There is not enough memory.
  EPC_ERROR_MEMORY = 3,
  /// The host asked to stop.
  EPC_ERROR_CANCELLED = 4,
  /// The device failed.
  EPC_ERROR_DEVICE = 5,
  /// The other side's version is not spoken.
  EPC_ERROR_VERSION = 6,
};

/// Why a call failed, owned by whoever was returned it.
typedef struct epc_error {
  size_t struct_size;
  void *extension;
  /// One of EPC_ERROR_*.
  int64_t code;
  /// One sentence.
  const char *message;
  /// Frees the error and its message.
  void (*release)(struct epc_error *error);
} epc_error;
EPC_LAST_FIELD(epc_error, release);

// Operations --------------------------------------------------------------------------------------

/// What the elements of a tensor are.
enum { EPC_ELEMENT_REAL = 0, EPC_ELEMENT_INDEX = 1 };

/// Which rows a tensor has.
enum {
  /// None: a weight, or what is made of weights alone.
  EPC_ROWS_NONE = 0,
  /// All tokens of the data group.
  EPC_ROWS_TOKENS = 1,
  /// The contiguous share of them that the rank keeps.
  EPC_ROWS_OWN = 2,
  /// The tokens whose logits are wanted.
  EPC_ROWS_SAMPLED = 3,
  /// Those routed to the rank's experts, ordered by slot.
  EPC_ROWS_ROUTED = 4,
};

/// An axis of fixed size.
typedef struct epc_axis {
  size_t struct_size;
  void *extension;
  const char *name;
  /// Elements that this rank has of it.
  size_t size;
} epc_axis;
EPC_LAST_FIELD(epc_axis, size);

/// The type of a tensor: rows of `row_elements` elements.
typedef struct epc_type {
  size_t struct_size;
  void *extension;
  /// One of EPC_ELEMENT_*.
  int64_t element;
  /// One of EPC_ROWS_*; a tensor without rows counts as one row.
  int64_t rows;
  /// The axes of a row, outermost first.
  size_t axis_count;
  const epc_axis *const *axes;
  /// The product of their sizes.
  size_t row_elements;
} epc_type;
EPC_LAST_FIELD(epc_type, row_elements);

/// What kind of value an attribute has.
enum {
  EPC_FORM_FLAG = 0,
  EPC_FORM_INTEGER = 1,
  EPC_FORM_REAL = 2,
  EPC_FORM_TEXT = 3,
  EPC_FORM_INTEGERS = 4,
  EPC_FORM_TEXTS = 5,
};

/// A constant of an operation.
typedef struct epc_attribute {
  size_t struct_size;
  void *extension;
  const char *name;
  /// One of EPC_FORM_*.
  int64_t form;
  /// An integer; a flag as 0 or 1.
  int64_t integer;
  /// A real; an integer is given here too.
  double real;
  /// A text, or NULL.
  const char *text;
  /// A list of integers or texts.
  size_t count;
  const int64_t *integers;
  const char *const *texts;
} epc_attribute;
EPC_LAST_FIELD(epc_attribute, texts);

/// What stands in a role of an operation.
enum {
  EPC_OPERAND_ABSENT = 0,
  EPC_OPERAND_TENSOR = 1,
  EPC_OPERAND_CACHE = 2,
};

/// An operand.
typedef struct epc_operand {
  size_t struct_size;
  void *extension;
  /// The role, as docs/ops.md names it.
  const char *role;
  /// One of EPC_OPERAND_*.
  int64_t kind;
  /// The type of a tensor, otherwise NULL.
  const epc_type *type;
} epc_operand;
EPC_LAST_FIELD(epc_operand, type);

/// An operation with the types of everything it reads and makes.
typedef struct epc_operation {
  size_t struct_size;
  void *extension;
  /// `linear`, `attention` and so on.
  const char *name;
  /// One for each role in the order of docs/ops.md, absent ones included; a role that repeats takes
  /// as many places as it has operands.
  size_t operand_count;
  const epc_operand *const *operands;
  size_t result_count;
  const epc_type *const *results;
  /// In ascending order of names.
  size_t attribute_count;
  const epc_attribute *const *attributes;
  /// Slots for experts that the rank has, where a weight's first axis counts them; otherwise 0.
  size_t expert_slots;
} epc_operation;
EPC_LAST_FIELD(epc_operation, expert_slots);

// Steps -------------------------------------------------------------------------------------------

/// The new rows of one sequence among the tokens of a step.
typedef struct epc_span {
  size_t struct_size;
  void *extension;
  size_t first_row;
  size_t rows;
  /// The position in the sequence of the first; as many entries are in caches that grow.
  size_t first_position;
  /// The parts of the operation's cache for this sequence, from position 0 on, with room for the new
  /// rows; none for operations without a cache. `cache_widths` are the elements of an entry.
  size_t cache_part_count;
  float *const *cache_parts;
  const size_t *cache_widths;
} epc_span;
EPC_LAST_FIELD(epc_span, cache_widths);

/// Where an operation finds what it reads and makes in one step.
typedef struct epc_run {
  size_t struct_size;
  void *extension;
  /// Rows of the results, at least 1.
  size_t rows;
  /// One for each operand of the operation, NULL where it is absent or a cache, and its bytes.
  size_t operand_count;
  const void *const *operands;
  const size_t *operand_bytes;
  /// Results do not overlap operands, except that `reshape` may be in place.
  size_t result_count;
  void *const *results;
  const size_t *result_bytes;
  /// For `embed`: the row of the whole table that the rank's part begins with.
  size_t first_table_row;
  /// Tokens of the data group, and which of them the rank keeps.
  size_t tokens;
  size_t own_first;
  size_t own_count;
  /// The position of each row of the results in its sequence; NULL where rows are no tokens.
  const int32_t *positions;
  /// Where the rows of each slot for experts end among the routed rows.
  size_t slot_count;
  const int32_t *slot_ends;
  /// The sequences of the step.
  size_t span_count;
  const epc_span *const *spans;
} epc_run;
EPC_LAST_FIELD(epc_run, spans);

// Whole programs, since 1.1 -----------------------------------------------------------------------
//
// A rank's part of a plan as plain data: what `epc show --rank` prints. A backend that takes it runs
// whole steps, in an order and on streams of its own choice; docs/abi.md has the rules.

/// Ranks that meet.
typedef struct epc_group {
  size_t struct_size;
  void *extension;
  /// `tp`, `ep` or `pp`.
  const char *name;
  /// Ranks of the pool, in the group's order, this one among them.
  size_t member_count;
  const size_t *members;
} epc_group;
EPC_LAST_FIELD(epc_group, members);

/// A value with a name: what a function reads from the call before, or hands on.
typedef struct epc_port {
  size_t struct_size;
  void *extension;
  const char *name;
  size_t value;
} epc_port;
EPC_LAST_FIELD(epc_port, value);

/// What a function keeps of a sequence between steps.
typedef struct epc_cache {
  size_t struct_size;
  void *extension;
  /// `key_value`, `latent`, `index_key`, `recurrent` or `convolution`.
  const char *kind;
  /// Elements of an entry of each part.
  size_t part_count;
  const size_t *part_widths;
} epc_cache;
EPC_LAST_FIELD(epc_cache, part_widths);

/// What an operand refers to.
enum {
  EPC_REFERENCE_NONE = 0,
  EPC_REFERENCE_VALUE = 1,
  EPC_REFERENCE_WEIGHT = 2,
  EPC_REFERENCE_CACHE = 3,
};

/// A queue of work that runs in order.
enum { EPC_STREAM_COMPUTE = 0, EPC_STREAM_COMMUNICATION = 1 };

/// An operation of a function, with its place in it.
typedef struct epc_planned_operation {
  size_t struct_size;
  void *extension;
  const epc_operation *operation;
  /// For each operand of the operation, one of EPC_REFERENCE_* and which of the function's values,
  /// weights or caches it is.
  const int64_t *reference_kinds;
  const size_t *references;
  /// The values it makes, one for each result.
  const size_t *results;
  /// One of EPC_STREAM_*.
  int64_t stream;
  /// Operations of other streams that must have ended before it starts.
  size_t wait_count;
  const size_t *waits;
  /// 1 if the host carries it out between `start` and `finish`: exchanges, and what moves rows.
  int64_t is_exchange;
} epc_planned_operation;
EPC_LAST_FIELD(epc_planned_operation, is_exchange);

/// When the jobs of a repeated layer run: docs/overlap.md.
typedef struct epc_schedule {
  size_t struct_size;
  void *extension;
  /// The operation and stream of each job, and its nanoseconds.
  size_t job_count;
  const size_t *operations;
  const int64_t *streams;
  const int64_t *durations;
  /// The start of each job of each micro-batch in nanoseconds, micro-batch by micro-batch.
  size_t batch_count;
  const int64_t *starts;
  /// Nanoseconds from one layer to the next, and what they cannot be less than.
  int64_t period;
  int64_t lower_bound;
} epc_schedule;
EPC_LAST_FIELD(epc_schedule, lower_bound);

/// What a rank calls: operations on values, each value with its place in the arena.
typedef struct epc_function {
  size_t struct_size;
  void *extension;
  const char *name;
  /// The type of each value, and its place in bytes from the start of a micro-batch's arena.
  size_t value_count;
  const epc_type *const *values;
  const size_t *offsets;
  const size_t *sizes;
  /// The type of each weight, as the rank holds it.
  size_t weight_count;
  const epc_type *const *weights;
  size_t cache_count;
  const epc_cache *const *caches;
  size_t parameter_count;
  const epc_port *const *parameters;
  size_t result_count;
  const epc_port *const *results;
  size_t operation_count;
  const epc_planned_operation *const *operations;
  /// The most rows that experts take in a micro-batch; 0 without experts.
  size_t routed_capacity;
  /// NULL where its layers are not scheduled.
  const epc_schedule *schedule;
} epc_function;
EPC_LAST_FIELD(epc_function, schedule);

/// Where the routed experts of a layer are.
typedef struct epc_placement {
  size_t struct_size;
  void *extension;
  size_t experts;
  size_t slots_per_rank;
  /// The logical expert in each slot, expert ranks one after the other; -1 in the last slots of a rank
  /// that has fewer, to which no row goes.
  size_t slot_count;
  const int64_t *slots;
  /// 1 if every batch is split over replicas for the least fullest rank, 0 if positions decide.
  int64_t splits_batches;
} epc_placement;
EPC_LAST_FIELD(epc_placement, splits_batches);

/// The part of a weight that the rank holds.
typedef struct epc_weight {
  size_t struct_size;
  void *extension;
  /// With the layer filled in and `{expert}` left open.
  const char *name;
  /// The reals, in memory of the host; they stay, and are there from the first step on. NULL for one
  /// that the rank does not use.
  const float *data;
  size_t bytes;
  /// The first element held along each axis of the whole weight.
  size_t axis_count;
  const size_t *firsts;
  /// The logical expert in each slot, where the first axis counts experts.
  size_t expert_count;
  const int64_t *experts;
} epc_weight;
EPC_LAST_FIELD(epc_weight, experts);

/// A call of a function.
typedef struct epc_call {
  size_t struct_size;
  void *extension;
  /// The function, as an index.
  size_t function;
  /// The layer, or -1 for embedding and head.
  int64_t layer;
  /// One for each weight of the function.
  const epc_weight *const *weights;
  /// NULL for a function without routed experts.
  const epc_placement *placement;
} epc_call;
EPC_LAST_FIELD(epc_call, placement);

/// An operation to run.
typedef struct epc_program_issue {
  size_t struct_size;
  void *extension;
  /// The micro-batch, the call and the operation of its function, as indices.
  size_t batch;
  size_t call;
  size_t operation;
} epc_program_issue;
EPC_LAST_FIELD(epc_program_issue, operation);

/// What a step runs: all operations of some calls, for all micro-batches, in the plan's order.
typedef struct epc_phase {
  size_t struct_size;
  void *extension;
  size_t issue_count;
  const epc_program_issue *const *issues;
} epc_phase;
EPC_LAST_FIELD(epc_phase, issues);

/// What one rank runs. It lives until `close_program` has returned.
typedef struct epc_program {
  size_t struct_size;
  void *extension;
  /// The pool's number in the plan, and the rank's in the pool.
  size_t pool;
  size_t rank;
  /// Ranks of the pool: pipeline stages, data groups, tensor ranks of one, expert ranks.
  size_t pipeline_ranks;
  size_t data_ranks;
  size_t tensor_ranks;
  size_t expert_ranks;
  /// Where the rank stands among each.
  size_t stage;
  size_t data;
  size_t tensor;
  size_t expert;
  size_t group_count;
  const epc_group *const *groups;
  /// The most of a step of a data group.
  size_t sequences;
  size_t tokens;
  size_t samples;
  /// Parts that a step is cut into, each with an arena of its own, and the most tokens of one.
  size_t micro_batches;
  size_t batch_tokens;
  size_t arena_bytes;
  size_t function_count;
  const epc_function *const *functions;
  size_t call_count;
  const epc_call *const *calls;
  /// The first is the model's; each further one a draft's, if the plan has MTP depths.
  size_t phase_count;
  const epc_phase *const *phases;
} epc_program;
EPC_LAST_FIELD(epc_program, phases);

/// A micro-batch of a step.
typedef struct epc_batch {
  size_t struct_size;
  void *extension;
  /// Tokens of the data group, and which of them the rank keeps.
  size_t tokens;
  size_t own_first;
  size_t own_count;
  /// The rows whose logits are wanted.
  size_t sampled_count;
  const size_t *sampled;
  /// Where the values of functions lie.
  void *arena;
} epc_batch;
EPC_LAST_FIELD(epc_batch, arena);

/// A step. Its data lives until `run_step` returns.
typedef struct epc_step {
  size_t struct_size;
  void *extension;
  /// Which of the program's phases runs.
  size_t phase;
  size_t batch_count;
  const epc_batch *const *batches;
} epc_step;
EPC_LAST_FIELD(epc_step, batches);

/// What the host offers a rank while `run_step` runs, from the thread that runs it.
///
/// All functions return an error of the host, NULL where they did what they should; `run_step`
/// then gives up and returns that error.
typedef struct epc_rank_host {
  size_t struct_size;
  void *extension;
  /// What the functions below are called with.
  void *context;
  /// Puts what a call reads where its parameters are: what the step brings, and what the call before
  /// made. Before the first operation of every call, when all of the call before have ended.
  epc_error *(*enter)(void *context, size_t batch, size_t call);
  /// Where an operation finds what it reads and makes; `*run` is good until the next call for the
  /// same micro-batch. Operations it waits for must have ended. `(*run)->rows` may be 0: there is
  /// nothing to do then.
  epc_error *(*arguments)(void *context, const epc_program_issue *issue, const epc_run **run);
  /// Starts an exchange of what lies in the arena; operands and results are the host's until
  /// `finish`. All ranks start exchanges in the order of the plan.
  epc_error *(*start)(void *context, const epc_program_issue *issue);
  /// Returns when an exchange has ended, and with it all that were started before it.
  epc_error *(*finish)(void *context, const epc_program_issue *issue);
  /// Says how much memory of its device the rank takes in all; EPC_ERROR_MEMORY where that is more
  /// than the plan's devices have. May be called in `open_program` too.
  epc_error *(*hold)(void *context, uint64_t bytes);
} epc_rank_host;
EPC_LAST_FIELD(epc_rank_host, hold);

/// A rank's program made ready, as the backend likes to keep it.
typedef struct epc_rank epc_rank;

// The two tables ----------------------------------------------------------------------------------

/// How important a message is.
enum { EPC_LOG_NOTE = 0, EPC_LOG_WARNING = 1 };

/// What the host offers. It lives as long as the process.
typedef struct epc_host {
  size_t struct_size;
  void *extension;
  /// The version that the host speaks.
  int64_t major;
  int64_t minor;
  /// What the functions below are called with.
  void *context;
  /// Tells the user something; `level` is one of EPC_LOG_*.
  void (*log)(void *context, int64_t level, const char *message);
  /// Whether to stop as soon as possible and return EPC_ERROR_CANCELLED; 0 or 1.
  int64_t (*is_cancelled)(void *context);
} epc_host;
EPC_LAST_FIELD(epc_host, is_cancelled);

/// A backend in use, as it likes to keep it.
typedef struct epc_instance epc_instance;

/// An operation made ready, as the backend likes to keep it.
typedef struct epc_kernel epc_kernel;

/// How kernels compute; it decides how near to the reference they must come.
enum {
  EPC_PRECISION_FP32 = 0,
  EPC_PRECISION_BF16 = 1,
  EPC_PRECISION_FP16 = 2,
  EPC_PRECISION_FP8 = 3,
};

/// What a backend offers. It lives as long as the process.
///
/// The host calls an instance from one thread at a time. `open` and `close` may be NULL, and
/// instances are then NULL.
typedef struct epc_backend {
  size_t struct_size;
  void *extension;
  /// The version that the backend was written for.
  int64_t major;
  int64_t minor;
  /// The name, as reports show it, and the backend's own version.
  const char *name;
  const char *version;
  /// One of EPC_PRECISION_*.
  int64_t precision;
  /// Begins and ends the use of the backend. The host table stays valid.
  epc_error *(*open)(const epc_host *host, epc_instance **instance);
  void (*close)(epc_instance *instance);
  /// Makes an operation ready. The description lives until the kernel is released. What the backend
  /// cannot run is EPC_ERROR_UNSUPPORTED, with the reason.
  epc_error *(*prepare)(epc_instance *instance, const epc_operation *operation,
                        epc_kernel **kernel);
  /// Runs an operation on the rows of a step.
  epc_error *(*run_operation)(epc_instance *instance, epc_kernel *kernel, const epc_run *run);
  /// Releases a kernel.
  void (*release)(epc_instance *instance, epc_kernel *kernel);
  /// Since 1.1, all three or none: takes a rank's program, runs steps of it, lets it go. With them,
  /// `prepare` and `run_operation` may be NULL. `host` is good until `close_program`, and steps of
  /// different ranks may be under way at once, though only one of their threads runs at a time.
  epc_error *(*open_program)(epc_instance *instance, const epc_program *program,
                             const epc_rank_host *host, epc_rank **rank);
  epc_error *(*run_step)(epc_rank *rank, const epc_step *step);
  void (*close_program)(epc_rank *rank);
} epc_backend;
EPC_LAST_FIELD(epc_backend, close_program);

/// The symbol that a backend exports. It may be called more than once.
///
/// Returns the table of a version that the host speaks, or NULL with the reason in `*error`.
EPC_BACKEND_EXPORT const epc_backend *epc_backend_query(const epc_host *host, epc_error **error);

/// The type of that function, and its name for the dynamic linker.
typedef const epc_backend *(*epc_backend_query_function)(const epc_host *host, epc_error **error);
#define EPC_BACKEND_QUERY "epc_backend_query"

#ifdef __cplusplus
}
#endif

#endif
