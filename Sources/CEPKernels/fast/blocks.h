// What the levels implement: products of blocks of packed weights with prepared rows.
#ifndef EPC_BLOCKS_H
#define EPC_BLOCKS_H

#include "epc_fast.h"

enum {
  /// Outputs that are computed together: the width of a vector of the widest level.
  EPC_LANES = 16,
  /// Outputs of a panel: what one task packs, reads and computes.
  EPC_PANEL = 64,
  /// Rows that are computed together, so that each weight read from the cache is used as often.
  EPC_ROWS = 6,
  /// Inputs that share a scale.
  EPC_GROUP = 128,
  /// Those of EPC_FORMAT_MXFP4.
  EPC_MICRO_GROUP = 32,
  /// Inputs whose products are summed up as floats before the sum is added to those of other inputs.
  EPC_SUM_F32 = 128,
  /// Inputs that many rows meet before the next: their weights stay in the second-level cache.
  EPC_BLOCK_F32 = 512,
  EPC_BLOCK_BF16 = 1024,
  /// More than a first-level cache holds, and less than a second-level one.
  EPC_CACHED_BYTES = 1 << 19,
};

/// A block of a panel's weights, `[inputs, width]`, and the rows it is multiplied with.
typedef struct {
  /// Vectors of EPC_LANES outputs, up to 4.
  size_t vectors;
  const void *weights;
  /// Elements of EPC_LANES-wide rows of weights from one input (pair, four) to the next.
  size_t stride;
  /// Inputs of the block.
  size_t inputs;
  size_t rows;
  /// The rows, as `epc_prepare` orders them, or for floats just rows; `row_bytes` are those of one row
  /// over all inputs, or from a row to the next.
  const char *prepared;
  size_t row_bytes;
  /// The offset of the block's first input in a row, in bytes for one row.
  size_t offset;
  /// Sums that are added to, `[rows, stride_sums]`; overwritten if `is_first`.
  float *sums;
  size_t sums_stride;
  bool is_first;
  /// Whether these are results, and so many that they are written around the caches.
  bool is_streamed;
  /// A scale for each output, for formats that have them.
  const float *scales;
  /// Memory that will be read next, and how many lines of it.
  const char *next;
  size_t next_lines;
} epc_block;

/// Scaled dot products of queries and keys, each of one or two parts.
typedef struct {
  size_t rows;
  /// Each query's parts.
  const float *const *queries[2];
  const float *keys[2];
  size_t key_strides[2];
  size_t sizes[2];
  /// The keys that are read; the scores of row r begin at `scores + r * stride`.
  size_t from, to;
  float scale;
  float *scores;
  size_t stride;
} epc_scores;

/// results[r][i] = sum over j of weights[r, j] * values[j, i], in the order of j.
typedef struct {
  size_t rows, count, size;
  const float *weights;
  size_t weight_stride;
  const float *values;
  size_t value_stride;
  float *const *results;
} epc_mixture;

/// A few rows of reals and `count` rows of `size` bf16, one after the other.
typedef struct {
  size_t rows, count, size;
  const float *x;
  size_t x_stride;
  const uint16_t *halves;
  /// What is read next.
  const uint16_t *next;
  /// Room for four rows of `size`.
  float *room;
  float *const *results;
} epc_halves;

/// One token for one head of linear attention; `decay` holds factors, or is null.
typedef struct {
  size_t key_size, value_size, decay_size;
  bool delta;
  float scale, beta;
  const float *query, *key, *value, *decay;
} epc_recurrence;

/// The kernels of a level.
typedef struct {
  void (*f32)(const epc_block *block);
  /// Pairs of bf16. With scales, the block's sum is scaled before it is added.
  void (*bf16)(const epc_block *block);
  /// Unsigned bytes, four inputs of an output side by side, with rows in two signed digits; always
  /// with scales.
  void (*bytes)(const epc_block *block);
  /// A group of a row of EPC_FORMAT_INT8, or of EPC_FORMAT_MXFP4 where it is EPC_MICRO_GROUP, as numbers of
  /// 16 bits in digits of 256 and of 1 from -128 to 127: the high ones, the low ones, the row's scale and
  /// its surplus. Weights are unsigned, more than what they stand for, so a sum of products is so many times
  /// the sum of the numbers too large.
  void (*split)(const float *x, size_t count, char *to);
  /// The elements of a group of EPC_FORMAT_FP8 as pairs of bf16, 2^-120 of what they stand for.
  void (*expand_fp8)(const uint8_t *group, size_t vectors, uint32_t *pairs);
  /// The elements of a group of EPC_FORMAT_MXFP4 as bytes: twice the value and 12.
  void (*expand_mxfp4)(const uint8_t *group, size_t vectors, uint32_t *fours);
  void (*scores)(const epc_scores *scores);
  void (*mix)(const epc_mixture *mixture);
  /// results[r][i] = sum over j of x[r, j] * halves[j, i], in the order of j.
  void (*mix_halves)(const epc_halves *halves);
  /// results[r][j] = sum over i of x[r, i] * halves[j, i].
  void (*dot_halves)(const epc_halves *halves);
  /// Reals of bf16.
  void (*widen)(const uint16_t *x, size_t count, float *y);
  /// Weights that sum to 1, with one more logit that carries nothing; -infinity weighs 0.
  void (*softmax)(float *x, size_t count, const float *sink);
  /// Weights of a few more scores: e to the power of each less the largest so far, which with the sum
  /// of weights is brought up to date. Returns what former weights are to be multiplied with.
  float (*weigh)(float *x, size_t count, float *most, float *sum);
  /// For gates with SiLU or a slope.
  void (*glu)(const epc_glu *glu, const float *gate, const float *up, size_t count, float *y);
  /// y[i] = sum over k of weights[k] * rows[k][i], or more of it.
  void (*add_rows)(const float *const *rows, const float *weights, size_t count, bool is_first,
                   size_t width, float *y);
  /// One vector; `squares` as for `epc_ref_norm`.
  void (*norm)(epc_norm_form form, const float *x, size_t n, double epsilon, const float *weight,
               float weight_offset, const float *bias, const float *squares, size_t count,
               float *y);
  /// Brings a head's state up to date and reads it. `added` is room for a value.
  void (*recur)(const epc_recurrence *recurrence, float *state, float *added, float *y);
  /// Multiply and add reals, bf16 and bytes in registers; return how many operations they did.
  double (*rates[3])(size_t steps);
} epc_kernels;

