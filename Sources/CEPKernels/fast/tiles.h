// The kernels of a level, written once over vectors of 16 lanes; the compiler cuts these into what a
// level has. A level includes this between the attributes of its target, having defined LEVEL, and
// TILE_VECTORS, how many vectors of a row its registers hold.
#include <string.h>

#include "blocks.h"
#include "formats.h"

typedef float lanes __attribute__((vector_size(64)));
typedef float lanes_in_memory __attribute__((vector_size(64), aligned(4)));
typedef uint32_t bits __attribute__((vector_size(64)));
typedef uint32_t bits_in_memory __attribute__((vector_size(64), aligned(4)));
typedef int32_t whole __attribute__((vector_size(64)));
typedef int8_t signed_bytes __attribute__((vector_size(16)));

#define ALWAYS static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")
#define IN_TURN _Pragma("clang loop unroll(disable)")

/// Where a tile finds its rows, weights and sums.
typedef struct {
  const char *rows;
  /// Bytes from a row to the next, where rows do not come input by input.
  size_t row_bytes;
  const char *weights;
  size_t stride;
  size_t steps;
  float *sums;
  size_t sums_stride;
  bool is_first;
  const float *scales;
  /// What is asked for, and how many bytes further each time.
  const char *next;
  size_t ask;
} tile;

ALWAYS void load_sums(int rows, int vectors, const tile *t, lanes sums[EPC_ROWS][4]) {
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int v = 0; v < vectors; v++) {
      const float *at = t->sums + (size_t)r * t->sums_stride + 16 * v;
      sums[r][v] = t->is_first ? (lanes){0} : (lanes)*(const lanes_in_memory *)at;
    }
  }
}

ALWAYS void store_sums(int rows, int vectors, const tile *t, lanes sums[EPC_ROWS][4]) {
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int v = 0; v < vectors; v++) {
      *(lanes_in_memory *)(t->sums + (size_t)r * t->sums_stride + 16 * v) = sums[r][v];
    }
  }
}

/// Adds the sums of a block, each times its scale.
ALWAYS void add_scaled(int rows, int vectors, const tile *t, lanes sums[EPC_ROWS][4]) {
  UNROLL for (int v = 0; v < vectors; v++) {
    const lanes scale = *(const lanes_in_memory *)(t->scales + 16 * v);
    UNROLL for (int r = 0; r < rows; r++) {
      lanes_in_memory *at =
          (lanes_in_memory *)(t->sums + (size_t)r * t->sums_stride + 16 * v);
      const lanes old = t->is_first ? (lanes){0} : (lanes)*at;
      *at = old + sums[r][v] * scale;
    }
  }
}

/// Asks for `lines` lines of what is read next, `step` steps into a tile.
ALWAYS void prefetch(const tile *t, int lines, size_t step) {
  UNROLL for (int l = 0; l < lines; l++) {
    __builtin_prefetch(t->next + (step * (size_t)lines + (size_t)l) * t->ask, 0, 2);
  }
}

/// Sums of EPC_SUM_F32 inputs at a time, which are then added to those so far: nearer than one long sum.
ALWAYS void tile_f32(int rows, int vectors, int lines, const tile *t) {
  const size_t stride = t->row_bytes / sizeof(float);
  const float *x = (const float *)t->rows;
  const float *w = (const float *)t->weights;
  for (size_t k = 0; k < t->steps;) {
    const bool is_first = t->is_first && k == 0;
    const size_t end = t->steps - k < EPC_SUM_F32 ? t->steps : k + EPC_SUM_F32;
    lanes sums[EPC_ROWS][4];
    memset(sums, 0, sizeof(sums));
    for (; k < end; k++) {
      prefetch(t, lines, k);
      lanes factors[4];
      UNROLL for (int v = 0; v < vectors; v++) factors[v] = *(const lanes_in_memory *)(w + 16 * v);
      UNROLL for (int r = 0; r < rows; r++) {
        const float now = x[(size_t)r * stride];
        UNROLL for (int v = 0; v < vectors; v++) sums[r][v] += now * factors[v];
      }
      x++;
      w += t->stride;
    }
    UNROLL for (int r = 0; r < rows; r++) {
      UNROLL for (int v = 0; v < vectors; v++) {
        lanes_in_memory *at = (lanes_in_memory *)(t->sums + (size_t)r * t->sums_stride + 16 * v);
        *at = is_first ? sums[r][v] : *at + sums[r][v];
      }
    }
  }
}

