// Matrix products of oneDNN with packed weights, on the shapes of 'epc bench', and its layers of experts as a
// loop of such products; benchmarks/onednn.sh builds and runs it. Prints a line of JSON for each.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <unordered_map>
#include <vector>

#include <oneapi/dnnl/dnnl.hpp>

using namespace dnnl;

/// The seconds of one product, in the fastest of a few rounds, each run with other weights.
static double measure(const engine &cpu, stream &queue, memory::data_type type, long rows, long out,
                      long in) {
  const memory::desc x({rows, in}, type, memory::format_tag::ab);
  const memory::desc any({in, out}, type, memory::format_tag::any);
  const memory::desc y({rows, out}, memory::data_type::f32, memory::format_tag::ab);
  const matmul::primitive_desc description(matmul::desc(x, any, y), cpu);
  const matmul product(description);
  const size_t bytes = description.weights_desc().get_size();
  const size_t copies = std::max<size_t>((512u << 20) / bytes, 1);
  memory x_memory(x, cpu), y_memory(y, cpu);
  std::vector<memory> weights;
  // Memory that nothing was written to would be one page for all.
  for (size_t i = 0; i < copies; i++) {
    weights.emplace_back(description.weights_desc(), cpu);
    char *place = static_cast<char *>(weights.back().get_data_handle());
    std::fill(place, place + bytes, 0);
  }
  std::fill_n(static_cast<char *>(x_memory.get_data_handle()), x.get_size(), 0);
  std::vector<std::unordered_map<int, memory>> arguments;
  for (auto &w : weights) {
    arguments.push_back(
        {{DNNL_ARG_SRC, x_memory}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y_memory}});
  }
  const size_t runs = std::min<size_t>(copies, 16);
  double best = 1e9, spent = 0;
  for (size_t round = 0; round < 4 || (spent < 0.1 && round < 100); round++) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < runs; i++) {
      product.execute(queue, arguments[(round * runs + i) % copies]);
    }
    queue.wait();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count() / double(runs));
    spent += took.count();
  }
  return best;
}

/// The nearest bf16; ties go to the even one.
static uint16_t half_of(float real) {
  uint32_t bits;
  std::memcpy(&bits, &real, sizeof(bits));
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/// A product of bf16 rows with any of a few packed matrices.
struct product {
  matmul primitive;
  memory x, y;
  std::vector<memory> weights;

  product(const engine &cpu, size_t matrices, long rows, long out, long in)
      : x({{rows, in}, memory::data_type::bf16, memory::format_tag::ab}, cpu),
        y({{rows, out}, memory::data_type::f32, memory::format_tag::ab}, cpu) {
    const memory::desc any({in, out}, memory::data_type::bf16, memory::format_tag::any);
    const matmul::primitive_desc description(matmul::desc(x.get_desc(), any, y.get_desc()), cpu);
    primitive = matmul(description);
    for (size_t i = 0; i < matrices; i++) {
      weights.emplace_back(description.weights_desc(), cpu);
      std::memset(weights.back().get_data_handle(), 0, description.weights_desc().get_size());
    }
  }

  uint16_t *rows() const { return static_cast<uint16_t *>(x.get_data_handle()); }
  const float *results() const { return static_cast<const float *>(y.get_data_handle()); }

  void run(stream &queue, size_t matrix) {
    primitive.execute(queue, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, weights[matrix]}, {DNNL_ARG_DST, y}});
    queue.wait();
  }
};

/// The seconds of a layer of 64 experts of 1024 x 512, 8 a token: for each expert that has rows gather, gate
/// and up in one product, SwiGLU, down and the weighted sum. Layers take turns over sets of weights and,
/// where tokens are few, over experts.
static double measure_layer(const engine &cpu, stream &queue, long tokens) {
  const long width = 1024, hidden = 512, experts = 64, choices = 8;
  const size_t sets = 3;
  const long active = std::min(tokens * choices, experts);
  const long rows = tokens * choices / active;
  product in(cpu, sets * experts, rows, 2 * hidden, width);
  product out(cpu, sets * experts, rows, width, hidden);
  const std::vector<uint16_t> x(size_t(tokens * width), half_of(0.5f));
  std::vector<float> y(size_t(tokens * width));
  const size_t turns = size_t(experts / active);
  const auto run = [&](size_t number) {
    std::fill(y.begin(), y.end(), 0.0f);
    for (long e = 0; e < active; e++) {
      const size_t turn = number / sets % turns * size_t(active);
      const size_t matrix = number % sets * size_t(experts) + turn + size_t(e);
      // Experts take turns, all different for a token: choice c of token t is expert (8 t + c) % 64.
      const auto token = [&](long r) { return (e + r * active) / choices; };
#pragma omp parallel for
      for (long r = 0; r < rows; r++) {
        std::memcpy(in.rows() + r * width, x.data() + token(r) * width, size_t(width) * sizeof(uint16_t));
      }
      in.run(queue, matrix);
#pragma omp parallel for
      for (long r = 0; r < rows; r++) {
        const float *gate = in.results() + r * 2 * hidden;
        for (long i = 0; i < hidden; i++) {
          out.rows()[r * hidden + i] = half_of(gate[i] / (1 + std::exp(-gate[i])) * gate[hidden + i]);
        }
      }
      out.run(queue, matrix);
#pragma omp parallel for
      for (long r = 0; r < rows; r++) {
        float *to = y.data() + token(r) * width;
        for (long i = 0; i < width; i++) to[i] += out.results()[r * width + i] / float(choices);
      }
    }
  };
  const size_t runs = sets * turns;
  double best = 1e9;
  for (size_t round = 0; round < 6; round++) {
    const auto start = std::chrono::steady_clock::now();
    for (size_t i = 0; i < runs; i++) run(i);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    best = std::min(best, took.count() / double(runs));
  }
  return best;
}

int main() {
  const engine cpu(engine::kind::cpu, 0);
  stream queue(cpu);
  for (const long tokens : {1, 4, 16, 32, 64, 1024}) {
    std::printf("{\"peer\": \"oneDNN\", \"weights\": \"bf16\", \"tokens\": %ld, \"seconds\": %.3e}\n", tokens,
                measure_layer(cpu, queue, tokens));
    std::fflush(stdout);
  }
  const long shapes[][2] = {{1024, 1024}, {512, 7168}, {7168, 2048}};
  for (const auto type : {memory::data_type::f32, memory::data_type::bf16}) {
    for (const auto &shape : shapes) {
      for (const long rows : {1, 4, 16, 64, 512, 1024}) {
        const double seconds = measure(cpu, queue, type, rows, shape[0], shape[1]);
        std::printf("{\"peer\": \"oneDNN\", \"weights\": \"%s\", \"rows\": %ld, \"out\": %ld, "
                    "\"in\": %ld, \"seconds\": %.3e}\n",
                    type == memory::data_type::f32 ? "fp32" : "bf16", rows, shape[0], shape[1],
                    seconds);
        std::fflush(stdout);
      }
    }
  }
}
