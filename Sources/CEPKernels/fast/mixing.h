// What a level brings to attention and to rows of numbers; included by tiles.h, after its types.
//
// Sums over the elements of a vector run in 16 lanes by index and are then added up in halves, so they
// do not depend on what is computed beside them.

typedef float half_lanes __attribute__((vector_size(32)));
typedef float quarter_lanes __attribute__((vector_size(16)));

ALWAYS float sum_of_lanes(const lanes *x) {
  const half_lanes half = __builtin_shufflevector(*x, *x, 0, 1, 2, 3, 4, 5, 6, 7) +
                          __builtin_shufflevector(*x, *x, 8, 9, 10, 11, 12, 13, 14, 15);
  const quarter_lanes quarter = __builtin_shufflevector(half, half, 0, 1, 2, 3) +
                                __builtin_shufflevector(half, half, 4, 5, 6, 7);
  return (quarter[0] + quarter[2]) + (quarter[1] + quarter[3]);
}

/// e to the power of each lane, to within 2 units in the last place; the method is Cephes'.
ALWAYS void exp_of_lanes(lanes *value) {
  const float magic = 12582912;
  lanes x = *value;
  const whole is_low = x < -87.0f;
  const whole is_high = x > 88.0f;
  x = (lanes)(((whole)x & ~is_low) | ((whole)((lanes){0} - 87.0f) & is_low));
  x = (lanes)(((whole)x & ~is_high) | ((whole)((lanes){0} + 88.0f) & is_high));
  const lanes shifted = x * 1.44269504088896341f + magic;
  const lanes n = shifted - magic;
  lanes r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  lanes p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const whole exponent = ((whole)shifted - (int32_t)0x4b400000) << 23;
  *value = (lanes)((whole)p + exponent);
}

/// The sums of 16 vectors, each as `sum_of_lanes` makes it.
ALWAYS void sums_of_lanes(const lanes x[16], lanes *sums) {
  lanes a[8];
  UNROLL for (int i = 0; i < 8; i++) {
    const lanes low = __builtin_shufflevector(x[2 * i], x[2 * i + 1], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17,
                                              18, 19, 20, 21, 22, 23);
    const lanes high = __builtin_shufflevector(x[2 * i], x[2 * i + 1], 8, 9, 10, 11, 12, 13, 14, 15,
                                               24, 25, 26, 27, 28, 29, 30, 31);
    a[i] = low + high;
  }
  lanes b[4];
  UNROLL for (int i = 0; i < 4; i++) {
    const lanes low = __builtin_shufflevector(a[2 * i], a[2 * i + 1], 0, 1, 2, 3, 8, 9, 10, 11, 16, 17,
                                              18, 19, 24, 25, 26, 27);
    const lanes high = __builtin_shufflevector(a[2 * i], a[2 * i + 1], 4, 5, 6, 7, 12, 13, 14, 15, 20,
                                               21, 22, 23, 28, 29, 30, 31);
    b[i] = low + high;
  }
  lanes c[2];
  UNROLL for (int i = 0; i < 2; i++) {
    const lanes low = __builtin_shufflevector(b[2 * i], b[2 * i + 1], 0, 1, 4, 5, 8, 9, 12, 13, 16, 17,
                                              20, 21, 24, 25, 28, 29);
    const lanes high = __builtin_shufflevector(b[2 * i], b[2 * i + 1], 2, 3, 6, 7, 10, 11, 14, 15, 18,
                                               19, 22, 23, 26, 27, 30, 31);
    c[i] = low + high;
  }
  const lanes even = __builtin_shufflevector(c[0], c[1], 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24,
                                             26, 28, 30);
  const lanes odd = __builtin_shufflevector(c[0], c[1], 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25,
                                            27, 29, 31);
  *sums = even + odd;
}

/// Keys that all queries meet before the next, which are asked for meanwhile.
enum { SCORED_KEYS = 32 };

