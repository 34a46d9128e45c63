import ArgumentParser
import EPBackendCPU
import EPIR
import EPPlan
import EPReport
import Glibc

/// The memory that a run may take.
struct MemoryFlags: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Memory for everything: 8GiB, 500MiB. Routed experts that do not fit are read when needed.",
      discussion: "Without it, experts are streamed where the model does not fit into the machine.")
  )
  var memory: String?

  /// The bytes, and why they are what they are; nil where the whole model fits.
  func limit(
    for plan: Plan, on backend: BackendChoice
  ) throws(Diagnostics) -> (bytes: Int, reason: String?)? {
    let bytesPerWeight: Double
    switch backend {
    case .cpu(let device), .simgpu(let device):
      bytesPerWeight = device.weights.bytesPerWeight
    case .reference, .mpi, .plugin: bytesPerWeight = 4
    }
    let weights = Double(plan.model.parameters + plan.model.draftParameters) * bytesPerWeight
    let free = FreeMemory.bytes
    if let memory {
      if !backend.takesWeightsInParts {
        throw Diagnostics("flag", "'--memory' works with '--backend cpu' and 'reference'")
      }
      guard let bytes = MemoryFlags.bytes(memory) else {
        throw Diagnostics("flag", "'--memory \(memory)'; write a size such as 8GiB or 500MiB")
      }
      if free > 0, min(Double(bytes), weights) > Double(free) {
        throw Diagnostics(
          "flag", "'--memory \(memory)', but \(Units.bytes(free)) are free; give at most as much")
      }
      return (bytes, nil)
    }
    // Caches, values and the program take some, and so does the system.
    let limit = free / 10 * 9
    if free == 0 || weights <= Double(limit) { return nil }
    if !backend.takesWeightsInParts {
      throw Diagnostics(
        "memory",
        "\(plan.model.name) takes \(Units.bytes(Int(weights))), \(Units.bytes(free)) of memory are "
          + "free; '--backend cpu' streams experts")
    }
    return (
      limit,
      "\(plan.model.name) takes \(Units.bytes(Int(weights))) and \(Units.bytes(free)) of memory are "
        + "free: experts are streamed, as with '--memory \(limit >> 20)MiB'"
    )
  }

  /// What the program takes already, and scratch memory for kernels.
  static var programBytes: Int {
    let pages = FreeMemory.text(of: "/proc/self/statm").split(separator: " ").dropFirst().first
    return (pages.flatMap { Int($0) } ?? 0) * sysconf(Int32(_SC_PAGESIZE)) + (16 << 20)
  }

  /// A size in binary units, at least a byte.
  static func bytes(_ text: String) -> Int? {
    let digits = text.prefix { $0.isNumber || $0 == "." }
    let unit = text.dropFirst(digits.count).drop { $0 == " " }.lowercased()
    let shifts = ["": 0, "b": 0, "k": 10, "m": 20, "g": 30, "t": 40]
    let name = unit.hasSuffix("ib") ? String(unit.dropLast(2)) : unit
    guard let number = Double(digits), let shift = shifts[name],
      !unit.hasSuffix("ib") || shift > 0
    else { return nil }
    let bytes = number * Double(1 << shift)
    return bytes >= 1 && bytes < 0x1p62 ? Int(bytes) : nil
  }
}

extension BackendChoice {
  /// Whether weights stay where they are read to, so that some of them may be away.
  var takesWeightsInParts: Bool {
    switch self {
    case .cpu, .reference: return true
    case .mpi, .plugin, .simgpu: return false
    }
  }
}

/// The most memory that this process has had.
enum PeakMemory {
  /// Bytes; 0 where the system does not say.
  static var bytes: Int { 1024 * (FreeMemory.field("VmHWM:", of: "/proc/self/status") ?? 0) }
}

/// The memory of the machine that is not taken.
enum FreeMemory {
  /// Bytes that a new process can have, by the machine and by the group that this process is in; 0
  /// where the system does not say.
  static var bytes: Int {
    guard let available = field("MemAvailable:", of: "/proc/meminfo") else { return 0 }
    let groups = [
      ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
      (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes"
      ),
    ]
    return groups.reduce(1024 * available) { least, files in
      guard let limit = number(in: files.0), let used = number(in: files.1) else { return least }
      return min(least, max(limit - used, 0))
    }
  }

  /// The first number of a line of a file of the system.
  fileprivate static func field(_ name: String, of file: String) -> Int? {
    for line in text(of: file).split(separator: "\n") where line.hasPrefix(name) {
      return line.split { $0 == " " || $0 == "\t" }.dropFirst().first.flatMap { Int($0) }
    }
    return nil
  }

  private static func number(in file: String) -> Int? {
    text(of: file).split(separator: "\n").first.flatMap { Int($0) }
  }

  /// The start of a small file of the system, empty where it cannot be read.
  static func text(of file: String) -> String {
    let descriptor = unsafe open(file, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = unsafe read(descriptor, &bytes, bytes.count)
    return String(decoding: bytes.prefix(max(count, 0)), as: UTF8.self)
  }
}
