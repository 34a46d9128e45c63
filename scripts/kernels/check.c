// Every fast kernel against the reference: random shapes, row counts and odd sizes, all formats and all
// levels that this machine has, or that of EPC_CPU_LEVEL. `scripts/check-kernels` builds it with
// AddressSanitizer and runs it.
//
// Loads of vectors and tiles are not all seen by a sanitizer, so operands end where a page begins that
// may not be touched.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "epc_fast.h"

static uint64_t state;

static uint32_t next_random(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33);
}

static size_t below(size_t count) { return next_random() % count; }

static float number(void) { return (float)(next_random() & 0xffff) / 32768 - 1; }

// MARK: Memory

enum { MOST = 64 };
static struct {
  char *base;
  size_t bytes;
} taken[MOST];
static size_t count_taken;

/// Memory that ends, up to a multiple of 4 bytes, where a page begins that may not be touched.
static void *take(size_t bytes) {
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  const size_t whole = (bytes + page - 1) / page * page + page;
  char *base = mmap(NULL, whole + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED || count_taken == MOST || mprotect(base + whole, page, PROT_NONE) != 0) {
    perror("memory");
    exit(1);
  }
  taken[count_taken].base = base;
  taken[count_taken++].bytes = whole + page;
  return base + (whole - (bytes + 3) / 4 * 4);
}

/// The same for memory that kernels want aligned.
static void *take_aligned(size_t bytes) { return take((bytes + 63) / 64 * 64); }

static void give_all_back(void) {
  while (count_taken > 0) {
    count_taken--;
    munmap(taken[count_taken].base, taken[count_taken].bytes);
  }
}

static float *numbers(size_t count, float factor) {
  float *x = take(count * sizeof(float));
  for (size_t i = 0; i < count; i++) x[i] = number() * factor;
  return x;
}

static float *room(size_t count) {
  float *x = take(count * sizeof(float));
  for (size_t i = 0; i < count; i++) x[i] = NAN;
  return x;
}

static float *copied(const float *x, size_t count) {
  float *y = take(count * sizeof(float));
  memcpy(y, x, count * sizeof(float));
  return y;
}

// MARK: Comparing

static const char *const level_names[] = {"portable", "avx2", "avx512", "vnni", "amx"};
/// The first level that is checked.
static epc_level lowest = EPC_LEVEL_PORTABLE;
static const char *const format_names[] = {"fp32", "bf16", "int8", "fp8", "mxfp4"};
static size_t compared;
static size_t failures;
/// The largest difference seen, as a share of its bound, by name.
static struct {
  const char *name;
  double share;
  size_t cases;
} seen[32];

static void compare(const char *name, const char *format, epc_level level, const float *made,
                    const float *expected, size_t count, double bound) {
  double worst = 0;
  for (size_t i = 0; i < count; i++) {
    const double off = fabs((double)made[i] - (double)expected[i]);
    if (!(off <= worst)) worst = off;
  }
  compared++;
  size_t k = 0;
  while (seen[k].name != NULL && strcmp(seen[k].name, name) != 0) k++;
  seen[k].name = name;
  seen[k].cases++;
  if (worst / bound > seen[k].share) seen[k].share = worst / bound;
  if (!(worst <= bound)) {
    failures++;
    printf("%s %s at %s: off by %g, bound %g\n", name, format, level_names[level], worst, bound);
  }
}

static void same(const char *name, epc_level level, const float *a, const float *b, size_t count) {
  compared++;
  if (memcmp(a, b, count * sizeof(float)) != 0) {
    failures++;
    printf("%s at %s: depends on the threads\n", name, level_names[level]);
  }
}

// MARK: Cases

