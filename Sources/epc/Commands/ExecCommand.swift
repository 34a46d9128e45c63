import ArgumentParser
import EPBackend
import EPBackendCPU
import EPBackendSimGPU
import EPCheckpoint
import EPCompiler
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlan
import EPPlugin
import EPReport
import EPRuntime
import EPTokenizer
import Glibc

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

  /// Compares with the kernels of a library beside the device's and the reference's, if one is given.
  private func compareExtended<D: Device>(
    _ plan: Plan, _ source: WeightSource, _ request: GenerationRequest, _ device: D,
    _ memory: Int?
  ) throws(Diagnostics) {
    guard let library = try kernelLibrary() else {
      return try compare(plan, source, request, device, memory, against: ReferenceDevice())
    }
    try compare(
      plan, source, request, ExtendedDevice(device, library: library), memory,
      against: ExtendedDevice(ReferenceDevice(), library: library))
  }

  private func kernelLibrary() throws(Diagnostics) -> PluginDevice? {
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

  // MARK: Input

  private func keptData() throws(Diagnostics) -> GenerationRequest.Kept {
    var kept: GenerationRequest.Kept = output == nil ? [] : .logits
    for name in dump.flatMap({ $0.split(separator: ",").map(String.init) }) {
      switch name {
      case "routing": kept.insert(.routing)
      case "hidden": kept.insert(.hidden)
      case "drafts": kept.insert(.drafts)
      default: throw PlanFlags.unknown("--dump", name, ["routing", "hidden", "drafts"])
      }
    }
    if !dump.isEmpty && output == nil {
      throw Diagnostics("flag", "'--dump' adds to what '--output FILE' writes; give both")
    }
    return kept
  }

  private func sampling() throws(Diagnostics) -> Sampling {
    guard temperature >= 0, temperature.isFinite else {
      throw Diagnostics("flag", "'--temperature \(temperature)'; it is not negative")
    }
    if let topK, topK < 1 { throw Diagnostics("flag", "'--top-k \(topK)'; it is at least 1") }
    if let topP, !(topP > 0 && topP <= 1) {
      throw Diagnostics("flag", "'--top-p \(topP)'; it is above 0 and at most 1")
    }
    return Sampling(temperature: temperature, topK: topK, topP: topP, seed: seed)
  }

  private func tokenizer() throws(Diagnostics) -> Tokenizer? {
    guard let weights, !weights.hasPrefix("synthetic:") else { return nil }
    let file = weights + "/tokenizer.json"
    if unsafe access(file, R_OK) != 0 {
      if prompt == nil { return nil }
      throw Diagnostics(
        "tokenizer", "'--prompt' needs \(file), which is not there; give '--tokens' instead")
    }
    do { return try Tokenizer(file: file) } catch {
      // Tokens go in and come out as numbers without it.
      if prompt == nil { return nil }
      throw Diagnostics("tokenizer", error.description)
    }
  }

  private func prompts(_ tokenizer: Tokenizer?) throws(Diagnostics) -> [[Int32]] {
    let given = [tokens, tokensFile, prompt].compactMap { $0 }
    if given.count != 1 {
      throw Diagnostics("flag", "give one of '--tokens', '--tokens-file' and '--prompt'")
    }
    if let prompt {
      guard let tokenizer else {
        throw Diagnostics("tokenizer", "'--prompt' needs a checkpoint folder with tokenizer.json")
      }
      return [tokenizer.encode(prompt).map { Int32(truncatingIfNeeded: $0) }]
    }
    if let tokens {
      var ids: [Int32] = []
      for part in tokens.split(separator: ",", omittingEmptySubsequences: false) {
        guard let id = Int32(part.filter { $0 != " " }), id >= 0 else {
          throw Diagnostics("flag", "'\(part)' in '--tokens' is no token; write 1,2,3")
        }
        ids.append(id)
      }
      return [ids]
    }
    guard let tokensFile else { return [] }
    do {
      let bytes = try JSONFile.read(tokensFile)
      var prompts: [[Int32]] = []
      for list in try JSONNode(try JSONValue.parse(bytes: bytes)).array(maxCount: 1 << 20) {
        prompts.append(try list.ints(in: 0...Int(Int32.max)).map { Int32($0) })
      }
      if prompts.isEmpty { throw Diagnostics("tokens-file", "no prompts", at: tokensFile) }
      return prompts
    } catch let error as JSONError {
      throw Diagnostics("tokens-file", error.description, at: error.file == nil ? tokensFile : "")
    } catch let error as Diagnostics { throw error } catch {
      throw Diagnostics("tokens-file", "\(error)", at: tokensFile)
    }
  }

  private func source(for plan: Plan) throws(Diagnostics) -> WeightSource {
    guard let weights else {
      throw Diagnostics(
        "flag",
        "a plan runs with weights; give '--weights FOLDER' or '--weights synthetic:1', or "
          + "'--backend simgpu' to simulate its devices without any")
    }
    do { return try WeightSource(parsing: weights) } catch {
      throw Diagnostics("weights", error.description)
    }
  }

  /// Runs the plan beside an unsharded one of the same model on reference kernels.
  private func compare<D: Device, R: Device>(
    _ plan: Plan, _ source: WeightSource, _ request: GenerationRequest, _ device: D,
    _ memory: Int?, against reference: R
  ) throws(Diagnostics) {
    let single = try unsharded(plan)
    let comparison: Comparison
    do throws(ExecutionError) {
      let stores: (WeightStore, WeightStore)
      do throws(WeightError) {
        stores = (
          try WeightStore(source, for: plan, memory: memory), try WeightStore(source, for: single)
        )
      } catch { throw .weights(error) }
      comparison = try Comparison.run(
        try PlanSession(plan, weights: stores.0, device: device),
        against: try PlanSession(single, weights: stores.1, device: reference), request,
        bound: bound)
    } catch { throw Diagnostics("exec", error.description) }
    Terminal.print(comparison.text)
    if comparison.first != nil {
      throw Diagnostics("check", "the plan does not make what the unsharded model makes")
    }
  }

  /// The same model on one rank, with room for as much as any data group of the plan works on.
  private func unsharded(_ plan: Plan) throws(Diagnostics) -> Plan {
    let program: ModelProgram
    do { program = try plan.program() } catch { throw Diagnostics("check", error.description) }
    let catalog = HardwareCatalog.standard(
      environment: Terminal.environment, executable: Terminal.executable)
    var hardware = try catalog.hardware(named: "h200")
    hardware.memoryBytes = 1 << 50
    var pool = CompileRequest.PoolRequest(.unified)
    (pool.pp, pool.dp, pool.tp, pool.ep) = (1, 1, 1, 1)
    pool.batch = plan.pools.map(\.load.sequences).max()
    pool.tokensPerDevice = plan.pools.map(\.load.tokens).max()
    pool.samples = pool.tokensPerDevice
    var request = CompileRequest(hardware: hardware, pools: [pool])
    request.cluster = Cluster(hardware, devices: 1)
    request.activations = plan.pools[0].activations
    return try Compiler.compile(Compilation(program, request))
  }

  // MARK: Output

  private func show(
    _ result: GenerationResult, _ plan: Plan, _ tokenizer: Tokenizer?, on backend: BackendChoice,
    _ faults: [FaultReport]
  ) throws(Diagnostics) {
    if format == .json {
      do {
        let bytes = try document(result, tokenizer, on: backend, faults).jsonValue.serialized(
          style: .pretty)
        Terminal.print(String(decoding: bytes, as: UTF8.self))
      } catch { throw Diagnostics("exec-json", "\(error)") }
      return
    }
    for (index, prompt) in result.prompts.enumerated() {
      let made = prompt.tokens.map(String.init).joined(separator: " ")
      Terminal.print("prompt \(index), \(prompt.prompt.count) tokens: \(made)\n")
      if let text = text(of: prompt.tokens, tokenizer) { Terminal.print("  \(text)\n") }
    }
    let statistics = result.statistics
    let ranks = plan.pools.reduce(0) { $0 + $1.mesh.ranks }
    let prefill = rate(Double(statistics.promptTokens), statistics.prefillSeconds)
    var lines = [
      "\(statistics.promptTokens) prompt tokens at \(prefill), \(statistics.tokens) made at "
        + "\(rate(Double(statistics.tokens), statistics.decodeSeconds)), on \(ranks) rank(s) of "
        + backend.summary
    ]
    if statistics.drafted > 0 {
      lines.append(
        "drafts: \(statistics.accepted) of \(statistics.drafted) accepted "
          + "(\(Units.percent(statistics.accepted, of: statistics.drafted)))")
    }
    let traffic = statistics.traffic.flatMap { $0.values }
    let sent = traffic.reduce(0) { $0 + $1.dispatchBytes }
    let returned = traffic.reduce(0) { $0 + $1.combineBytes }
    if sent + returned > 0 {
      lines.append(
        "dispatch sent \(Units.bytes(sent)) between ranks, combine \(Units.bytes(returned))")
    }
    let balance = statistics.routedBalance
    if sent + returned > 0, let mean = balance.mean {
      let even = balance.evenMean.map { ", \(Units.decimal($0, digits: 3)) with even shares" } ?? ""
      lines.append(
        "rows of a rank, mean over fullest: \(Units.decimal(mean, digits: 3)) in \(balance.batches) "
          + "batches" + even)
    }
    if statistics.handoverBytes > 0 {
      lines.append("the prefill pool handed over \(Units.bytes(statistics.handoverBytes))")
    }
    if statistics.tokens > 0 {
      let milliseconds = Int((statistics.firstTokenSeconds * 1000).rounded())
      lines.append("first token after \(milliseconds) ms")
    }
    lines.append(statistics.memory.text(experts: statistics.streaming))
    if let streaming = statistics.streaming {
      lines.append(streaming.text(tokens: statistics.tokens))
    }
    let slow = backend.referenceSeconds.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
    let slowSeconds = slow.reduce(0) { $0 + $1.value }
    let share = slowSeconds / (statistics.prefillSeconds + statistics.decodeSeconds)
    if share >= 0.01 {
      lines.append(
        "without fast kernels: \(Units.decimal(100 * share, digits: 1)) % of the time, in "
          + slow.map(\.key).joined(separator: ", "))
    }
    lines += faults.map { "fault: \($0.text)" }
    Terminal.print(lines.joined(separator: "\n") + "\n")
  }

  private func rate(_ count: Double, _ seconds: Double) -> String {
    seconds > 0 ? "\(Int((count / seconds).rounded())) tokens/s" : "0 tokens/s"
  }

  private func text(of tokens: [Int32], _ tokenizer: Tokenizer?) -> String? {
    guard let tokenizer else { return nil }
    do { return try tokenizer.decode(tokens.map(Int.init)) } catch { return nil }
  }

  private func document(
    _ result: GenerationResult, _ tokenizer: Tokenizer?, on backend: BackendChoice,
    _ faults: [FaultReport]
  ) -> Document {
    let statistics = result.statistics
    return .object([
      "prompts": .list(
        result.prompts.map { prompt in
          .object([
            "prompt": .ints(prompt.prompt.map(Int.init)),
            "tokens": .ints(prompt.tokens.map(Int.init)),
            "text": text(of: prompt.tokens, tokenizer).map(Document.text),
          ])
        }),
      "prompt_tokens": .int(statistics.promptTokens), "tokens": .int(statistics.tokens),
      "steps": .int(statistics.steps), "prefill_seconds": .real(statistics.prefillSeconds),
      "decode_seconds": .real(statistics.decodeSeconds),
      "first_token_seconds": .real(statistics.firstTokenSeconds),
      "weight_bytes": .int(statistics.weightBytes),
      "reference_kernel_seconds": .object(
        backend.referenceSeconds.sorted { $0.key < $1.key }.map {
          .init(name: $0.key, value: .real($0.value))
        }),
      "memory": statistics.memory.document(experts: statistics.streaming),
      "streaming": statistics.streaming?.document,
      "faults": faults.isEmpty ? nil : .list(faults.map(\.document)),
      "acceptance_rate": statistics.acceptanceRate.map(Document.real),
      "handover_bytes": .int(statistics.handoverBytes),
      "batch_balance": statistics.routedBalance.mean.map(Document.real),
      "batch_balance_even_shares": statistics.routedBalance.evenMean.map(Document.real),
      "dispatch_bytes": .int(
        statistics.traffic.flatMap { $0.values }.reduce(0) { $0 + $1.dispatchBytes }),
      "combine_bytes": .int(
        statistics.traffic.flatMap { $0.values }.reduce(0) { $0 + $1.combineBytes }),
    ])
  }
}

/// A line on the terminal that counts up, once a run takes longer than a second.
final class Progress {
  private let total: Int
  private let start = ContinuousClock.now
  private let isShown = isatty(STDERR_FILENO) == 1
  private var hasDrawn = false

  init(total: Int) { self.total = total }

  func show(_ count: Int) {
    guard isShown, start.duration(to: .now) > .seconds(1) else { return }
    hasDrawn = true
    let filled = total > 0 ? min(count * 30 / total, 30) : 30
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled)
    Terminal.draw("\r[\(bar)] \(count)/\(total) tokens")
  }

  func end() {
    if hasDrawn { Terminal.draw("\r" + String(repeating: " ", count: 60) + "\r") }
  }
}