extern const epc_kernels epc_kernels_portable;
#if defined(__x86_64__)
extern const epc_kernels epc_kernels_avx2;
extern const epc_kernels epc_kernels_avx512;
extern const epc_kernels epc_kernels_vnni;
#endif

/// A block for EPC_LEVEL_AMX, whose rows are prepared by `epc_prepare_tiles`. Its weights are as they
/// are packed, from the first group on in formats that have groups, and then its inputs are whole
/// groups.
void epc_block_tiles(epc_format format, const epc_block *block);

/// Whether a block of any number of inputs is read once, from one end to the other.
static inline bool epc_tiles_are_wide(epc_format format, size_t rows, size_t vectors) {
  return rows <= 16 && vectors == 4 && format != EPC_FORMAT_INT8;
}

/// Rows `first` up to `end` of a matrix of `rows` rows as tiles: 16 rows by 32 inputs, so that a tile
/// lies in one piece; those of the same 16 rows lie one after the other.
void epc_prepare_tiles(epc_format format, const float *x, size_t x_stride, const int32_t *index,
                       size_t in, size_t rows, size_t first, size_t end, void *prepared);

/// Products of tiles of bf16, or of bytes, as `rates` have them: of what registers hold, or of tiles from
/// EPC_CACHED_BYTES of memory, one for each product.
double epc_multiply_tiles(bool is_bytes, const char *memory, size_t steps);

/// The kernels of a level.
const epc_kernels *epc_kernels_of(epc_level level);

/// Inputs rounded up to what a format holds.
size_t epc_padded_inputs(epc_format format, size_t in);

/// What rows are multiplied with before they are rounded to bf16, and scales before they are kept.
/// Elements of EPC_FORMAT_FP8 are taken for numbers 2^-120 of their size, and dot products take what is
/// below 2^-126 for zero: either makes up for half of that.
static inline float epc_half_factor(epc_format format) {
  return format == EPC_FORMAT_FP8 ? 0x1p60f : 1;
}

/// Bytes of a group of a panel of `width` outputs: scales, then elements.
static inline size_t epc_group_bytes(epc_format format, size_t width) {
  return width * (4 + (format == EPC_FORMAT_MXFP4 ? EPC_GROUP / 2 : EPC_GROUP));
}

/// Bytes of a panel of `width` outputs up to input `k`, a multiple of what a format pads to.
static inline size_t epc_input_offset(epc_format format, size_t k, size_t width) {
  if (format == EPC_FORMAT_F32 || format == EPC_FORMAT_BF16) {
    return k * width * (format == EPC_FORMAT_F32 ? 4 : 2);
  }
  return k / EPC_GROUP * epc_group_bytes(format, width);
}

/// Inputs that share a scale, for formats that have them.
size_t epc_scaled_inputs(epc_format format);

/// Where a panel begins in a packed matrix, in bytes.
size_t epc_panel_offset(epc_format format, size_t in, size_t panel);

/// Outputs of a panel, those that pad it included.
size_t epc_panel_width(size_t out, size_t panel);

/// Bytes of a row as kernels want it.
size_t epc_prepared_bytes(epc_format format, size_t in);

/// Rows of a matrix, ordered for kernels: blocks of up to EPC_ROWS rows as `epc_row_blocks` cuts
/// them, and in a block input by input, but floats row by row and digits group by group. `row` is room for
/// a row of padded inputs.
void epc_prepare(const epc_kernels *kernels, epc_format format, const float *x, size_t x_stride,
                 const int32_t *index, size_t in, size_t rows, size_t first_block, size_t end_block, float *row,
                 void *prepared);

/// Adds the bias of a panel of matrix `matrix` and brings sums that lie elsewhere to the results `y` of
/// `rows` rows, which begin with the matrix's first output.
void epc_finish_panel(const epc_linear *linear, size_t matrix, size_t panel, const float *sums,
                      size_t sums_stride, size_t rows, float *y);

/// Whether results are so many that they do not stay in a cache until they are read.
static inline bool epc_is_streamed(size_t rows, size_t width) {
  return rows * width * sizeof(float) >= 2 * EPC_CACHED_BYTES;
}

/// Whether `epc_linear_large_run` makes a product.
bool epc_linear_is_large(const epc_pool *pool, epc_level level, const epc_linear *linear, size_t rows);

/// `epc_linear_run` for many rows; needs no scratch.
bool epc_linear_large_run(epc_pool *pool, epc_level level, const epc_linear *linear, const float *x,
                          const int32_t *x_index, size_t rows, float *y);

/// How many blocks `rows` rows are cut into; block i begins with row `rows * i / blocks`.
static inline size_t epc_row_blocks(size_t rows) { return (rows + EPC_ROWS - 1) / EPC_ROWS; }

#endif
