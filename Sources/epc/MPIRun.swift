import EPBackend
import EPBackendMPI
import EPIR
import EPPlan
import EPRuntime

/// This process among those that mpirun started.
enum MPIProcess {
  /// Whether it is the first, as Open MPI says before MPI is started.
  static var isFirst: Bool { (Terminal.environment["OMPI_COMM_WORLD_RANK"] ?? "0") == "0" }
}

/// A run in which every rank of the plan is an MPI process of its own.
struct MPIRun<D: Device> {
  let plan: Plan
  let source: WeightSource
  let request: GenerationRequest
  let device: D

  /// Runs the plan on all processes and returns the result on rank 0, nil on the others.
  ///
  /// What fails on one rank ends the job: its diagnostics are printed, and all processes end.
  func run() throws(Diagnostics) -> GenerationResult? {
    let library: MPILibrary
    do {
      library = try MPILibrary(
        environment: Terminal.environment, executable: Terminal.executable)
    } catch { throw Diagnostics("mpi", error.description) }
    let ranks = MPIProcesses.count(for: plan)
    if library.count != ranks {
      // All see the same, so one says so and none has to end the others.
      do { try library.finish() } catch { throw Diagnostics("mpi", error.description) }
      throw Diagnostics(
        "mpi",
        "the plan has \(ranks) ranks and there are \(library.count) processes; run it with 'mpirun "
          + "-n \(ranks)'")
    }
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
    let store: WeightStore
    do { store = try WeightStore(source, for: plan) } catch { throw .weights(error) }
    let session = try PlanSession(
      plan, weights: store, device: device, processes: MPIProcesses(library, for: plan))
    let result = try session.generate(request)
    return library.rank == 0 ? result : nil
  }
}
