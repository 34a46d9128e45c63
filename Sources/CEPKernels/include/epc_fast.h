// Fast kernels: matrix products with packed weights, attention, and what lies between them.
//
// Every result element is computed in an order of its own that depends on its operands alone: not on
// how many rows are computed with it, how the work is split over threads, or what runs beside it. So
// rows may be batched in any way without a bit changing. Levels differ from each other by rounding, and
// so does attention of a sequence with at least 32 new rows from that with fewer.
#ifndef EPC_FAST_H
#define EPC_FAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "epc_kernels.h"

/// What the processor has, each level with all of the former.
typedef enum {
  EPC_LEVEL_PORTABLE,
  /// AVX2 and FMA.
  EPC_LEVEL_AVX2,
  /// AVX-512 F, BW, DQ and VL.
  EPC_LEVEL_AVX512,
  /// AVX-512 BF16 and VNNI.
  EPC_LEVEL_VNNI,
  /// AMX with bf16 and int8 tiles, and AVX-512 VBMI.
  EPC_LEVEL_AMX,
} epc_level;

/// The highest level that this machine and its kernel allow; asks for the tile registers where there
/// are some.
epc_level epc_level_best(void);

// MARK: Threads

/// Threads that share out tasks; the caller is one of them.
typedef struct epc_pool epc_pool;

/// What a task does; `worker` numbers the thread, from 0 on.
typedef void (*epc_task)(void *context, size_t index, size_t worker);

/// Starts `threads - 1` threads; null where the system has none to give.
epc_pool *epc_pool_create(size_t threads);

/// Ends the threads and frees the pool.
void epc_pool_destroy(epc_pool *pool);

/// How many threads share tasks, the caller included.
size_t epc_pool_threads(const epc_pool *pool);

/// Runs tasks 0 to `count - 1`, each once, and returns when all are done. One caller at a time.
void epc_pool_run(epc_pool *pool, size_t count, epc_task task, void *context);

/// Memory of at least `bytes` that belongs to a worker until it asks again; null if there is none.
void *epc_pool_scratch(epc_pool *pool, size_t worker, size_t bytes);

// MARK: Packed weights

/// How the elements of a weight are stored.
typedef enum {
  EPC_FORMAT_F32,
  EPC_FORMAT_BF16,
  /// Whole numbers of -127 to 127, and for every 128 inputs of an output a scale.
  EPC_FORMAT_INT8,
  /// 8-bit floats with 4 bits of exponent, without subnormal numbers; scales as for EPC_FORMAT_INT8.
  EPC_FORMAT_FP8,
  /// The OCP microscaling format: 4-bit floats, and for every 32 inputs a power of two.
  EPC_FORMAT_MXFP4,
} epc_format;

/// Bytes of a packed `[out, in]` matrix, a multiple of 64.
size_t epc_packed_bytes(epc_format format, size_t out, size_t in);

/// Panels of a packed matrix: what tasks share out.
size_t epc_packed_panels(size_t out);

/// Packs the panels `first` up to `end` of a row-major `[out, in]` matrix.
void epc_pack(epc_format format, const float *weight, size_t out, size_t in, size_t first,
              size_t end, void *packed);

/// The matrix that a packed one stands for, row-major.
void epc_unpack(epc_format format, const void *packed, size_t out, size_t in, float *weight);

// MARK: Matrix products

/// y[r, b, o] = sum over k of x[r, b, k] * weight[g, b, o, k] + bias[g, b, o].
typedef struct {
  epc_format format;
  /// Matrices that each row meets, one after the other in `x` and in `y`.
  size_t batch;
  size_t out, in;
  /// Packed matrices, `[groups, batch]`.
  const void *weights;
  /// Null for none.
  const float *bias;
  /// Where the rows of each group end; null for one group.
  const int32_t *group_ends;
  size_t groups;
} epc_linear;

/// Bytes of room that `epc_linear_run` needs for so many rows.
size_t epc_linear_scratch(const epc_linear *linear, size_t rows);

/// Multiplies `rows` rows; `x_index`, if not null, says where in a row of x the element (b, k) is.
/// Returns false, and does nothing, where a thread gets no memory.
bool epc_linear_run(epc_pool *pool, epc_level level, const epc_linear *linear, const float *x,
                    const int32_t *x_index, size_t rows, void *scratch, float *y);

// MARK: Experts

