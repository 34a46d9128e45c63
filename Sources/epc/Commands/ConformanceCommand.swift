import ArgumentParser
import EPBackend
import EPBackendCPU
import EPBackendMPI
import EPBackendSimGPU
import EPConformance
import EPIR
import EPJSON
import EPModel
import EPPlan
import EPPlugin
import EPRuntime

struct ConformanceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "conformance",
    abstract: "Check that a backend does what the operations mean.",
    discussion: """
      Every operation in every way it is used runs on random shapes and is compared with the \
      reference by normalised error, with a bound for the format that the backend computes in; small \
      models run sharded in all ways and are compared with one rank; what must be refused is tried. \
      What the backend says it cannot do is listed as unsupported, with its reason. The exit code is \
      1 if anything failed.

        epc conformance --backend ./libmine.so
        epc conformance --backend ./libmine.so --only attention
        mpirun -n 4 epc conformance --backend mpi
        epc conformance --backend simgpu
      """)

  @Option(
    help:
      "The backend: cpu, reference, mpi, simgpu, an installed one, or a library such as ./libmine.so."
  )
  var backend: String = "cpu"

  @Option(help: "How many seconds one call of a library may take.")
  var backendTimeout: Int = 60

  @OptionGroup
  var cpu: CPUFlags

  @Option(help: "Only what has this text in its name or group.")
  var only: String = ""

  @Option(help: "Random cases of each operation and way of using it.")
  var cases: Int = 4

  @Option(help: "What the random cases come of.")
  var seed: UInt64 = 1

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting(isQuiet: backend == "mpi" && !MPIProcess.isFirst) { () throws(Diagnostics) in
      guard (1...10_000).contains(cases) else {
        throw Diagnostics("flag", "'--cases \(cases)'; it is from 1 to 10000")
      }
      switch try BackendChoice(named: backend, cpu: cpu, seconds: backendTimeout) {
      case .cpu(let device):
        try run(device, Conformance.Precision(rawValue: device.weights.rawValue) ?? .fp32)
      case .reference: try run(ReferenceDevice(), .fp32)
      case .mpi(let device): try runOverMPI(device)
      case .simgpu(let device): try runOverWorkers(device)
      case .plugin(let device):
        let kernels = device.withKernels
        try run(
          kernels ?? device, Conformance.Precision(rawValue: device.precision.rawValue) ?? .fp32,
          programs: kernels != nil && device.runsPrograms ? device : nil,
          more: PluginCheck.all(device))
      }
    }
  }

  private func run<D: Device>(
    _ device: D, _ precision: Conformance.Precision, programs: D? = nil, more: [PluginCheck] = [],
    runner: Conformance.Runner? = nil
  ) throws(Diagnostics) {
    let suite = Conformance(seed: seed, cases: cases, filter: only)
    let show = { (row: Conformance.Row) in
      if format == .text { Terminal.print(Conformance.line(row)) }
    }
    var rows = suite.run(
      device, precision: precision, programs: programs, runner: runner, observe: show)
    for check in more where suite.isWanted("interface", check.name) {
      let row: Conformance.Row
      switch check.outcome {
      case .passed: row = Conformance.Row("interface", check.name, .passed)
      case .unsupported(let reason):
        row = Conformance.Row("interface", check.name, .unsupported(reason))
      case .failed(let problem): row = Conformance.Row("interface", check.name, .failed(problem))
      }
      rows.append(row)
      show(row)
    }
    try finish(rows, device.name, precision)
  }

  /// Runs the plans that take as many processes as there are; the first of them tells.
  private func runOverMPI(_ device: CPUDevice) throws(Diagnostics) {
    let library: MPILibrary
    do {
      library = try MPILibrary(
        environment: Terminal.environment, executable: Terminal.executable)
    } catch { throw Diagnostics("mpi", error.description) }
    let precision = Conformance.Precision(rawValue: device.weights.rawValue) ?? .fp32
    let rows = Conformance(seed: seed, cases: cases, filter: only).plans(
      device, precision: precision,
      runner: { plan, weights, request in
        guard MPIProcesses.count(for: plan) == library.count else { return nil }
        return try PlanSession(
          plan, weights: weights, device: device, processes: MPIProcesses(library, for: plan)
        ).generate(request)
      },
      observe: { row in
        if case .failed(let problem) = row.outcome {
          // Others may be waiting for this one.
          Terminal.error("rank \(library.rank): \(row.name): \(problem)")
          library.abort(code: 1)
        }
        if format == .text && library.rank == 0 { Terminal.print(Conformance.line(row)) }
      })
    do { try library.finish() } catch { throw Diagnostics("mpi", error.description) }
    if library.rank == 0 { try finish(rows, "mpi", precision) }
  }

  /// Runs operations on memory that processes share, and plans with a process for each rank: workers
  /// run this command as well, each for the one plan that it was started for.
  private func runOverWorkers(_ device: CPUDevice) throws(Diagnostics) {
    let precision = Conformance.Precision(rawValue: device.weights.rawValue) ?? .fp32
    var plans = 0
    if let number = SampleWorkers.number {
      _ = Conformance(seed: seed, cases: cases, filter: only).plans(
        device, precision: precision,
        runner: { plan, weights, request in
          plans += 1
          if plans == number {
            _ = try SampleWorkers(plan, number: plans).generate(weights, request, device)
          }
          return nil
        }, observe: { _ in })
      return
    }
    let single: SimulatedDevice<CPUDevice>
    do {
      let shape = SharedRegion.Shape(processes: 1, ranks: 1, groups: 1, members: 2, digest: 0)
      single = SimulatedDevice(device, region: try SharedRegion(making: shape))
    } catch { throw Diagnostics("conformance", error.description) }
    try run(
      single, precision,
      runner: { plan, weights, request in
        plans += 1
        return try SampleWorkers(plan, number: plans).generate(weights, request, device)
      })
  }

  private func finish(
    _ rows: [Conformance.Row], _ name: String, _ precision: Conformance.Precision
  ) throws(Diagnostics) {
    if rows.isEmpty { throw Diagnostics("flag", "nothing has '\(only)' in its name or group") }
    let count = Conformance.count(rows)
    try format.print(
      "\(name): \(count.passed) passed, \(count.unsupported) unsupported, \(count.failed) failed\n",
      Conformance.document(rows, backend: name, precision: precision))
    if count.failed > 0 {
      throw Diagnostics(
        "conformance", "'\(name)' does not conform: \(count.failed) of \(rows.count) failed")
    }
  }
}