static void check_linear(epc_pool *pools[2], epc_level best) {
  static const size_t row_counts[] = {0, 1, 2, 3, 5, 6, 7, 13, 16, 17, 31, 32, 33, 48, 70, 300};
  const size_t out = 1 + below(200);
  const size_t in = 1 + below(below(4) == 0 ? 2200 : 300);
  const size_t batch = below(4) == 0 ? 2 : 1;
  const size_t groups = below(2) == 0 ? 1 : 2 + below(4);
  // Now and then many rows of many inputs.
  const bool is_large = groups == 1 && below(8) == 0;
  int32_t *ends = take(groups * sizeof(int32_t));
  size_t rows = is_large ? 250 : 0;
  for (size_t g = 0; g < groups; g++) {
    rows += row_counts[below(in > 300 && !is_large ? 10 : 16)];
    ends[g] = (int32_t)rows;
  }
  const size_t matrices = groups * batch;
  // Activations may be small.
  const float size = below(3) == 0 ? 1e-5f : 1;
  const float *x = numbers(rows * batch * in, size);
  const float *weight = numbers(matrices * out * in, 1);
  const float *bias = below(2) == 0 ? NULL : numbers(matrices * out, size);
  int32_t *index = below(4) > 0 ? NULL : take(batch * in * sizeof(int32_t));
  for (size_t i = 0; index != NULL && i < batch * in; i++) index[i] = (int32_t)below(batch * in);
  float *unpacked = room(matrices * out * in);
  float *expected = room(rows * batch * out);
  for (int f = 0; f < 5; f++) {
    const epc_format format = (epc_format)f;
    const size_t bytes = epc_packed_bytes(format, out, in);
    char *packed = take_aligned(matrices * bytes);
    for (size_t m = 0; m < matrices; m++) {
      epc_pack(format, weight + m * out * in, out, in, 0, epc_packed_panels(out), packed + m * bytes);
      epc_unpack(format, packed + m * bytes, out, in, unpacked + m * out * in);
    }
    epc_ref_linear(x, index, unpacked, bias, rows, batch, out, in, groups > 1 ? ends : NULL, groups,
                   expected);
    const epc_linear linear = {
        .format = format,
        .batch = batch,
        .out = out,
        .in = in,
        .weights = packed,
        .bias = bias,
        .group_ends = groups > 1 ? ends : NULL,
        .groups = groups,
    };
    for (int level = (int)lowest; level <= (int)best; level++) {
      // By how activations are rounded: not at all, to bf16, or to 16 bits.
      const bool is_bf16 = f == 1 || f == 3 || (f == 4 && level == EPC_LEVEL_AMX);
      const double unit = f == 0 ? 2e-6 : is_bf16 ? 8e-3 : 1e-4;
      float *made[2];
      for (int p = 0; p < 2; p++) {
        made[p] = room(rows * batch * out);
        void *scratch = take(epc_linear_scratch(&linear, rows));
        if (!epc_linear_run(pools[p], (epc_level)level, &linear, x, index, rows, scratch, made[p])) {
          failures++;
        }
      }
      compare("linear", format_names[f], (epc_level)level, made[0], expected, rows * batch * out,
              unit * (double)size * (1 + sqrt((double)in)));
      same("linear", (epc_level)level, made[0], made[1], rows * batch * out);
      // Results of former levels are no longer needed.
      for (int i = 0; i < 4; i++) {
        count_taken--;
        munmap(taken[count_taken].base, taken[count_taken].bytes);
      }
    }
    count_taken--;
    munmap(taken[count_taken].base, taken[count_taken].bytes);
  }
}

/// The packed matrices of all slots.
static char *packed_matrices(epc_format format, size_t slots, size_t out, size_t in) {
  const size_t bytes = epc_packed_bytes(format, out, in);
  char *packed = take_aligned(slots * bytes);
  const float *weight = numbers(slots * out * in, 1 / sqrtf((float)in));
  for (size_t s = 0; s < slots; s++) {
    epc_pack(format, weight + s * out * in, out, in, 0, epc_packed_panels(out), packed + s * bytes);
  }
  return packed;
}

static void multiply(epc_pool *pool, epc_level level, const epc_experts *e, const void *weights,
                     const float *bias, size_t out, size_t in, const float *x, size_t rows, float *y) {
  const epc_linear linear = {.format = e->format, .batch = 1, .out = out, .in = in, .weights = weights,
                             .bias = bias, .group_ends = e->ends, .groups = e->slots};
  if (!epc_linear_run(pool, level, &linear, x, NULL, rows, take(epc_linear_scratch(&linear, rows)), y)) {
    failures++;
  }
}

