// Attention over the entries of one sequence.
#include <math.h>
#include <string.h>

#include "epc_kernels.h"

/// Marks the positions in `scores` that a row may see with 0 and all others up to its own with
/// -infinity.
static void mask(double *scores, size_t position, size_t window, size_t chunk,
                 const int32_t *selection, size_t selected) {
  for (size_t j = 0; j <= position; j++) {
    const bool inside = (window == 0 || position - j < window) &&
                        (chunk == 0 || j / chunk == position / chunk);
    scores[j] = selected == 0 && inside ? 0 : -INFINITY;
  }
  for (size_t k = 0; k < selected; k++) {
    const int32_t j = selection[k];
    if (j >= 0 && (size_t)j <= position) scores[j] = 0;
  }
}

/// Turns `count` scores into weights that sum to 1, with one more logit that carries nothing.
static void softmax(double *scores, size_t count, const float *sink) {
  double most = sink != NULL ? (double)*sink : -INFINITY;
  for (size_t j = 0; j < count; j++) most = fmax(most, scores[j]);
  double sum = sink != NULL ? exp((double)*sink - most) : 0;
  for (size_t j = 0; j < count; j++) {
    scores[j] = exp(scores[j] - most);
    sum += scores[j];
  }
  for (size_t j = 0; j < count; j++) scores[j] /= sum;
}

static double dot(const float *a, const float *b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += (double)a[i] * (double)b[i];
  return sum;
}

void epc_ref_attention(const epc_attention *attention, const float *query, size_t rows,
                       size_t first_position, const float *keys, const float *values,
                       const float *sinks, const int32_t *selection, double *scratch, float *y) {
  const size_t group = attention->heads / attention->key_heads;
  const size_t key_width = attention->key_heads * attention->key_size;
  const size_t value_width = attention->key_heads * attention->value_size;
  for (size_t r = 0; r < rows; r++) {
    const size_t position = first_position + r;
    for (size_t h = 0; h < attention->heads; h++) {
      const size_t head = h / group;
      const float *q = query + (r * attention->heads + h) * attention->key_size;
      mask(scratch, position, attention->window, attention->chunk,
           selection == NULL ? NULL : selection + r * attention->selected, attention->selected);
      for (size_t j = 0; j <= position; j++) {
        if (isinf(scratch[j])) continue;
        const float *k = keys + j * key_width + head * attention->key_size;
        double score = attention->scale * dot(q, k, attention->key_size);
        if (attention->softcap > 0) {
          score = attention->softcap * tanh(score / attention->softcap);
        }
        scratch[j] = score;
      }
      softmax(scratch, position + 1, sinks == NULL ? NULL : sinks + h);
      float *out = y + (r * attention->heads + h) * attention->value_size;
      for (size_t i = 0; i < attention->value_size; i++) {
        double sum = 0;
        for (size_t j = 0; j <= position; j++) {
          if (scratch[j] == 0) continue;
          sum += scratch[j] * (double)values[j * value_width + head * attention->value_size + i];
        }
        out[i] = (float)sum;
      }
    }
  }
}

void epc_ref_latent_attention(const epc_latent_attention *attention, const float *query,
                              const float *query_rope, size_t rows, size_t first_position,
                              const float *latents, const float *rope_keys, const float *up,
                              const int32_t *selection, double *scratch, float *y) {
  const size_t rank = attention->rank;
  double *absorbed = scratch + first_position + rows;
  double *mixed = absorbed + rank;
  for (size_t r = 0; r < rows; r++) {
    const size_t position = first_position + r;
    for (size_t h = 0; h < attention->heads; h++) {
      const float *q = query + (r * attention->heads + h) * attention->key_size;
      const float *q_rope = query_rope + (r * attention->heads + h) * attention->rope_size;
      const float *up_key = up + h * (attention->key_size + attention->value_size) * rank;
      const float *up_value = up_key + attention->key_size * rank;
      // q . (up_key latent) = (q up_key) . latent, so keys need not be made for every entry.
      for (size_t k = 0; k < rank; k++) {
        double sum = 0;
        for (size_t i = 0; i < attention->key_size; i++) {
          sum += (double)q[i] * (double)up_key[i * rank + k];
        }
        absorbed[k] = sum;
      }
      mask(scratch, position, 0, 0,
           selection == NULL ? NULL : selection + r * attention->selected, attention->selected);
      for (size_t j = 0; j <= position; j++) {
        if (isinf(scratch[j])) continue;
        double score = dot(q_rope, rope_keys + j * attention->rope_size, attention->rope_size);
        for (size_t k = 0; k < rank; k++) score += absorbed[k] * (double)latents[j * rank + k];
        scratch[j] = attention->scale * score;
      }
      softmax(scratch, position + 1, NULL);
      memset(mixed, 0, rank * sizeof(double));
      for (size_t j = 0; j <= position; j++) {
        if (scratch[j] == 0) continue;
        for (size_t k = 0; k < rank; k++) mixed[k] += scratch[j] * (double)latents[j * rank + k];
      }
      float *out = y + (r * attention->heads + h) * attention->value_size;
      for (size_t i = 0; i < attention->value_size; i++) {
        double sum = 0;
        for (size_t k = 0; k < rank; k++) sum += (double)up_value[i * rank + k] * mixed[k];
        out[i] = (float)sum;
      }
    }
  }
}

void epc_ref_index(const float *query, const float *head_weights, size_t rows,
                   size_t first_position, size_t heads, size_t size, const float *keys,
                   size_t top_k, double scale, double *scratch, int32_t *y) {
  for (size_t r = 0; r < rows; r++) {
    const size_t count = first_position + r + 1;
    for (size_t j = 0; j < count; j++) {
      double score = 0;
      for (size_t h = 0; h < heads; h++) {
        const double product = scale * dot(query + (r * heads + h) * size, keys + j * size, size);
        if (product > 0) score += (double)head_weights[r * heads + h] * product;
      }
      scratch[j] = score;
    }
    for (size_t k = 0; k < top_k; k++) {
      size_t best = count;
      for (size_t j = 0; j < count && k < count; j++) {
        if (isnan(scratch[j])) continue;
        if (best == count || scratch[j] > scratch[best]) best = j;
      }
      y[r * top_k + k] = best == count ? -1 : (int32_t)best;
      // Taken positions drop out of the choice.
      if (best != count) scratch[best] = NAN;
    }
  }
}