/// Dot products of a few queries with a few keys, at most 16 of them, over two parts of each.
ALWAYS void scores_of(int rows, int keys, const epc_scores *s, size_t first, size_t from) {
  lanes sums[16];
  float rest[16] = {0};
  memset(sums, 0, sizeof(sums));
  for (int part = 0; part < 2; part++) {
    const size_t n = s->sizes[part];
    const size_t stride = s->key_strides[part];
    const float *key = s->keys[part] + from * stride;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
      lanes q[4];
      UNROLL for (int r = 0; r < rows; r++) {
        q[r] = *(const lanes_in_memory *)(s->queries[part][first + (size_t)r] + i);
      }
      UNROLL for (int j = 0; j < keys; j++) {
        const float *at = key + (size_t)j * stride + i;
        const lanes k = *(const lanes_in_memory *)at;
        if (first == 0) __builtin_prefetch(at + SCORED_KEYS * stride, 0, 3);
        UNROLL for (int r = 0; r < rows; r++) sums[r * keys + j] += q[r] * k;
      }
    }
    // Kept in memory: registers are for the sums above.
    IN_TURN for (int k = 0; i < n && k < rows * keys; k++) {
      const float *query = s->queries[part][first + (size_t)(k / keys)];
      for (size_t e = i; e < n; e++) rest[k] += query[e] * key[(size_t)(k % keys) * stride + e];
    }
  }
  lanes all = {0};
  if (rows * keys > 4) {
    sums_of_lanes(sums, &all);
  } else {
    UNROLL for (int k = 0; k < rows * keys; k++) all[k] = sum_of_lanes(&sums[k]);
  }
  all = s->scale * (all + *(const lanes_in_memory *)rest);
  UNROLL for (int r = 0; r < rows; r++) {
    float *scores = s->scores + (first + (size_t)r) * s->stride + from - s->from;
    UNROLL for (int j = 0; j < keys; j++) scores[j] = all[r * keys + j];
  }
}

/// The same with all keys of a range: as many at a time as registers hold sums for.
ALWAYS void scores_of_rows(int rows, const epc_scores *s, size_t first, size_t j, size_t to) {
  const int keys = TILE_VECTORS == 4 ? rows == 1 ? 16 : rows == 2 ? 8 : 4 : 1;
  for (; j + (size_t)keys <= to; j += (size_t)keys) scores_of(rows, keys, s, first, j);
  for (; j < to; j++) scores_of(rows, 1, s, first, j);
}

static void scores(const epc_scores *s) {
  for (size_t from = s->from; from < s->to; from += SCORED_KEYS) {
    const size_t to = s->to - from < SCORED_KEYS ? s->to : from + SCORED_KEYS;
    size_t r = 0;
    for (; r + 4 <= s->rows; r += 4) scores_of_rows(4, s, r, from, to);
    switch (s->rows - r) {
      case 1: scores_of_rows(1, s, r, from, to); break;
      case 2: scores_of_rows(2, s, r, from, to); break;
      case 3: scores_of_rows(3, s, r, from, to); break;
      default: break;
    }
  }
}

ALWAYS void mix_tile(int rows, int vectors, const epc_mixture *m, size_t first, size_t column) {
  lanes sums[6][4];
  memset(sums, 0, sizeof(sums));
  const float *value = m->values + column;
  for (size_t j = 0; j < m->count; j++) {
    lanes v[4];
    UNROLL for (int i = 0; i < vectors; i++) {
      v[i] = *(const lanes_in_memory *)(value + j * m->value_stride + 16 * i);
    }
    UNROLL for (int r = 0; r < rows; r++) {
      const float weight = m->weights[(first + (size_t)r) * m->weight_stride + j];
      UNROLL for (int i = 0; i < vectors; i++) sums[r][i] += weight * v[i];
    }
  }
  UNROLL for (int r = 0; r < rows; r++) {
    UNROLL for (int i = 0; i < vectors; i++) {
      *(lanes_in_memory *)(m->results[first + (size_t)r] + column + 16 * i) = sums[r][i];
    }
  }
}

/// The elements that do not fill a vector.
ALWAYS void mix_rest(const epc_mixture *m, size_t column) {
  for (size_t r = 0; r < m->rows; r++) {
    for (size_t i = column; i < m->size; i++) {
      float sum = 0;
      for (size_t j = 0; j < m->count; j++) {
        sum += m->weights[r * m->weight_stride + j] * m->values[j * m->value_stride + i];
      }
      m->results[r][i] = sum;
    }
  }
}

static void mix(const epc_mixture *m) {
  size_t column = 0;
  while (column + 16 <= m->size) {
    const bool is_wide = TILE_VECTORS == 4 && column + 64 <= m->size;
    for (size_t r = 0; r < m->rows; r += 6) {
      const size_t rows = m->rows - r < 6 ? m->rows - r : 6;
      if (is_wide) {
        switch (rows) {
          case 1: mix_tile(1, 4, m, r, column); break;
          case 2: mix_tile(2, 4, m, r, column); break;
          case 3: mix_tile(3, 4, m, r, column); break;
          case 4: mix_tile(4, 4, m, r, column); break;
          case 5: mix_tile(5, 4, m, r, column); break;
          default: mix_tile(6, 4, m, r, column); break;
        }
      } else {
        switch (rows) {
          case 1: mix_tile(1, 1, m, r, column); break;
          case 2: mix_tile(2, 1, m, r, column); break;
          case 3: mix_tile(3, 1, m, r, column); break;
          case 4: mix_tile(4, 1, m, r, column); break;
          case 5: mix_tile(5, 1, m, r, column); break;
          default: mix_tile(6, 1, m, r, column); break;
        }
      }
    }
    column += is_wide ? 64 : 16;
  }
  if (column < m->size) mix_rest(m, column);
}