/// Layers of experts are their products one after the other, to the last bit; sums of what they return
/// are near the reference's.
static void check_experts(epc_pool *pools[2], epc_level best) {
  static const size_t row_counts[] = {0, 0, 1, 1, 2, 3, 6, 7, 16, 17, 33, 70, 270};
  const size_t tokens = 1 + below(40);
  epc_experts e = {.format = (epc_format)below(5),
                   .width = 1 + below(200),
                   .hidden = 1 + below(300),
                   .slots = 1 + below(6)};
  e.glu = (epc_glu){.activation = below(3) == 0 ? EPC_GELU : EPC_SILU,
                    .has_limit = below(3) == 0,
                    .limit = 0.8,
                    .has_slope = below(3) == 0,
                    .slope = 1.7,
                    .up_offset = (double)below(2)};
  int32_t *ends = take(e.slots * sizeof(int32_t));
  size_t rows = 0;
  for (size_t s = 0; s < e.slots; s++) {
    rows += row_counts[below(13)];
    ends[s] = (int32_t)rows;
  }
  e.ends = ends;
  int32_t *sources = take(rows * sizeof(int32_t));
  for (size_t r = 0; r < rows; r++) sources[r] = (int32_t)below(tokens);
  const float *x = numbers(tokens * e.width, 1);
  const bool has_bias = below(2) == 0;
  e.gate = packed_matrices(e.format, e.slots, e.hidden, e.width);
  e.up = packed_matrices(e.format, e.slots, e.hidden, e.width);
  e.down = packed_matrices(e.format, e.slots, e.width, e.hidden);
  e.gate_bias = has_bias ? numbers(e.slots * e.hidden, 1) : NULL;
  e.up_bias = has_bias ? numbers(e.slots * e.hidden, 1) : NULL;
  e.down_bias = has_bias ? numbers(e.slots * e.width, 1) : NULL;
  float *gathered = room(rows * e.width);
  epc_ref_pack(x, e.width, sources, NULL, rows, gathered);
  const size_t kept = count_taken;
  for (int l = (int)lowest; l <= (int)best; l++) {
    const epc_level level = (epc_level)l;
    float *gate = room(rows * e.hidden);
    float *up = room(rows * e.hidden);
    float *expected = room(rows * e.width);
    multiply(pools[1], level, &e, e.gate, e.gate_bias, e.hidden, e.width, gathered, rows, gate);
    multiply(pools[1], level, &e, e.up, e.up_bias, e.hidden, e.width, gathered, rows, up);
    epc_glu_run(level, &e.glu, gate, up, rows * e.hidden, gate);
    multiply(pools[1], level, &e, e.down, e.down_bias, e.width, e.hidden, gate, rows, expected);
    for (int p = 0; p < 4; p++) {
      const size_t threads = epc_pool_threads(pools[p % 2]);
      e.sources = p < 2 ? sources : NULL;
      float *made = room(rows * e.width);
      void *scratch = take(epc_experts_scratch(&e, rows, threads));
      if (!epc_experts_run(pools[p % 2], level, &e, p < 2 ? x : gathered, rows, scratch, made)) {
        failures++;
      }
      same("experts, products one by one", level, made, expected, rows * e.width);
    }
    while (count_taken > kept) {
      count_taken--;
      munmap(taken[count_taken].base, taken[count_taken].bytes);
    }
  }
}

static void check_combination(epc_pool *pools[2], epc_level best) {
  epc_combination c = {.experts = 1 + below(9),
                       .unweighted = below(4) == 0,
                       .rows = 1 + below(200),
                       .top_k = 1 + below(40),
                       .width = 1 + below(150)};
  const size_t returned = 1 + below(100);
  int32_t *places = take(c.rows * c.top_k * sizeof(int32_t));
  int32_t *indices = take(c.rows * c.top_k * sizeof(int32_t));
  for (size_t i = 0; i < c.rows * c.top_k; i++) {
    places[i] = (int32_t)below(returned);
    // Some go nowhere, some to experts that hand on what they get.
    indices[i] = (int32_t)below(c.experts + 2) - (below(5) == 0 ? 1 : 0);
  }
  c.places = places;
  c.indices = indices;
  c.returned = numbers(returned * c.width, 1);
  c.weights = numbers(c.rows * c.top_k, 1 / sqrtf((float)c.top_k));
  c.identity = below(2) == 0 ? NULL : numbers(c.rows * c.width, 1);
  float *expected = room(c.rows * c.width);
  double *scratch = malloc(c.width * sizeof(double));
  epc_ref_combine(c.returned, places, indices, c.weights, c.identity, c.experts, c.unweighted, c.rows,
                  c.top_k, c.width, scratch, expected);
  free(scratch);
  for (int l = (int)lowest; l <= (int)best; l++) {
    float *made[2];
    for (int p = 0; p < 2; p++) {
      made[p] = room(c.rows * c.width);
      epc_combine_run(pools[p], (epc_level)l, &c, made[p]);
    }
    compare("combine", "", (epc_level)l, made[0], expected, c.rows * c.width, 1e-6 * (double)c.top_k);
    same("combine", (epc_level)l, made[0], made[1], c.rows * c.width);
  }
}