#ifdef HAS_DOT_PRODUCTS
#include "tiles_with_dot.h"
#else
#include "tiles_without_dot.h"
#endif

/// See `split` of the kernels.
static void split(const float *x, size_t count, char *to) {
  // Bits of sizes are in the order of sizes, and what is not finite comes last.
  bits most = {0};
  for (size_t i = 0; i < count; i += 16) {
    most = __builtin_elementwise_max(most, (bits)(*(const bits_in_memory *)(x + i) & 0x7fffffffu));
  }
  const uint32_t largest = __builtin_reduce_max(most);
  const bool is_finite = largest < 0x7f800000u;
  // Numbers too small for a scale count as zero; what is not finite makes the scale a NaN.
  const float unit = epc_real_of(largest) / 32639;
  const float inverse = is_finite && 1 / unit <= __FLT_MAX__ ? 1 / unit : 0;
  const bool is_micro = count == EPC_MICRO_GROUP;
  whole sums = {0};
  for (size_t i = 0; i < count; i += 16) {
    const lanes scaled = *(const lanes_in_memory *)(x + i) * inverse;
    whole number = {0};
    if (inverse != 0) number = __builtin_convertvector(__builtin_elementwise_rint(scaled), whole);
    sums += number;
    const whole digit = (number << 24) >> 24;
    signed_bytes high = __builtin_convertvector((number - digit) >> 8, signed_bytes);
    signed_bytes low = __builtin_convertvector(digit, signed_bytes);
    if (is_micro) {
      // Where numbers of EPC_FORMAT_MXFP4 are; see `epc_fp4_byte`.
      high = __builtin_shufflevector(high, high, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
      low = __builtin_shufflevector(low, low, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    }
    memcpy(to + i, &high, sizeof(high));
    memcpy(to + count + i, &low, sizeof(low));
  }
  const int32_t surplus = (is_micro ? 12 : 128) * __builtin_reduce_add(sums);
  const float scale = is_finite ? unit : __builtin_nanf("");
  memcpy(to + 2 * count, &scale, sizeof(scale));
  memcpy(to + 2 * count + 4, &surplus, sizeof(surplus));
}

/// The rows of a group lie one after the other, each as `split` makes it.
ALWAYS void tile_bytes(int rows, int vectors, int lines, const tile *t) {
  bits sums[2][EPC_ROWS * 4];
  memset(sums, 0, sizeof(sums));
  const uint32_t *x = (const uint32_t *)t->rows;
  const size_t words = 2 * t->steps + 2;
#ifdef HAS_DOT_PRODUCTS
  // Registers hold the sums of both digits.
  const bool is_once = rows <= 2;
#else
  const bool is_once = false;
#endif
  add_products(rows, vectors, lines, is_once ? 2 : 1, t, x, words, sums);
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int v = 0; v < vectors; v++) {
      sums[0][r * 4 + v] <<= 8;
      if (is_once) sums[0][r * 4 + v] += sums[1][r * 4 + v];
    }
  }
  if (!is_once) add_products(rows, vectors, 0, 1, t, x + t->steps, words, sums);
  const float *scales = (const float *)x + 2 * t->steps;
  const uint32_t *surplus = x + 2 * t->steps + 1;
  UNROLL for (int v = 0; v < vectors; v++) {
    const lanes scale = *(const lanes_in_memory *)(t->scales + 16 * v);
    UNROLL for (int r = 0; r < rows; r++) {
      const whole sum = (whole)(sums[0][r * 4 + v] - surplus[(size_t)r * words]);
      lanes_in_memory *at =
          (lanes_in_memory *)(t->sums + (size_t)r * t->sums_stride + 16 * v);
      const lanes old = t->is_first ? (lanes){0} : (lanes)*at;
      *at = old + __builtin_convertvector(sum, lanes) * (scale * scales[(size_t)r * words]);
    }
  }
}

// One loop over the rows of a block for each kind of tile. The first block of rows reads the weights
// from memory, the others find them in the cache; what is read next is asked for as evenly as rows allow.
#define CASES(kind, vectors, lines)                        \
  switch (rows) {                                          \
    case 1: tile_##kind(1, vectors, lines, &t); break;     \
    case 2: tile_##kind(2, vectors, lines, &t); break;     \
    case 3: tile_##kind(3, vectors, lines, &t); break;     \
    case 4: tile_##kind(4, vectors, lines, &t); break;     \
    case 5: tile_##kind(5, vectors, lines, &t); break;     \
    default: tile_##kind(6, vectors, lines, &t); break;    \
  }

