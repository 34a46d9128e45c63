import EPIR
import EPPlan
import Glibc

/// What can run plans.
enum ExecBackend: String, CaseIterable {
  /// All ranks in this process, on reference kernels.
  case cpu
  /// Simulated devices: without weights and tensors.
  case simgpu
}

extension ExecCommand {
  /// Whether the plan's devices are simulated: where that is asked for, or where there are no weights
  /// and the model would not fit into this machine.
  func isSimulated() throws(Diagnostics) -> Bool {
    if let backend {
      guard let known = ExecBackend(rawValue: backend) else {
        throw PlanFlags.unknown("--backend", backend, ExecBackend.allCases.map(\.rawValue))
      }
      if known == .cpu { return false }
      if weights != nil || prompt != nil || tokens != nil || tokensFile != nil {
        throw Diagnostics(
          "flag", "'--backend simgpu' simulates without weights and prompts; leave them out")
      }
      return true
    }
    if weights != nil || prompt != nil || tokens != nil || tokensFile != nil { return false }
    return try Plan.load(plan).residentBytes > HostMemory.bytes
  }
}

extension Plan {
  /// Bytes of all weights in fp32, in which values are computed whatever the plan's formats are.
  var residentBytes: Int { 4 * (model.parameters + model.draftParameters) }
}

/// The machine that runs the command.
enum HostMemory {
  /// Bytes of memory; 0 where the system does not say.
  static let bytes = max(0, sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)))
}
