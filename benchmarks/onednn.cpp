// Matrix products of oneDNN with packed weights, on the shapes of 'epc bench'; benchmarks/onednn.sh
// builds and runs it. Prints a line of JSON for each.
#include <algorithm>
#include <chrono>
#include <cstdio>
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

int main() {
  const engine cpu(engine::kind::cpu, 0);
  stream queue(cpu);
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