static void check_attention(epc_pool *pools[2], epc_level best) {
  static const size_t row_counts[] = {1, 2, 5, 31, 32, 49, 90, 130};
  epc_attention a = {.key_heads = 1 + below(3)};
  a.heads = a.key_heads * (1 + below(5));
  a.key_size = 1 + below(140);
  a.value_size = 1 + below(140);
  a.scale = 1 / sqrt((double)a.key_size);
  const size_t rows = row_counts[below(8)];
  const size_t first = below(3) == 0 ? 0 : below(600);
  const size_t end = first + rows;
  switch (below(5)) {
    case 0: a.window = 1 + below(100); break;
    case 1: a.chunk = 1 + below(100); break;
    case 2: a.softcap = 2.5; break;
    case 3: a.selected = 4; break;
    default: break;
  }
  const float *query = numbers(rows * a.heads * a.key_size, 1);
  const float *keys = numbers(end * a.key_heads * a.key_size, 1);
  const float *values = numbers(end * a.key_heads * a.value_size, 1);
  const float *sinks = below(2) == 0 ? NULL : numbers(a.heads, 1);
  int32_t *selection = a.selected == 0 ? NULL : take(rows * 4 * sizeof(int32_t));
  for (size_t i = 0; selection != NULL && i < rows * 4; i++) {
    selection[i] = i % 4 == 0 ? 0 : (int32_t)below(end + 1) - 1;
  }
  const size_t count = rows * a.heads * a.value_size;
  float *expected = room(count);
  double *scratch = take(end * sizeof(double) + 8);
  scratch = (double *)((uintptr_t)scratch / 8 * 8);
  epc_ref_attention(&a, query, rows, first, keys, values, sinks, selection, scratch, expected);
  for (int level = (int)lowest; level <= (int)best; level++) {
    float *made[2];
    for (int p = 0; p < 2; p++) {
      made[p] = room(count);
      const epc_span span = {.rows = rows,
                             .first_position = first,
                             .query = query,
                             .keys = keys,
                             .others = values,
                             .selection = selection,
                             .y = made[p]};
      if (!epc_attention_run(pools[p], (epc_level)level, &a, sinks, &span, 1)) failures++;
    }
    compare("attention", "", (epc_level)level, made[0], expected, count, 1e-6);
    same("attention", (epc_level)level, made[0], made[1], count);
  }
}

