import EPBackendCPU
import EPIR
import EPPlan
import EPRuntime
import Glibc

/// What can run plans.
enum ExecBackend: String, CaseIterable {
  /// All ranks in this process, on reference kernels.
  case cpu
  /// Simulated devices: over several processes with weights, in virtual time without.
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
      return known == .simgpu && !hasPayload
    }
    if hasPayload { return false }
    return try Plan.load(plan).residentBytes > HostMemory.bytes
  }

  /// Whether there is anything to compute with.
  private var hasPayload: Bool {
    weights != nil || prompt != nil || tokens != nil || tokensFile != nil
  }

  /// Runs a request on the backend that was asked for.
  func generate(
    _ plan: Plan, _ source: WeightSource, _ request: GenerationRequest
  ) throws(Diagnostics) -> GenerationResult {
    let progress = Progress(total: request.prompts.count * request.count)
    defer { progress.end() }
    if backend == ExecBackend.simgpu.rawValue {
      if !request.kept.isDisjoint(with: [.routing, .hidden]) {
        throw Diagnostics(
          "flag",
          "'--dump routing' and '--dump hidden' are kept in one process; use '--backend cpu'")
      }
      return try NumericRun(plan: plan, file: self.plan, processes: processes)
        .generate(request, source) { progress.show($0) }
    }
    do throws(ExecutionError) {
      let store: WeightStore
      do throws(WeightError) { store = try WeightStore(source, for: plan) } catch {
        throw .weights(error)
      }
      return try PlanSession(plan, weights: store, device: CPUDevice())
        .generate(request) { progress.show($0) }
    } catch { throw Diagnostics("exec", error.description) }
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
