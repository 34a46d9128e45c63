// Products of bf16 and of bytes, for processors that have no instructions for them.
#ifndef EPC_TILES_WITHOUT_DOT_H
#define EPC_TILES_WITHOUT_DOT_H

ALWAYS float real_of(uint32_t pattern) {
  float real;
  memcpy(&real, &pattern, sizeof(real));
  return real;
}

ALWAYS void tile_bf16(int rows, int vectors, int lines, const tile *t) {
  lanes sums[EPC_ROWS][4];
  if (t->scales == NULL) {
    load_sums(rows, vectors, t, sums);
  } else {
    memset(sums, 0, sizeof(sums));
  }
  const uint32_t *x = (const uint32_t *)t->rows;
  const uint32_t *w = (const uint32_t *)t->weights;
  for (size_t k = 0; k < t->steps; k++) {
    prefetch(t, lines, k);
    UNROLL for (int v = 0; v < vectors; v++) {
      const bits pair = *(const bits_in_memory *)(w + 16 * v);
      const lanes first = (lanes)(pair << 16);
      const lanes second = (lanes)(pair & 0xffff0000u);
      UNROLL for (int r = 0; r < rows; r++) {
        sums[r][v] += real_of(x[r] << 16) * first;
        sums[r][v] += real_of(x[r] & 0xffff0000u) * second;
      }
    }
    x += rows;
    w += t->stride;
  }
  if (t->scales == NULL) {
    store_sums(rows, vectors, t, sums);
  } else {
    add_scaled(rows, vectors, t, sums);
  }
}

/// Adds the products of bytes and of one digit of the rows; both at once are too many.
ALWAYS void add_products(int rows, int vectors, int lines, int digits, const tile *t,
                         const uint32_t *x, size_t words, bits sums[][EPC_ROWS * 4]) {
  (void)digits;
  const uint32_t *w = (const uint32_t *)t->weights;
  for (size_t k = 0; k < t->steps; k++) {
    prefetch(t, lines, k);
    UNROLL for (int v = 0; v < vectors; v++) {
      const bits four = *(const bits_in_memory *)(w + 16 * v);
      UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int i = 0; i < 4; i++) {
          const uint32_t digit = (uint32_t)(int32_t)(int8_t)(x[(size_t)r * words] >> (8 * i));
          sums[0][r * 4 + v] += ((four >> (8 * i)) & 0xff) * digit;
        }
      }
    }
    x++;
    w += t->stride;
  }
}

static void expand_mxfp4(const uint8_t *group, size_t vectors, uint32_t *fours) {
  static const uint8_t twice[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
  const size_t width = 64 * vectors;
  uint8_t *bytes = (uint8_t *)fours;
  for (size_t i = 0; i < EPC_GROUP / 8; i++) {
    for (size_t j = 0; j < width; j++) {
      const uint8_t both = group[i * width + j];
      bytes[2 * i * width + j] = twice[both & 15];
      bytes[(2 * i + 1) * width + j] = twice[both >> 4];
    }
  }
}

// Without dot products everything is multiplied as reals or as words.
#define multiply_bf16 multiply_reals
#define multiply_bytes multiply_reals

#endif