static void check_latent(epc_pool *pools[2], epc_level best) {
  static const size_t row_counts[] = {1, 2, 5, 31, 32, 49, 90, 130};
  epc_latent_attention a = {.heads = 1 + below(9),
                            .key_size = 1 + below(80),
                            .rope_size = 1 + below(40),
                            .value_size = 1 + below(140),
                            .rank = 1 + below(160)};
  a.scale = 1 / sqrt((double)(a.key_size + a.rope_size)) / 3;
  a.selected = below(4) == 0 ? 3 : 0;
  const size_t rows = row_counts[below(8)];
  const size_t first = below(3) == 0 ? 0 : below(600);
  const size_t end = first + rows;
  const float *query = numbers(rows * a.heads * a.key_size, 1);
  const float *query_rope = numbers(rows * a.heads * a.rope_size, 1);
  const float *latents = numbers(end * a.rank, 1);
  const float *keys = numbers(end * a.rope_size, 1);
  const size_t ups = a.heads * (a.key_size + a.value_size) * a.rank;
  float *up = numbers(ups, 0.15f);
  uint16_t *halves = below(2) == 0 ? NULL : take(ups * sizeof(uint16_t));
  for (size_t i = 0; halves != NULL && i < ups; i++) {
    const float rounded = up[i];
    uint32_t bits;
    memcpy(&bits, &rounded, sizeof(bits));
    halves[i] = (uint16_t)(bits >> 16);
    bits &= 0xffff0000;
    memcpy(up + i, &bits, sizeof(bits));
  }
  int32_t *selection = a.selected == 0 ? NULL : take(rows * 3 * sizeof(int32_t));
  for (size_t i = 0; selection != NULL && i < rows * 3; i++) {
    selection[i] = i % 3 == 0 ? 0 : (int32_t)below(end + 1) - 1;
  }
  const size_t count = rows * a.heads * a.value_size;
  float *expected = room(count);
  double *scratch = take((end + 2 * a.rank) * sizeof(double) + 8);
  scratch = (double *)((uintptr_t)scratch / 8 * 8);
  epc_ref_latent_attention(&a, query, query_rope, rows, first, latents, keys, up, selection, scratch,
                           expected);
  for (int level = (int)lowest; level <= (int)best; level++) {
    float *made[2];
    for (int p = 0; p < 2; p++) {
      made[p] = room(count);
      // The same rows as two sequences, of which the second is what follows, give the same.
      const size_t cut = p == 0 || rows >= 32 ? 0 : rows / 2;
      epc_span spans[2];
      for (int i = 0; i < 2; i++) {
        const size_t at = i == 0 ? 0 : cut;
        spans[i] = (epc_span){.rows = i == 0 ? cut : rows - cut,
                              .first_position = first + at,
                              .query = query + at * a.heads * a.key_size,
                              .query_rope = query_rope + at * a.heads * a.rope_size,
                              .keys = latents,
                              .others = keys,
                              .selection = selection == NULL ? NULL : selection + at * 3,
                              .y = made[p] + at * a.heads * a.value_size};
      }
      const epc_span *from = spans + (cut == 0);
      const size_t spans_run = cut == 0 ? 1 : 2;
      const epc_latent_up ups_now = {.reals = halves == NULL ? up : NULL, .halves = halves};
      void *room_for = take(epc_latent_attention_scratch(&a, from, spans_run));
      if (!epc_latent_attention_run(pools[p], (epc_level)level, &a, ups_now, from, spans_run,
                                    room_for)) {
        failures++;
      }
    }
    compare("latent attention", "", (epc_level)level, made[0], expected, count, 1e-6);
    same("latent attention", (epc_level)level, made[0], made[1], count);
  }
}

static void check_linear_attention(epc_pool *pools[2], epc_level best) {
  epc_linear_attention a = {.key_heads = 1 + below(3),
                            .key_size = 1 + below(40),
                            .value_size = 1 + below(70),
                            .delta = below(2) == 0,
                            .decay_has_rows = below(2) == 0};
  a.heads = a.key_heads * (1 + below(4));
  a.scale = 1 / sqrt((double)a.key_size);
  a.decay_size = below(3) == 0 ? 0 : below(2) == 0 ? 1 : a.key_size;
  const size_t rows = 1 + below(40);
  const float unit = 1 / sqrtf((float)a.key_size);
  const float *query = numbers(rows * a.key_heads * a.key_size, unit);
  const float *key = numbers(rows * a.key_heads * a.key_size, unit);
  const float *value = numbers(rows * a.heads * a.value_size, 1);
  float *decay = a.decay_size == 0
                     ? NULL
                     : numbers((a.decay_has_rows ? rows : 1) * a.heads * a.decay_size, 1);
  for (size_t i = 0; decay != NULL && i < (a.decay_has_rows ? rows : 1) * a.heads * a.decay_size;
       i++) {
    decay[i] = -fabsf(decay[i]);
  }
  float *beta = below(2) == 0 ? NULL : numbers(rows * a.heads, 1);
  for (size_t i = 0; beta != NULL && i < rows * a.heads; i++) beta[i] = fabsf(beta[i]);
  const size_t size = a.heads * a.key_size * a.value_size;
  const size_t count = rows * a.heads * a.value_size;
  const float *before = numbers(size, 1);
  float *expected_state = copied(before, size);
  float *expected = room(count);
  epc_ref_linear_attention(&a, query, key, value, decay, beta, rows, expected_state, expected);
  for (int level = (int)lowest; level <= (int)best; level++) {
    float *made[2];
    float *states[2];
    for (int p = 0; p < 2; p++) {
      made[p] = room(count);
      states[p] = copied(before, size);
      if (!epc_linear_attention_run(pools[p], (epc_level)level, &a, query, key, value, decay, beta,
                                    rows, states[p], made[p])) {
        failures++;
      }
    }
    compare("linear attention", "", (epc_level)level, made[0], expected, count, 4e-6);
    compare("linear attention", "state", (epc_level)level, states[0], expected_state, size, 4e-6);
    same("linear attention", (epc_level)level, made[0], made[1], count);
  }
}

