import ArgumentParser
import EPBackendCPU
import EPIR
import EPPlan
import Glibc

/// How the CPU computes.
struct CPUFlags: ParsableArguments {
  @Option(help: "How matrices are kept: fp32, which is the default, bf16, int8, fp8 or mxfp4.")
  var dtype: String?

  @Option(help: "Threads that share the work; by default as many as there are processors.")
  var threads: Int?

  /// The device they describe.
  func device() throws(Diagnostics) -> CPUDevice {
    let weights = try WeightFormat.named(dtype ?? WeightFormat.fp32.rawValue)
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

extension WeightFormat {
  /// The format that '--dtype' names.
  static func named(_ name: String) throws(Diagnostics) -> WeightFormat {
    guard let format = WeightFormat(rawValue: name) else {
      throw PlanFlags.unknown("--dtype", name, WeightFormat.allCases.map(\.rawValue))
    }
    return format
  }

  /// What a weight takes, scales included.
  var bytesPerWeight: Double {
    switch self {
    case .fp32: 4
    case .bf16: 2
    case .int8, .fp8: 1 + 4.0 / 128
    case .mxfp4: 0.5 + 1.0 / 32
    }
  }
}