/// A layer of routed experts, y[i] = down[s] * glu(gate[s] * x, up[s] * x) for the rows of each slot s.
typedef struct {
  epc_format format;
  /// Elements of a row, and of what lies between the matrices.
  size_t width, hidden;
  /// Packed matrices, one for each slot: `[hidden, width]`, the same, and `[width, hidden]`.
  const void *gate, *up, *down;
  /// A vector for each slot; null for none.
  const float *gate_bias, *up_bias, *down_bias;
  epc_glu glu;
  size_t slots;
  /// Where the rows of each slot end.
  const int32_t *ends;
  /// Which row of x each of them is; null where they are the rows of x in order.
  const int32_t *sources;
} epc_experts;

/// Bytes of room that `epc_experts_run` needs for so many rows.
size_t epc_experts_scratch(const epc_experts *experts, size_t rows, size_t threads);

/// Runs the rows of all slots, with the results of `epc_linear_run` and `epc_glu_run` one after the other,
/// to the last bit. Returns false, and does nothing, where a thread gets no memory.
bool epc_experts_run(epc_pool *pool, epc_level level, const epc_experts *experts, const float *x,
                     size_t rows, void *scratch, float *y);

/// Sums of what experts returned; see `epc_ref_combine`, whose arguments these are.
typedef struct {
  const float *returned;
  const int32_t *places, *indices;
  const float *weights, *identity;
  size_t experts;
  bool unweighted;
  size_t rows, top_k, width;
} epc_combination;

/// Adds up each row's choices in their order.
void epc_combine_run(epc_pool *pool, epc_level level, const epc_combination *combination, float *y);

// MARK: Attention

/// The new rows of one sequence: where their operands begin, and what the caches hold of it from
/// position 0 on, the new rows included.
typedef struct {
  size_t rows, first_position;
  const float *query, *query_rope;
  /// Keys or latents, and values or rope keys.
  const float *keys, *others;
  /// Null for none.
  const int32_t *selection;
  float *y;
} epc_span;

/// Attention of all sequences of a step; see `epc_ref_attention`. Returns false, and does nothing,
/// where a thread gets no memory.
bool epc_attention_run(epc_pool *pool, epc_level level, const epc_attention *attention,
                       const float *sinks, const epc_span *spans, size_t count);

/// What makes keys and values of latents, `[heads, key_size + value_size, rank]`: reals or, if those are
/// null, bf16.
typedef struct {
  const float *reals;
  const uint16_t *halves;
} epc_latent_up;

/// Bytes of room that `epc_latent_attention_run` needs.
size_t epc_latent_attention_scratch(const epc_latent_attention *attention, const epc_span *spans,
                                    size_t count);

/// MLA in absorbed form; see `epc_ref_latent_attention`. Queries and results of sequences that follow
/// each other in `spans` are best one after the other.
bool epc_latent_attention_run(epc_pool *pool, epc_level level,
                              const epc_latent_attention *attention, epc_latent_up up,
                              const epc_span *spans, size_t count, void *scratch);

/// Linear attention of one sequence over threads by head; see `epc_ref_linear_attention`.
bool epc_linear_attention_run(epc_pool *pool, epc_level level,
                              const epc_linear_attention *attention, const float *query,
                              const float *key, const float *value, const float *decay,
                              const float *beta, size_t rows, float *state, float *y);

// MARK: Rows

/// See `epc_ref_glu`; any other gate than SiLU or one with a slope is the reference's.
void epc_glu_run(epc_level level, const epc_glu *glu, const float *gate, const float *up,
                 size_t count, float *y);

/// See `epc_ref_norm`.
void epc_norm_run(epc_level level, epc_norm_form form, const float *x, size_t vectors, size_t n,
                  double epsilon, const float *weight, double weight_offset, const float *bias,
                  const float *squares, size_t count, float *y);

/// See `epc_ref_rope`; `scratch` holds `rotated` doubles.
void epc_rope_run(const float *x, size_t rows, size_t vectors, size_t size, size_t rotated,
                  bool interleaved, const double *frequencies, double factor,
                  const int32_t *positions, double *scratch, float *y);

/// y[i] = join(a[i], b[i]).
void epc_join_run(epc_join join, const float *a, const float *b, size_t count, float *y);

// MARK: Floors

/// Operations a second that all threads of a pool do on numbers in registers, as kernels of a format
/// do them: two for a product and a sum. Where kernels use tiles and `is_cached`, tiles come from the
/// second-level cache, one for each product, as they do where 32 rows meet 32 outputs. The fastest of
/// `rounds` rounds of about a millisecond.
double epc_peak_rate(epc_pool *pool, epc_level level, epc_format format, bool is_cached,
                     size_t rounds);

/// Bytes a second that all threads of a pool read of `bytes` bytes, in the faster of `rounds` rounds.
double epc_read_rate(epc_pool *pool, const void *memory, size_t bytes, size_t rounds);

#endif