#define BLOCK(kind, steps_of, rows_side_by_side)                                          \
  static void block_##kind(const epc_block *b) {                                          \
    const size_t blocks = epc_row_blocks(b->rows);                                        \
    const size_t steps = steps_of;                                                        \
    const size_t lines = blocks < 3 ? 4 : blocks == 3 ? 2 : 1;                            \
    const size_t ask = blocks < 3 ? 64 : 256 / (blocks * lines);                          \
    for (size_t i = 0; i < blocks; i++) {                                                 \
      const size_t first = b->rows * i / blocks;                                          \
      const size_t rows = b->rows * (i + 1) / blocks - first;                             \
      for (size_t v = 0; v < b->vectors; v += TILE_VECTORS) {                             \
        tile t = {                                                                        \
            .rows = b->prepared + first * b->row_bytes + (rows_side_by_side) * b->offset, \
            .row_bytes = b->row_bytes,                                                    \
            .weights = (const char *)b->weights + v * 64,                                 \
            .stride = b->stride,                                                          \
            .steps = steps,                                                               \
            .sums = b->sums + first * b->sums_stride + 16 * v,                            \
            .sums_stride = b->sums_stride,                                                \
            .is_first = b->is_first,                                                      \
            .scales = b->scales == NULL ? NULL : b->scales + 16 * v,                      \
            .next = b->next + (blocks < 3 ? 0 : i * steps * lines * ask),                 \
            .ask = ask,                                                                   \
        };                                                                                \
        if (TILE_VECTORS == 4 && b->vectors - v >= 4) {                                   \
          if (lines == 4) {                                                               \
            CASES(kind, TILE_VECTORS, 4)                                                  \
          } else if (lines == 2) {                                                        \
            CASES(kind, TILE_VECTORS, 2)                                                  \
          } else {                                                                        \
            CASES(kind, TILE_VECTORS, 1)                                                  \
          }                                                                               \
        } else {                                                                          \
          for (size_t u = 0; u < TILE_VECTORS && v + u < b->vectors; u++) {               \
            CASES(kind, 1, 1)                                                             \
            t.weights += 64;                                                              \
            t.sums += 16;                                                                 \
            if (t.scales != NULL) t.scales += 16;                                         \
          }                                                                               \
        }                                                                                 \
      }                                                                                   \
    }                                                                                     \
  }

BLOCK(f32, b->inputs, 1)
BLOCK(bf16, b->inputs / 2, rows)
BLOCK(bytes, b->inputs / 4, rows)

static void expand_fp8(const uint8_t *group, size_t vectors, uint32_t *pairs) {
  // Two numbers of a word are those of one pair, so that a shift by 4 makes both bf16 at once.
  const uint32_t *fours = (const uint32_t *)group;
  const size_t width = 16 * vectors;
  for (size_t i = 0; i < EPC_GROUP / 4; i++) {
    for (size_t v = 0; v < vectors; v++) {
      const bits four = *(const bits_in_memory *)(fours + i * width + 16 * v);
      const bits even = four << 8;
      const bits first = (four & 0x80008000u) | ((four >> 4) & 0x07f007f0u);
      const bits second = (even & 0x80008000u) | ((even >> 4) & 0x07f007f0u);
      *(bits_in_memory *)(pairs + 2 * i * width + 16 * v) = first;
      *(bits_in_memory *)(pairs + (2 * i + 1) * width + 16 * v) = second;
    }
  }
}

#include "mixing.h"

#include "halves.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
const epc_kernels JOIN(epc_kernels_, LEVEL) = {
    .f32 = block_f32,
    .bf16 = block_bf16,
    .bytes = block_bytes,
    .split = split,
    .expand_fp8 = expand_fp8,
    .expand_mxfp4 = expand_mxfp4,
    .scores = scores,
    .mix = mix,
    .mix_halves = mix_halves,
    .dot_halves = dot_halves,
    .widen = widen,
    .softmax = softmax,
    .weigh = weigh,
    .glu = glu,
    .add_rows = add_rows,
    .norm = norm,
    .recur = recur,
    .rates = {multiply_reals, multiply_bf16, multiply_bytes},
};
