import ArgumentParser
import EPBackendCPU
import EPIR
import EPPlan
import Glibc

/// How the CPU computes.
struct CPUFlags: ParsableArguments {
  @Option(help: "How matrices are kept: fp32, bf16, int8, fp8 or mxfp4.")
  var dtype: String = "fp32"

  @Option(help: "Threads that share the work; by default as many as there are processors.")
  var threads: Int?

  @Option(
    help: ArgumentHelp(
      "Memory for weights, caches and values, such as 8GiB; routed experts are then read from the "
        + "checkpoint when they are needed."))
  var memory: String?

  /// The bytes of '--memory'.
  func memoryBytes() throws(Diagnostics) -> Int? {
    guard let memory else { return nil }
    let units = ["GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1]
    for unit in ["GiB", "MiB", "KiB", "B"] where memory.hasSuffix(unit) {
      let count = Double(memory.dropLast(unit.count)) ?? -1
      let bytes = count * Double(units[unit] ?? 1)
      if bytes >= 1 && bytes < 1e18 { return Int(bytes) }
    }
    throw Diagnostics("flag", "'--memory \(memory)' is no size; write 8GiB or 512MiB")
  }

  /// How matrices are kept.
  func weights() throws(Diagnostics) -> WeightFormat {
    guard let weights = WeightFormat(rawValue: dtype) else {
      throw PlanFlags.unknown("--dtype", dtype, WeightFormat.allCases.map(\.rawValue))
    }
    return weights
  }

  /// The device they describe.
  func device() throws(Diagnostics) -> CPUDevice {
    let weights = try self.weights()
    if let threads, !(1...1024).contains(threads) {
      throw Diagnostics("flag", "'--threads \(threads)'; it is from 1 to 1024")
    }
    if let level = Terminal.environment["EPC_CPU_LEVEL"], CPULevel(rawValue: level) == nil {
      throw PlanFlags.unknown("EPC_CPU_LEVEL", level, CPULevel.allCases.map(\.rawValue))
    }
    return CPUDevice(weights: weights, threads: threads ?? CPUDevice.processors)
  }
}

extension CPUDevice {
  /// Processors that this process may use.
  static var processors: Int { max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

  /// What it is and computes in, as reports say it.
  var summary: String {
    "cpu, \(weights.rawValue), \(threads) thread(s), \(level.rawValue)"
  }
}
