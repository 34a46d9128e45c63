import EPBackend
import EPBackendCPU
import EPBackendMPI
import EPIR
import EPPlan
import EPRuntime

/// A run in which every rank of the plan is an MPI process of its own.
struct MPIRun {
  let plan: Plan
  let source: WeightSource
  let request: GenerationRequest
  let device: CPUDevice

  /// Whether this is the first of the processes, as Open MPI tells them before MPI is started.
  static var isFirst: Bool { (Terminal.environment["OMPI_COMM_WORLD_RANK"] ?? "0") == "0" }

  /// Runs the plan on all processes and returns the result on rank 0, nil on the others.
  ///
  /// What fails on one rank ends the job: its diagnostics are printed, and all processes end.
  func run() throws(Diagnostics) -> GenerationResult? {
    let library: MPILibrary
    do {
      library = try MPILibrary(
        environment: Terminal.environment, executable: Terminal.executable)
    } catch { throw Diagnostics("mpi", error.description) }
    do throws(ExecutionError) {
      let result = try generate(library)
      do { try library.finish() } catch { throw .backend(error) }
      return result
    } catch {
      Terminal.error("rank \(library.rank): \(Diagnostics("exec", error.description))")
      library.abort(code: 1)
      return nil
    }
  }

  private func generate(_ library: MPILibrary) throws(ExecutionError) -> GenerationResult? {
    let ranks = plan.pools.reduce(0) { $0 + $1.mesh.ranks }
    if library.count != ranks {
      throw .request(
        "the plan has \(ranks) ranks and there are \(library.count) processes; run it with "
          + "'mpirun -n \(ranks)'")
    }
    let store: WeightStore
    do { store = try WeightStore(source, for: plan) } catch { throw .weights(error) }
    let place = ProcessPlace(
      ranks: library.rank..<(library.rank + 1), transport: MPITransport(library),
      processes: library)
    let session = try PlanSession(plan, weights: store, device: device, place: place)
    let result = try session.generate(request)
    return library.rank == 0 ? result : nil
  }
}
