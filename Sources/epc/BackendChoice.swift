import EPBackendCPU
import EPIR
import EPPlugin

/// What `--backend` names: a backend that is built in, or a library.
enum BackendChoice {
  case cpu(CPUDevice)
  case reference
  /// Each rank a process of its own, on the cpu device.
  case mpi(CPUDevice)
  case plugin(PluginDevice)
  /// The cpu's kernels over several processes.
  case simgpu(CPUDevice)

  /// The backends that are built in.
  static let builtIn = ["cpu", "reference", "mpi", "simgpu"]

  /// Finds a backend, and tries a library in another process before it is loaded into this one.
  init(named name: String, cpu: CPUFlags, seconds: Int) throws(Diagnostics) {
    try BackendChoice.check(seconds: seconds)
    let device = try cpu.device()
    if BackendChoice.builtIn.contains(name) {
      switch name {
      case "cpu": self = .cpu(device)
      case "mpi": self = .mpi(device)
      case "simgpu": self = .simgpu(device)
      default: self = .reference
      }
      return
    }
    do throws(PluginError) {
      let catalog = BackendCatalog.standard(
        environment: Terminal.environment, executable: Terminal.executable)
      let path = try catalog.path(of: name, builtIn: BackendChoice.builtIn)
      self = .plugin(try PluginDevice(try BackendChoice.library(path, seconds: seconds)))
    } catch { throw Diagnostics("backend", error.description) }
  }

  /// Refuses what is no time for a library to answer in.
  static func check(seconds: Int) throws(Diagnostics) {
    if seconds < 1 {
      throw Diagnostics("flag", "'--backend-timeout \(seconds)'; it is at least 1")
    }
  }

  /// Loads a library that has been tried.
  static func library(_ path: String, seconds: Int) throws(PluginError) -> BackendLibrary {
    let probe = BackendProbe(executable: Terminal.executable, seconds: seconds)
    try probe.check(path, environment: Terminal.environment)
    let host = BackendHost(seconds: seconds) { message, isWarning in
      Terminal.error((isWarning ? "warning: " : "note: ") + message)
    }
    return try BackendLibrary(loading: path, host: host)
  }

  /// Seconds spent in operations that have no fast kernels, by kind, where this process runs a device
  /// that has fast ones.
  var referenceSeconds: [String: Double] {
    switch self {
    case .cpu(let device), .mpi(let device): return device.referenceSeconds
    case .reference, .simgpu, .plugin: return [:]
    }
  }

  /// The backend and what it computes in, as reports say it.
  var summary: String {
    switch self {
    case .cpu(let device): return device.summary
    case .mpi(let device): return "mpi, each \(device.summary)"
    case .reference: return "reference, fp32"
    case .simgpu(let device): return "simgpu, \(device.weights.rawValue)"
    case .plugin(let device): return "\(device.name), \(device.precision.rawValue)"
    }
  }
}
