// Kernels for the operations of a plan: the reference, slow and obvious.
//
// All reals are float32 in row-major order without gaps; sums run in double and in index order, so
// that results do not depend on how rows are batched. Nothing here checks sizes or allocates: the
// caller has validated the operation and passes scratch space where it is needed. Results do not
// overlap operands.
#ifndef EPC_KERNELS_H
#define EPC_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// Functions of one real.
typedef enum {
  EPC_IDENTITY,
  EPC_SILU,
  EPC_GELU,
  EPC_GELU_TANH,
  EPC_RELU,
  EPC_RELU2,
  EPC_SIGMOID,
  EPC_TANH,
  EPC_SOFTPLUS,
  EPC_EXP,
  EPC_NEGATE,
  EPC_SQUARE,
  EPC_SQRT,
  EPC_CLAMP,
} epc_function;

/// Functions of two reals.
typedef enum {
  EPC_ADD,
  EPC_SUBTRACT,
  EPC_MULTIPLY,
  EPC_DIVIDE,
  EPC_MAXIMUM,
  EPC_MINIMUM,
} epc_join;

/// Rows of a table: y[r] = table[ids[r] - first], or zeros where that row is not in the table.
void epc_ref_embed(const int32_t *ids, size_t rows, const float *table, size_t first,
                   size_t table_rows, size_t width, float *y);

/// y[r, b, o] = sum over k of x[r, b, k] * weight[g, b, o, k] + bias[g, b, o].
///
/// `x_index`, if not null, says where in a row of x the element (b, k) is. `group_ends`, if not
/// null, holds where the rows of each of `groups` weights end; otherwise there is one weight.
void epc_ref_linear(const float *x, const int32_t *x_index, const float *weight, const float *bias,
                    size_t rows, size_t batch, size_t out, size_t in, const int32_t *group_ends,
                    size_t groups, float *y);

/// y[r, i] = sum over k of a[r, a_out[i] + a_in[k]] * b[r, b_out[i] + b_in[k]].
void epc_ref_contract(const float *a, size_t a_width, const float *b, size_t b_width,
                      const int32_t *a_out, const int32_t *b_out, size_t out, const int32_t *a_in,
                      const int32_t *b_in, size_t in, size_t rows, float *y);

/// y[i] = function(x[i]); `low` and `high` are the bounds of EPC_CLAMP.
void epc_ref_unary(epc_function function, double low, double high, const float *x, size_t count,
                   float *y);

/// y[r, i] = join(wide[r, i], narrow[r, index[i]]), operands swapped on request; the narrow operand
/// advances by `narrow_width` a row, which is 0 where it has no rows.
void epc_ref_binary(epc_join join, bool swapped, const float *wide, size_t width,
                    const float *narrow, size_t narrow_width, const int32_t *index, size_t rows,
                    float *y);

/// y[i] = factor * x[i] + offset.
void epc_ref_affine(double factor, double offset, const float *x, size_t count, float *y);

/// y = activation(min(gate, limit)) * (clamp(up, -limit, limit) + up_offset); with a slope the
/// activation is gate * sigmoid(slope * gate).
typedef struct {
  epc_function activation;
  bool has_limit;
  double limit;
  bool has_slope;
  double slope;
  double up_offset;
} epc_glu;
void epc_ref_glu(const epc_glu *glu, const float *gate, const float *up, size_t count, float *y);

/// y = x * (1 + scale * log(1 + floor((position + 1) / floor))).
void epc_ref_position_scale(double floor, double scale, const float *x, size_t width,
                            const int32_t *positions, size_t rows, float *y);

/// Norms along the last `n` elements.
typedef enum { EPC_NORM_RMS, EPC_NORM_LAYER, EPC_NORM_L2 } epc_norm_form;

/// `squares`, if not null, holds the sum of squares of each vector over all ranks, of `count`
/// elements in all.
void epc_ref_norm(epc_norm_form form, const float *x, size_t vectors, size_t n, double epsilon,
                  const float *weight, double weight_offset, const float *bias,
                  const float *squares, size_t count, float *y);

/// y[v] = factor * sum of squares.
void epc_ref_sum_squares(const float *x, size_t vectors, size_t n, double factor, float *y);

/// The softmax along the middle axis of [outer, n, inner].
void epc_ref_softmax(const float *x, size_t outer, size_t n, size_t inner, float *y);

/// Reductions: y[r, i] over k of x[r, out[i] + in[k]].
typedef enum { EPC_REDUCE_SUM, EPC_REDUCE_MEAN, EPC_REDUCE_MAX } epc_reduction;
void epc_ref_reduce(epc_reduction reduction, const float *x, size_t width, const int32_t *out,
                    size_t out_count, const int32_t *in, size_t in_count, size_t rows, float *y);

/// Copies `count` elements from the start of each of `outer` blocks to those of another array.
void epc_ref_copy_blocks(const float *x, size_t x_stride, float *y, size_t y_stride, size_t count,
                         size_t outer);

/// Turns the leading `rotated` elements of each vector of `size` by position * frequency, sine and
/// cosine times `factor`; pairs are (i, i + rotated / 2), or (2i, 2i + 1) if interleaved.
void epc_ref_rope(const float *x, size_t rows, size_t vectors, size_t size, size_t rotated,
                  bool interleaved, const double *frequencies, double factor,
                  const int32_t *positions, float *y);