static void widen(const uint16_t *x, size_t count, float *y) {
  for (size_t i = 0; i < count; i++) {
    // What is read next is asked for: there is little work between.
    if (i % 32 == 0) __builtin_prefetch(x + i + 2048, 0, 3);
    y[i] = epc_real_of((uint32_t)x[i] << 16);
  }
}

/// The largest of some numbers and one more.
ALWAYS float largest(const float *x, size_t count, float most) {
  lanes all = (lanes){0} + most;
  size_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const lanes now = *(const lanes_in_memory *)(x + i);
    const whole is_more = now > all;
    all = (lanes)(((whole)now & is_more) | ((whole)all & ~is_more));
  }
  for (int k = 0; k < 16; k++) most = all[k] > most ? all[k] : most;
  for (; i < count; i++) most = x[i] > most ? x[i] : most;
  return most;
}

static void softmax(float *x, size_t count, const float *sink) {
  float most = largest(x, count, sink != NULL ? *sink : -__builtin_inff());
  if (most == -__builtin_inff()) most = 0;
  lanes sums = {0};
  for (size_t i = 0; i < count; i += 16) {
    const size_t left = count - i < 16 ? count - i : 16;
    float part[16];
    for (size_t k = 0; k < 16; k++) part[k] = -__builtin_inff();
    memcpy(part, x + i, left * sizeof(float));
    lanes now = *(lanes_in_memory *)part - most;
    const whole is_out = now == -__builtin_inff();
    exp_of_lanes(&now);
    // What is masked weighs nothing at all.
    now = (lanes)((whole)now & ~is_out);
    sums += now;
    memcpy(part, &now, sizeof(part));
    memcpy(x + i, part, left * sizeof(float));
  }
  float sum = sum_of_lanes(&sums);
  if (sink != NULL) {
    lanes last = (lanes){0} + (*sink - most);
    exp_of_lanes(&last);
    sum += last[0];
  }
  const float factor = sum > 0 ? 1 / sum : 0;
  for (size_t i = 0; i < count; i++) x[i] *= factor;
}

static float weigh(float *x, size_t count, float *most, float *sum) {
  const float now = largest(x, count, *most);
  lanes sums = {0};
  for (size_t i = 0; i < count; i += 16) {
    const size_t left = count - i < 16 ? count - i : 16;
    float part[16];
    for (size_t k = left; k < 16; k++) part[k] = -__builtin_inff();
    memcpy(part, x + i, left * sizeof(float));
    lanes weight = *(lanes_in_memory *)part - now;
    const whole is_out = weight == -__builtin_inff();
    exp_of_lanes(&weight);
    weight = (lanes)((whole)weight & ~is_out);
    sums += weight;
    memcpy(part, &weight, sizeof(part));
    memcpy(x + i, part, left * sizeof(float));
  }
  lanes change = (lanes){0} + (*most - now);
  exp_of_lanes(&change);
  const float factor = *most == -__builtin_inff() ? 0 : change[0];
  *sum = *sum * factor + sum_of_lanes(&sums);
  *most = now;
  return factor;
}

/// What a gate lets through of 16 elements.
ALWAYS void gate_lanes(const epc_glu *glu, const float *gate, const float *up, float *y) {
  lanes g = *(const lanes_in_memory *)gate;
  lanes u = *(const lanes_in_memory *)up;
  const float slope = glu->has_slope ? (float)glu->slope : 1;
  if (glu->has_limit) {
    const float limit = (float)glu->limit;
    const lanes high = (lanes){0} + limit;
    const whole is_high = g > high;
    const whole is_up_high = u > high;
    const whole is_up_low = u < -high;
    g = (lanes)(((whole)g & ~is_high) | ((whole)high & is_high));
    u = (lanes)(((whole)u & ~is_up_high) | ((whole)high & is_up_high));
    u = (lanes)(((whole)u & ~is_up_low) | ((whole)-high & is_up_low));
  }
  lanes e = g * -slope;
  exp_of_lanes(&e);
  *(lanes_in_memory *)y = g / (e + 1.0f) * (u + (float)glu->up_offset);
}

