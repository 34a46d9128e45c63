// Routing tokens to experts.
#include <math.h>
#include <string.h>

#include "activation.h"
#include "epc_kernels.h"

static uint64_t mixed(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// Gumbel noise for an expert at a position: -log(-log(u)).
static double gumbel(uint64_t seed, int32_t position, size_t expert) {
  const uint64_t bits = mixed(mixed(mixed(seed) ^ (uint64_t)(uint32_t)position) ^ expert);
  const double u = ((double)(bits >> 11) + 0.5) * 0x1p-53;
  return -log(-log(u));
}

static void softmax(double *x, size_t count) {
  double most = -INFINITY;
  for (size_t e = 0; e < count; e++) most = fmax(most, x[e]);
  double sum = 0;
  for (size_t e = 0; e < count; e++) {
    x[e] = isinf(most) ? 0 : exp(x[e] - most);
    sum += x[e];
  }
  for (size_t e = 0; e < count && sum > 0; e++) x[e] /= sum;
}

/// The first of the largest among the scores above -infinity, or `count`.
static size_t best_of(const double *scores, size_t count) {
  size_t best = count;
  for (size_t e = 0; e < count; e++) {
    if (isinf(scores[e]) && scores[e] < 0) continue;
    if (best == count || scores[e] > scores[best]) best = e;
  }
  return best;
}

/// Scores of the experts that logits give; experts that are not allowed have logits of -infinity.
static void score(const epc_route *route, const double *logits, size_t first, size_t count,
                  int32_t position, double *scores) {
  for (size_t e = 0; e < count; e++) {
    double x = logits[e];
    if (route->scoring == EPC_SCORE_SIGMOID) x = epc_sigmoid(x);
    if (route->scoring == EPC_SCORE_SQRT_SOFTPLUS) x = sqrt(epc_softplus(x));
    if (route->scoring == EPC_SCORE_GUMBEL_SOFTMAX) {
      if (route->has_seed) x += gumbel(route->seed, position, first + e);
      x /= route->temperature;
    }
    scores[e] = x;
  }
  if (route->scoring == EPC_SCORE_SOFTMAX || route->scoring == EPC_SCORE_GUMBEL_SOFTMAX) {
    softmax(scores, count);
  }
}

/// Bars the experts of all but the best groups from the choice; `ranks` holds a score a group.
static void keep_groups(const epc_route *route, double *choice, double *ranks) {
  const size_t size = route->experts / route->groups;
  for (size_t g = 0; g < route->groups; g++) {
    double first = -INFINITY;
    double second = -INFINITY;
    for (size_t e = g * size; e < (g + 1) * size; e++) {
      if (choice[e] > first) {
        second = first;
        first = choice[e];
      } else if (choice[e] > second) {
        second = choice[e];
      }
    }
    ranks[g] = route->groups_by_top_two && size > 1 ? first + second : first;
  }
  // A kept group is marked by a NaN, which no score is.
  for (size_t k = 0; k < route->groups_kept; k++) {
    size_t best = route->groups;
    for (size_t g = 0; g < route->groups; g++) {
      if (isnan(ranks[g])) continue;
      if (best == route->groups || ranks[g] > ranks[best]) best = g;
    }
    if (best < route->groups) ranks[best] = NAN;
  }
  for (size_t g = 0; g < route->groups; g++) {
    for (size_t e = g * size; e < (g + 1) * size && !isnan(ranks[g]); e++) choice[e] = -INFINITY;
  }
}

/// PhiMoE's SparseMixer: each expert's weight is its softmax among those near it, experts chosen
/// before left out.
static void sparse_mixer(const epc_route *route, const double *logits, double *left,
                         int32_t *indices, double *weights) {
  memcpy(left, logits, route->experts * sizeof(double));
  for (size_t k = 0; k < route->top_k; k++) {
    const size_t best = best_of(left, route->experts);
    indices[k] = best == route->experts ? -1 : (int32_t)best;
    weights[k] = 0;
    if (best == route->experts) continue;
    const double most = left[best];
    double sum = 0;
    for (size_t e = 0; e < route->experts; e++) {
      if (isinf(left[e])) continue;
      const double factor = fmax(fabs(logits[e]), most);
      if ((most - logits[e]) / factor <= 2 * route->jitter) sum += exp(left[e] - most);
    }
    weights[k] = 1 / sum;
    left[best] = -INFINITY;
  }
}

/// Divides the weights by their sum as asked for, and scales them.
static void finish(const epc_route *route, double *weights, double outer, float *made) {
  double factor = route->scale * outer;
  if (route->normalize) {
    double sum = 0;
    for (size_t k = 0; k < route->top_k; k++) sum += weights[k];
    sum = fmax(sum + route->normalize_epsilon, route->normalize_minimum);
    if (sum > 0) factor /= sum;
  }
  for (size_t k = 0; k < route->top_k; k++) made[k] = (float)(weights[k] * factor);
}

/// Chooses among `count` experts numbered from `first`.
static void select_experts(const epc_route *route, const double *logits, const double *scores,
                           double *choice, size_t first, size_t count, int32_t *indices,
                           double *weights) {
  double sum = 0;
  bool done = false;
  for (size_t k = 0; k < route->top_k; k++) {
    const size_t best = done ? count : best_of(choice, count);
    indices[k] = best == count ? -1 : (int32_t)(first + best);
    weights[k] = 0;
    if (best == count) continue;
    weights[k] = route->scoring == EPC_SCORE_SOFTMAX_SELECTED ? logits[best] : scores[best];
    choice[best] = -INFINITY;
    sum += scores[best];
    done = route->selection == EPC_SELECT_TOP_P && sum >= route->top_p;
  }
}

/// The experts that a token's id alone decides.
static void hash_experts(const epc_route *route, int32_t id, const float *table,
                         const double *logits, const double *scores, int32_t *indices,
                         double *weights) {
  const uint64_t start = mixed((uint64_t)(uint32_t)id);
  const size_t stride = route->weighted_experts / route->top_k;
  for (size_t k = 0; k < route->top_k; k++) {
    size_t expert = (size_t)((start + k * stride) % route->weighted_experts);
    if (table != NULL && (id < 0 || (size_t)id >= route->table_rows)) {
      expert = route->experts;
    } else if (table != NULL) {
      const float entry = table[(size_t)id * route->top_k + k];
      expert = entry >= 0 && entry < (float)route->experts ? (size_t)entry : route->experts;
    }
    indices[k] = expert < route->experts ? (int32_t)expert : -1;
    weights[k] = 0;
    if (expert >= route->experts) continue;
    if (logits == NULL) {
      weights[k] = 1;
    } else {
      weights[k] = route->scoring == EPC_SCORE_SOFTMAX_SELECTED ? logits[expert] : scores[expert];
    }
  }
}

/// Softmax over the logits of the experts that were selected.
static void softmax_selected(const epc_route *route, const int32_t *indices, double *weights) {
  for (size_t k = 0; k < route->top_k; k++) {
    if (indices[k] < 0) weights[k] = -INFINITY;
  }
  softmax(weights, route->top_k);
}

static void route_row(const epc_route *route, const float *logits, const float *bias, int32_t id,
                      const float *table, int32_t modality, int32_t position, double *scratch,
                      int32_t *indices, double *weights) {
  const size_t experts = route->experts;
  double *allowed = scratch;
  double *scores = allowed + experts;
  double *choice = scores + experts;
  if (logits != NULL) {
    size_t from = 0;
    size_t to = experts;
    if (modality >= 0 && (size_t)modality * 2 + 1 < route->partition_count) {
      from = (size_t)route->partitions[2 * modality];
      to = from + (size_t)route->partitions[2 * modality + 1];
    }
    for (size_t e = 0; e < experts; e++) {
      allowed[e] = e >= from && e < to ? (double)logits[e] : -INFINITY;
    }
    score(route, allowed, 0, experts, position, scores);
    for (size_t e = 0; e < experts; e++) {
      choice[e] = isinf(allowed[e]) ? -INFINITY : scores[e] + (bias != NULL ? (double)bias[e] : 0);
    }
  }
  if (route->selection == EPC_SELECT_HASH) {
    hash_experts(route, id, table, logits == NULL ? NULL : allowed, scores, indices, weights);
  } else if (route->scoring == EPC_SCORE_SPARSE_MIXER) {
    sparse_mixer(route, allowed, choice, indices, weights);
  } else {
    if (route->groups_kept > 0 && route->groups_kept < route->groups) {
      keep_groups(route, choice, choice + experts + route->top_k);
    }
    select_experts(route, allowed, scores, choice, 0, experts, indices, weights);
  }
  if (route->scoring == EPC_SCORE_SOFTMAX_SELECTED && logits != NULL) {
    softmax_selected(route, indices, weights);
  }
}

/// The inner level of a hierarchical router: scores and choice within one group.
static void route_group(const epc_route *route, const float *logits, int32_t group,
                        int32_t position, double *scratch, int32_t *indices, double *weights) {
  const size_t size = route->experts / route->groups;
  const size_t first = (size_t)group * size;
  double *allowed = scratch;
  double *scores = allowed + size;
  double *choice = scores + size;
  for (size_t e = 0; e < size; e++) allowed[e] = (double)logits[first + e];
  score(route, allowed, first, size, position, scores);
  memcpy(choice, scores, size * sizeof(double));
  select_experts(route, allowed, scores, choice, first, size, indices, weights);
  if (route->scoring == EPC_SCORE_SOFTMAX_SELECTED) softmax_selected(route, indices, weights);
}

void epc_ref_route(const epc_route *route, const float *logits, const float *bias,
                   const int32_t *ids, const float *table, const int32_t *modality,
                   const int32_t *outer_indices, const float *outer_weights,
                   const int32_t *positions, size_t rows, double *scratch, int32_t *indices,
                   float *weights) {
  const size_t k = route->top_k;
  double *chosen = scratch + 3 * route->experts;
  for (size_t r = 0; r < rows; r++) {
    const float *row = logits == NULL ? NULL : logits + r * route->experts;
    if (route->outer_top_k == 0) {
      route_row(route, row, bias, ids == NULL ? 0 : ids[r], table,
                modality == NULL ? -1 : modality[r], positions[r], scratch, indices + r * k,
                chosen);
      finish(route, chosen, 1, weights + r * k);
      continue;
    }
    for (size_t o = 0; o < route->outer_top_k; o++) {
      const size_t outer = r * route->outer_top_k + o;
      const int32_t group = outer_indices[outer];
      if (group < 0 || (size_t)group >= route->groups) {
        for (size_t i = 0; i < k; i++) {
          indices[outer * k + i] = -1;
          weights[outer * k + i] = 0;
        }
        continue;
      }
      route_group(route, row, group, positions[r], scratch, indices + outer * k, chosen);
      finish(route, chosen, (double)outer_weights[outer], weights + outer * k);
    }
  }
}

void epc_ref_route_capacity(size_t experts, size_t capacity, size_t rows, size_t top_k,
                            int32_t *counts, int32_t *indices, float *weights) {
  memset(counts, 0, experts * sizeof(int32_t));
  for (size_t i = 0; i < rows * top_k; i++) {
    const int32_t expert = indices[i];
    if (expert < 0 || (size_t)expert >= experts) continue;
    if ((size_t)counts[expert] < capacity) {
      counts[expert]++;
    } else {
      indices[i] = -1;
      weights[i] = 0;
    }
  }
}