/// Attention of the new rows of one sequence; `keys` and `values` hold all its entries from position
/// 0 on, the new ones included. `scratch` holds `first_position + rows` reals.
typedef struct {
  size_t heads, key_heads, key_size, value_size;
  double scale;
  /// 0 for none.
  size_t window, chunk;
  /// 0 for none.
  double softcap;
  /// Positions selected for each row, -1 for none; 0 where there is no selection.
  size_t selected;
} epc_attention;
void epc_ref_attention(const epc_attention *attention, const float *query, size_t rows,
                       size_t first_position, const float *keys, const float *values,
                       const float *sinks, const int32_t *selection, double *scratch, float *y);

/// MLA: up[h] makes `key_size` keys and `value_size` values of a latent. `scratch` holds
/// `first_position + rows + 2 * rank` reals.
typedef struct {
  size_t heads, key_size, rope_size, value_size, rank;
  double scale;
  size_t selected;
} epc_latent_attention;
void epc_ref_latent_attention(const epc_latent_attention *attention, const float *query,
                              const float *query_rope, size_t rows, size_t first_position,
                              const float *latents, const float *rope_keys, const float *up,
                              const int32_t *selection, double *scratch, float *y);

/// The `top_k` positions with the largest sum over heads of weight * relu(scale * query . key), the
/// largest first, -1 where there are fewer. `scratch` holds `first_position + rows` reals.
void epc_ref_index(const float *query, const float *head_weights, size_t rows,
                   size_t first_position, size_t heads, size_t size, const float *keys,
                   size_t top_k, double scale, double *scratch, int32_t *y);

/// A causal convolution by channel; `state` holds the last `taps - 1` inputs of each channel, the
/// latest last, and is brought up to date.
void epc_ref_short_convolution(const float *x, size_t rows, size_t channels, size_t taps,
                               const float *weight, const float *bias, epc_function activation,
                               float *state, float *y);

/// Linear attention of one sequence with the state [heads, key_size, value_size], brought up to date.
typedef struct {
  size_t heads, key_heads, key_size, value_size;
  bool delta;
  double scale;
  /// Elements of the decay for each head: 0 without decay, 1, or `key_size`.
  size_t decay_size;
  /// Whether each row has a decay of its own.
  bool decay_has_rows;
} epc_linear_attention;
void epc_ref_linear_attention(const epc_linear_attention *attention, const float *query,
                              const float *key, const float *value, const float *decay,
                              const float *beta, size_t rows, float *state, float *y);

/// How a router scores.
typedef enum {
  EPC_SCORE_SOFTMAX,
  EPC_SCORE_SIGMOID,
  EPC_SCORE_SQRT_SOFTPLUS,
  EPC_SCORE_SOFTMAX_SELECTED,
  EPC_SCORE_SPARSE_MIXER,
  EPC_SCORE_GUMBEL_SOFTMAX,
  EPC_SCORE_NONE,
} epc_scoring;

/// How a router selects.
typedef enum { EPC_SELECT_TOP_K, EPC_SELECT_TOP_P, EPC_SELECT_HASH } epc_selection;

/// A router; fields as the attributes of `route`. Counts are 0 where there is no such thing.
typedef struct {
  /// All experts, and those of them that have weights.
  size_t experts, weighted_experts;
  size_t top_k;
  epc_scoring scoring;
  epc_selection selection;
  double top_p;
  size_t groups, groups_kept;
  bool groups_by_top_two;
  bool normalize;
  double normalize_epsilon, normalize_minimum, scale, temperature, jitter;
  bool has_seed;
  uint64_t seed;
  const int32_t *partitions;
  size_t partition_count;
  /// Rows of the table; tokens beyond go to no expert.
  size_t table_rows;
  /// Groups that the outer level of a hierarchical router chose for each row.
  size_t outer_top_k;
} epc_route;

/// The experts of each row, `top_k` for each outer choice, -1 for none, and their weights. Of equal
/// scores the lower expert wins. `scratch` holds
/// `3 * experts + top_k + groups` reals.
void epc_ref_route(const epc_route *route, const float *logits, const float *bias,
                   const int32_t *ids, const float *table, const int32_t *modality,
                   const int32_t *outer_indices, const float *outer_weights,
                   const int32_t *positions, size_t rows, double *scratch, int32_t *indices,
                   float *weights);

/// Drops the routes of one sequence beyond `capacity` for an expert; `counts` holds `experts`.
void epc_ref_route_capacity(size_t experts, size_t capacity, size_t rows, size_t top_k,
                            int32_t *counts, int32_t *indices, float *weights);

/// y[i] = x[rows[i]], times scales[i] if not null.
void epc_ref_pack(const float *x, size_t width, const int32_t *rows, const float *scales,
                  size_t count, float *y);

/// y[places[i]] = x[i].
void epc_ref_unpack(const float *x, size_t width, const int32_t *places, size_t count, float *y);

/// y[r] = sum over k of weight * returned[places[r, k]], the weight 1 if unweighted; experts numbered
/// from `experts` on return `identity[r]`, if not null, and are always weighted.
void epc_ref_combine(const float *returned, const int32_t *places, const int32_t *indices,
                     const float *weights, const float *identity, size_t experts, bool unweighted,
                     size_t rows, size_t top_k, size_t width, double *scratch, float *y);

/// y = the sum of `blocks` arrays of `count`, one after the other, in their order.
void epc_ref_sum_blocks(const float *x, size_t blocks, size_t count, float *y);

/// The index of the first NaN or infinity, or `count` where there is none.
size_t epc_ref_first_non_finite(const float *values, size_t count);

/// Fills y with reproducible values about `center`: element i comes of `key` and `first + i` alone
/// and is normally distributed with the deviation `scale`, near enough.
void epc_ref_random_normal(uint64_t key, uint64_t first, double center, double scale, size_t count,
                           float *y);

#endif
