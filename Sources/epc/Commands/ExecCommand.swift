import ArgumentParser
import EPBackend
import EPBackendCPU
import EPBackendSimGPU
import EPCheckpoint
import EPCompiler
import EPIR
import EPPlan
import EPPlugin
import EPRuntime

struct ExecCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "exec",
    abstract: "Run a plan.",
    discussion: """
      With weights (a checkpoint folder, or random ones: 'synthetic:SEED') all ranks of the plan \
      run, exchange their tokens, and make what the model makes. Without weights, a plan that does \
      not fit into this machine is simulated: time, memory and routing of its cluster, no tensors.

        epc exec plan.json
        epc exec plan.json --weights checkpoint/ --prompt "The capital of France is"
        epc exec plan.json --weights synthetic:1 --tokens 1,2,3 --generate 16
        epc exec plan.json --weights checkpoint/ --tokens-file prompts.json --output out.safetensors
        mpirun -n 8 epc exec plan.json --backend mpi --weights checkpoint/ --tokens 1,2,3
      """)

  @Argument(help: "The plan.")
  var plan: String

  @Option(help: "A checkpoint folder or file, or synthetic:SEED.")
  var weights: String?

  @Option(
    help: ArgumentHelp(
      "What runs the plan: cpu, the slow and obvious 'reference', mpi, simgpu, or a library.",
      discussion: """
        With mpi each rank is a process of its own, started by mpirun. simgpu simulates the plan's \
        devices: over several processes with weights, in virtual time without. A library is a path \
        such as ./libmine.so; 'epc backends' lists installed ones.
        """))
  var backend: String?

  @Option(
    help: "A library with kernels for operations of the model that epc does not know.")
  var kernels: String?

  @Option(help: "How many seconds one call of a library may take.")
  var backendTimeout: Int = 60

  @OptionGroup
  var cpu: CPUFlags

  @OptionGroup
  var memory: MemoryFlags

  @Option(help: "A prompt as tokens: 1,2,3.")
  var tokens: String?

  @Option(help: "Prompts as a JSON file: a list of lists of tokens.")
  var tokensFile: String?

  @Option(help: "A prompt as text; the checkpoint folder must have a tokenizer.json.")
  var prompt: String?

  @Option(help: "Tokens to make for each prompt.")
  var generate: Int = 16

  @Option(help: "Tokens to draft before each step with the model's MTP depths.")
  var speculate: Int = 0

  @Option(help: "What logits are divided by; 0 takes the most likely token.")
  var temperature: Double = 0

  @Option(help: "Draw from so many of the most likely tokens.")
  var topK: Int?

  @Option(help: "Draw from the fewest most likely tokens with this probability.")
  var topP: Double?

  @Option(help: "What draws depend on.")
  var seed: UInt64 = 0

  @OptionGroup
  var loads: LoadFlags

  @Option(help: "The most tokens of one prompt in one step.")
  var chunk: Int?

  @Option(help: "Where to write logits and tokens, as safetensors.")
  var output: String?

  @Option(
    help: "What else to write: routing, hidden or drafts; may be given more than once.")
  var dump: [String] = []

  @Flag(
    help: "Run the unsharded model too, and say where results first differ by more than --bound.")
  var check = false

  @Option(help: "What '--check' lets elements up to 1 differ by, and larger ones so much more.")
  var bound: Double = 1e-4

  @Option(
    help:
      "Processes that the ranks of 'simgpu' lie over, with weights; as many as cores unless set.")
  var processes: Int?

  @OptionGroup(title: "Simulation")
  var simulation: SimulationFlags

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting(isQuiet: backend == "mpi" && !MPIProcess.isFirst) { () throws(Diagnostics) in
      if try isSimulated() {
        try simulate()
        return
      }
      try simulation.check(withTensorsOn: backend ?? "cpu")
      if !check { try GivenFlags.refuse(["bound"], "is of '--check', which is not given") }
      if check && format == .json {
        throw Diagnostics("flag", "'--check' says in words what differs; leave out '--format json'")
      }
      if let output { try Terminal.requireFolder(of: output) }
      let backend = try BackendChoice(
        named: backend ?? "cpu", cpu: cpu, seconds: backendTimeout)
      if kernels != nil, case .simgpu = backend {
        throw Diagnostics(
          "flag",
          "'--backend simgpu' has the kernels of the cpu backend alone; give '--kernels' with "
            + "'--backend cpu' or mpi")
      }
      let kept = try keptData()
      let sampling = try self.sampling()
      var plan = try Plan.load(plan)
      if let loads = try loads.source() { try plan.placeExperts(for: loads) }
      let tokenizer = try self.tokenizer()
      let prompts = try self.prompts(tokenizer)
      var request = GenerationRequest(
        prompts: prompts, count: generate, sampling: sampling, speculate: speculate, kept: kept)
      request.chunk = chunk
      let source = try self.source(for: plan)
      let limit = try memory.limit(for: plan, on: backend)
      if format == .text, let reason = limit?.reason { Terminal.print(reason + "\n") }
      if check {
        if limit?.reason != nil {
          throw Diagnostics(
            "memory", "'--check' holds the whole model, which does not fit into what memory is free"
          )
        }
        switch backend {
        case .cpu(let device):
          try compareExtended(plan, source, request, device, limit?.bytes)
        case .reference:
          try compareExtended(plan, source, request, ReferenceDevice(), limit?.bytes)
        case .mpi:
          throw Diagnostics("flag", "'--check' runs in one process; leave out '--backend mpi'")
        case .plugin(let device):
          guard let kernels = device.withKernels else {
            throw Diagnostics(
              "flag",
              "'--check' compares operations, and '\(device.name)' runs whole programs only; 'epc "
                + "conformance' compares what they make")
          }
          try compareExtended(plan, source, request, kernels, nil)
        case .simgpu:
          throw Diagnostics(
            "flag", "'--check' runs all ranks in one process; leave '--backend simgpu' out")
        }
        return
      }
      let result: GenerationResult
      var faults: [FaultReport] = []
      switch backend {
      case .cpu(let device): result = try runExtended(plan, source, request, device, limit?.bytes)
      case .reference:
        result = try runExtended(plan, source, request, ReferenceDevice(), limit?.bytes)
      case .mpi(let device):
        let made =
          if let library = try kernelLibrary() {
            try MPIRun(
              plan: plan, source: source, request: request,
              device: ExtendedDevice(device, library: library)
            ).run()
          } else {
            try MPIRun(plan: plan, source: source, request: request, device: device).run()
          }
        // The others have had their part.
        guard let made else { return }
        result = made
      case .plugin(let device): result = try runExtended(plan, source, request, device, nil)
      case .simgpu(let device):
        let outcome = try runOverProcesses(plan, source, request, device)
        if NumericRun.worker != nil { return }
        (result, faults) = (outcome.result, outcome.faults)
      }
      if let output {
        do throws(CheckpointError) { try result.write(to: output) } catch {
          throw Diagnostics("write", error.description)
        }
      }
      try show(result, plan, tokenizer, on: backend, faults)
      if let output, format == .text { Terminal.print("wrote \(output)\n") }
    }
  }

  /// Runs with the kernels of a library beside the device's, if one is given.
  private func runExtended<D: Device>(
    _ plan: Plan, _ source: WeightSource, _ request: GenerationRequest, _ device: D,
    _ memory: Int?
  ) throws(Diagnostics) -> GenerationResult {
    guard let library = try kernelLibrary() else {
      return try run(plan, source, request, device, memory)
    }
    return try run(plan, source, request, ExtendedDevice(device, library: library), memory)
  }

  func kernelLibrary() throws(Diagnostics) -> PluginDevice? {
    guard let kernels else { return nil }
    do throws(PluginError) {
      let library = try BackendChoice.library(kernels, seconds: backendTimeout)
      return try PluginDevice(library).withKernels
    } catch { throw Diagnostics("kernels", error.description) }
  }

  private func run<D: Device>(
    _ plan: Plan, _ source: WeightSource, _ request: GenerationRequest, _ device: D,
    _ memory: Int?
  ) throws(Diagnostics) -> GenerationResult {
    do throws(ExecutionError) {
      let store: WeightStore
      do throws(WeightError) {
        store = try WeightStore(
          source, for: plan, memory: memory, program: MemoryFlags.programBytes)
      } catch {
        throw .weights(error)
      }
      let session = try PlanSession(plan, weights: store, device: device)
      let progress = Progress(total: request.prompts.count * generate)
      defer { progress.end() }
      return try session.generate(request) { progress.show($0) }
    } catch { throw Diagnostics("exec", error.description) }
  }
}