static void check_rows(epc_level best) {
  const size_t vectors = 1 + below(5);
  const size_t n = 1 + below(200);
  const size_t count = vectors * n;
  const float *x = numbers(count, 2);
  const float *other = numbers(count, 2);
  const float *weight = below(2) == 0 ? NULL : numbers(n, 1);
  const float *bias = below(2) == 0 ? NULL : numbers(n, 1);
  float *expected = room(count);
  float *made = room(count);
  const epc_norm_form form = (epc_norm_form)below(3);
  const epc_glu glu = {.activation = EPC_SILU,
                       .has_limit = below(2) == 0,
                       .limit = 0.8,
                       .has_slope = below(2) == 0,
                       .slope = 1.7,
                       .up_offset = (double)below(2)};
  for (int l = (int)lowest; l <= (int)best; l++) {
    const epc_level level = (epc_level)l;
    epc_ref_norm(form, x, vectors, n, 1e-5, weight, 0.5, bias, NULL, n, expected);
    epc_norm_run(level, form, x, vectors, n, 1e-5, weight, 0.5, bias, NULL, n, made);
    compare("norm", "", level, made, expected, count, 2e-6);
    epc_ref_glu(&glu, x, other, count, expected);
    epc_glu_run(level, &glu, x, other, count, made);
    compare("glu", "", level, made, expected, count, 2e-6);
  }
  const size_t rotated = n / 2 * 2;
  if (rotated == 0) return;
  double *frequencies = malloc(rotated / 2 * sizeof(double));
  double *scratch = malloc(rotated * sizeof(double));
  int32_t *positions = take(vectors * sizeof(int32_t));
  for (size_t i = 0; i < rotated / 2; i++) frequencies[i] = pow(1e4, -(double)i / (double)n);
  for (size_t r = 0; r < vectors; r++) positions[r] = (int32_t)below(5000);
  const bool interleaved = below(2) == 0;
  epc_ref_rope(x, vectors, 1, n, rotated, interleaved, frequencies, 1.1, positions, expected);
  epc_rope_run(x, vectors, 1, n, rotated, interleaved, frequencies, 1.1, positions, scratch, made);
  compare("rope", "", best, made, expected, count, 1e-6);
  free(scratch);
  free(frequencies);
}

int main(int argc, char **argv) {
  const size_t seeds = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
  const size_t first = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
  epc_level best = epc_level_best();
  const char *chosen = getenv("EPC_CPU_LEVEL");
  if (chosen != NULL) {
    while (lowest <= best && strcmp(level_names[lowest], chosen) != 0) lowest++;
    if (lowest > best) {
      fprintf(stderr, "EPC_CPU_LEVEL: there is no level '%s' here; levels are", chosen);
      for (int l = 0; l <= (int)best; l++) fprintf(stderr, " %s", level_names[l]);
      fprintf(stderr, "\n");
      return 2;
    }
    best = lowest;
  }
  epc_pool *pools[2] = {epc_pool_create(1), epc_pool_create(3)};
  if (seeds == 0 || pools[0] == NULL || pools[1] == NULL) {
    fprintf(stderr, "usage: check [SEEDS [FIRST]]\n");
    return 2;
  }
  for (size_t seed = first; seed < first + seeds; seed++) {
    state = seed * 2 + 1;
    for (int i = 0; i < 8; i++) next_random();
    const size_t before = failures;
    check_linear(pools, best);
    give_all_back();
    check_experts(pools, best);
    give_all_back();
    check_combination(pools, best);
    give_all_back();
    check_attention(pools, best);
    give_all_back();
    check_latent(pools, best);
    give_all_back();
    check_linear_attention(pools, best);
    give_all_back();
    check_rows(best);
    give_all_back();
    if (failures > before) printf("seed %zu\n", seed);
  }
  for (int p = 0; p < 2; p++) epc_pool_destroy(pools[p]);
  for (size_t k = 0; seen[k].name != NULL; k++) {
    printf("%-17s %7zu comparisons, at most %.3f of the bound\n", seen[k].name, seen[k].cases,
           seen[k].share);
  }
  printf("levels %s to %s, %zu seeds, %zu comparisons, %zu failures\n", level_names[lowest],
         level_names[best], seeds, compared, failures);
  return failures > 0;
}