static void glu(const epc_glu *glu, const float *gate, const float *up, size_t count, float *y) {
  size_t i = 0;
  for (; i + 16 <= count; i += 16) gate_lanes(glu, gate + i, up + i, y + i);
  if (i == count) return;
  float parts[2][16] = {{0}};
  memcpy(parts[0], gate + i, (count - i) * sizeof(float));
  memcpy(parts[1], up + i, (count - i) * sizeof(float));
  gate_lanes(glu, parts[0], parts[1], parts[0]);
  memcpy(y + i, parts[0], (count - i) * sizeof(float));
}

static void add_rows(const float *const *rows, const float *weights, size_t count, bool is_first,
                     size_t width, float *y) {
  size_t i = 0;
  for (; i + 16 <= width; i += 16) {
    lanes sum = is_first ? (lanes){0} : (lanes)*(const lanes_in_memory *)(y + i);
    for (size_t k = 0; k < count; k++) {
      sum += weights[k] * (lanes)*(const lanes_in_memory *)(rows[k] + i);
    }
    *(lanes_in_memory *)(y + i) = sum;
  }
  for (; i < width; i++) {
    float sum = is_first ? 0 : y[i];
    for (size_t k = 0; k < count; k++) sum += weights[k] * rows[k][i];
    y[i] = sum;
  }
}

static void norm(epc_norm_form form, const float *x, size_t n, double epsilon, const float *weight,
                 float weight_offset, const float *bias, const float *squares, size_t count,
                 float *y) {
  float mean = 0;
  lanes sums = {0};
  size_t i = 0;
  if (form == EPC_NORM_LAYER) {
    float rest = 0;
    for (; i + 16 <= n; i += 16) sums += *(const lanes_in_memory *)(x + i);
    for (; i < n; i++) rest += x[i];
    mean = (sum_of_lanes(&sums) + rest) / (float)n;
    sums = (lanes){0};
  }
  float rest = 0;
  for (i = 0; i + 16 <= n; i += 16) {
    const lanes off = *(const lanes_in_memory *)(x + i) - mean;
    sums += off * off;
  }
  for (; i < n; i++) rest += (x[i] - mean) * (x[i] - mean);
  const double sum = squares != NULL ? (double)*squares : (double)(sum_of_lanes(&sums) + rest);
  const double over = form == EPC_NORM_L2 ? 1 : (double)(squares != NULL ? count : n);
  const float factor = (float)(1 / __builtin_sqrt(sum / over + epsilon));
  for (i = 0; i < n; i++) {
    float value = (x[i] - mean) * factor;
    if (weight != NULL) value *= weight[i] + weight_offset;
    if (bias != NULL) value += bias[i];
    y[i] = value;
  }
}

/// The new state of one head after one token, and what it reads of it. `added` is room for a value.
static void recur(const epc_recurrence *r, float *state, float *added, float *y) {
  const size_t n = r->key_size;
  const size_t m = r->value_size;
  memcpy(added, r->value, m * sizeof(float));
  for (size_t i = 0; i < n; i++) {
    float *s = state + i * m;
    const float keep = r->decay == NULL ? 1 : r->decay[r->decay_size > 1 ? i : 0];
    const float key = r->delta ? r->key[i] : 0;
    for (size_t j = 0; j < m; j++) {
      s[j] *= keep;
      added[j] -= key * s[j];
    }
  }
  for (size_t j = 0; j < m; j++) {
    added[j] *= r->beta;
    y[j] = 0;
  }
  for (size_t i = 0; i < n; i++) {
    float *s = state + i * m;
    for (size_t j = 0; j < m; j++) {
      s[j] += r->key[i] * added[j];
      y[j] += r->query[i] * s[j];
    }
  }
  for (size_t j = 0; j < m; j++) y[j] *= r->scale;
}

/// As many products as registers allow, for a while: the rate that kernels are measured by.
static double multiply_reals(size_t steps) {
  lanes sums[3 * TILE_VECTORS + 2];
  const lanes factor = (lanes){0} + 0.999f;
  UNROLL for (int i = 0; i < 3 * TILE_VECTORS + 2; i++) sums[i] = (lanes){0} + (float)i;
  for (size_t k = 0; k < steps; k++) {
    UNROLL for (int i = 0; i < 3 * TILE_VECTORS + 2; i++) sums[i] = sums[i] * factor + 0.5f;
    // Without this the loop would be made shorter.
    __asm__ volatile("" ::: "memory");
  }
  float kept = 0;
  UNROLL for (int i = 0; i < 3 * TILE_VECTORS + 2; i++) kept += sums[i][0];
  return kept > -1 ? 32.0 * (3 * TILE_VECTORS + 2) * (double)steps : 0;
}
