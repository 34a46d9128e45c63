// Products of reals with rows of bf16, each read once from one end to the other; included by tiles.h.
//
// A word holds two neighbours: a shift makes reals of the even ones, a mask of the odd ones.
#ifndef EPC_HALVES_H
#define EPC_HALVES_H

enum {
  /// How far ahead rows are asked for, in bytes.
  HALVES_AHEAD = 8192,
};

ALWAYS void widen_pairs(const uint16_t *x, lanes *even, lanes *odd) {
  const bits both = *(const bits_in_memory *)x;
  *even = (lanes)(both << 16);
  *odd = (lanes)(both & 0xffff0000u);
}

/// What is read HALVES_AHEAD after row `j`, in the rows or in those that are read next.
ALWAYS const char *ahead_of(const epc_halves *h, size_t j) {
  const size_t at = j * h->size * sizeof(uint16_t) + HALVES_AHEAD;
  const size_t bytes = h->count * h->size * sizeof(uint16_t);
  return at < bytes ? (const char *)h->halves + at : (const char *)h->next + (at - bytes);
}

ALWAYS void mix_halves_tile(int rows, int pairs, const epc_halves *h, size_t first, size_t column) {
  lanes sums[6][16];
  memset(sums, 0, sizeof(sums));
  const float *weights = h->x + first * h->x_stride;
  const uint16_t *at = h->halves + column;
  for (size_t j = 0; j < h->count; j++) {
    const char *ahead = ahead_of(h, j) + column * sizeof(uint16_t);
    UNROLL for (int p = 0; p < pairs; p++) {
      lanes even, odd;
      widen_pairs(at + 32 * p, &even, &odd);
      if (first == 0) __builtin_prefetch(ahead + 64 * p, 0, 3);
      UNROLL for (int r = 0; r < rows; r++) {
        const float weight = weights[(size_t)r * h->x_stride + j];
        sums[r][2 * p] += weight * even;
        sums[r][2 * p + 1] += weight * odd;
      }
    }
    at += h->size;
  }
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int p = 0; p < pairs; p++) {
      lanes_in_memory *to = (lanes_in_memory *)(h->results[first + (size_t)r] + column + 32 * p);
      const lanes even = sums[r][2 * p];
      const lanes odd = sums[r][2 * p + 1];
      to[0] = __builtin_shufflevector(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      to[1] = __builtin_shufflevector(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                      31);
    }
  }
}

/// As many pairs of vectors as registers hold sums for.
ALWAYS size_t mix_halves_rows(int rows, const epc_halves *h, size_t first) {
  const int most = TILE_VECTORS < 4 ? 1 : rows == 1 ? 8 : rows <= 3 ? 4 : 2;
  size_t column = 0;
  for (; column + 32 * (size_t)most <= h->size; column += 32 * (size_t)most) {
    mix_halves_tile(rows, most, h, first, column);
  }
  for (; column + 32 <= h->size; column += 32) mix_halves_tile(rows, 1, h, first, column);
  return column;
}

static void mix_halves(const epc_halves *h) {
  size_t column = 0;
  for (size_t r = 0; r < h->rows; r += 6) {
    switch (h->rows - r) {
      case 1: column = mix_halves_rows(1, h, r); break;
      case 2: column = mix_halves_rows(2, h, r); break;
      case 3: column = mix_halves_rows(3, h, r); break;
      case 4: column = mix_halves_rows(4, h, r); break;
      case 5: column = mix_halves_rows(5, h, r); break;
      default: column = mix_halves_rows(6, h, r); break;
    }
  }
  for (size_t r = 0; r < h->rows; r++) {
    for (size_t i = column; i < h->size; i++) {
      float sum = 0;
      for (size_t j = 0; j < h->count; j++) {
        sum += h->x[r * h->x_stride + j] * epc_real_of((uint32_t)h->halves[j * h->size + i] << 16);
      }
      h->results[r][i] = sum;
    }
  }
}

/// Adds the products of a few rows with some neighbours of bf16 rows, in 16 lanes by index of a word.
ALWAYS void add_dots(int rows, int keys, const epc_halves *h, size_t first, size_t from, const float *x,
                     lanes *all) {
  lanes sums[2][8];
  memset(sums, 0, sizeof(sums));
  const uint16_t *at = h->halves + from * h->size;
  for (size_t i = 0; i + 32 <= h->size; i += 32) {
    UNROLL for (int k = 0; k < keys; k++) {
      lanes even, odd;
      widen_pairs(at + (size_t)k * h->size + i, &even, &odd);
      if (first == 0) __builtin_prefetch(ahead_of(h, from + (size_t)k) + i * sizeof(uint16_t), 0, 3);
      UNROLL for (int r = 0; r < rows; r++) {
        const float *now = x + (size_t)r * h->size + i;
        sums[0][r * keys + k] += *(const lanes_in_memory *)now * even;
        sums[1][r * keys + k] += *(const lanes_in_memory *)(now + 16) * odd;
      }
    }
  }
  UNROLL for (int k = 0; k < rows * keys; k++) all[k] = sums[0][k] + sums[1][k];
}

/// Up to four rows, whose words have been taken apart.
ALWAYS void dot_halves_rows(int rows, const epc_halves *h, size_t first, const float *x) {
  const int keys = 8 / rows;
  size_t o = 0;
  while (o < h->count) {
    lanes sums[16];
    lanes all;
    const size_t together = TILE_VECTORS == 4 && o + 2 * (size_t)keys <= h->count ? 2 * (size_t)keys : 1;
    if (together > 1) {
      lanes parts[2][8];
      UNROLL for (int p = 0; p < 2; p++) {
        add_dots(rows, keys, h, first, o + (size_t)(p * keys), x, parts[p]);
      }
      UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int k = 0; k < 2 * keys; k++) {
          sums[r * 2 * keys + k] = parts[k / keys][r * keys + k % keys];
        }
      }
      sums_of_lanes(sums, &all);
    } else {
      add_dots(rows, 1, h, first, o, x, sums);
      UNROLL for (int r = 0; r < rows; r++) all[r] = sum_of_lanes(&sums[r]);
    }
    for (size_t r = 0; r < (size_t)rows; r++) {
      for (size_t k = 0; k < together; k++) {
        float rest = 0;
        for (size_t i = h->size / 32 * 32; i < h->size; i++) {
          rest += h->x[(first + r) * h->x_stride + i] *
                  epc_real_of((uint32_t)h->halves[(o + k) * h->size + i] << 16);
        }
        h->results[first + r][o + k] = all[r * together + k] + rest;
      }
    }
    o += together;
  }
}

static void dot_halves(const epc_halves *h) {
  for (size_t first = 0; first < h->rows;) {
    const size_t rows = h->rows - first < 4 ? 1 : 4;
    for (size_t r = 0; r < rows; r++) {
      const float *x = h->x + (first + r) * h->x_stride;
      float *to = h->room + r * h->size;
      for (size_t i = 0; i + 32 <= h->size; i += 32) {
        for (size_t k = 0; k < 16; k++) {
          to[i + k] = x[i + 2 * k];
          to[i + 16 + k] = x[i + 2 * k + 1];
        }
      }
    }
    if (rows == 4) {
      dot_halves_rows(4, h, first, h->room);
    } else {
      dot_halves_rows(1, h, first, h->room);
    }
    first += rows;
  }
}

#endif
