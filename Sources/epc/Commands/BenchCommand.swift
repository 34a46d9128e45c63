import ArgumentParser
import EPBackendCPU
import EPCompiler
import EPCost
import EPIR
import EPJSON
import EPModel
import EPPlan
import EPReport
import EPRuntime
import Glibc

struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure the CPU: kernels, or a model, beside what the machine can do at most.",
    discussion: """
      Floors are measured before and after each figure: how fast the threads multiply numbers in \
      registers, and how fast they read memory; for decoding, what they read between the steps. A share \
      of 1 is the floor. Without '--model' matrix products and \
      layers of experts are measured, of all formats or of the one that '--dtype' names; with it \
      prompts and decoding with random weights.

        epc bench
        epc bench --dtype fp8
        epc bench --dtype bf16 --model benchmarks/mid/config.json --batch 16
      """)

  @OptionGroup
  var cpu: CPUFlags

  @Option(help: "A model to measure, with random weights: what 'epc compile' takes.")
  var model: String?

  @Option(help: "Tokens of a prompt.")
  var prompt: Int = 512

  @Option(help: "Tokens to make for each prompt.")
  var decode: Int = 64

  @Option(help: "Prompts at a time.")
  var batch: Int = 1

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      for (flag, value) in [("--prompt", prompt), ("--decode", decode), ("--batch", batch)]
      where !(1...1_000_000).contains(value) {
        throw Diagnostics("flag", "'\(flag) \(value)'; it is from 1 to 1000000")
      }
      let device = try cpu.device()
      let isOne = model != nil || cpu.dtype != nil
      let formats = isOne ? [device.weights] : WeightFormat.allCases
      let benchmark = CPUBenchmark(device)
      if let model {
        try measure(model, device, benchmark)
      } else {
        try measureKernels(formats, device, benchmark)
      }
    }
  }

  // MARK: Kernels

  private func measureKernels(
    _ formats: [WeightFormat], _ device: CPUDevice, _ benchmark: CPUBenchmark
  ) throws(Diagnostics) {
    var rows: [CPUBenchmark.Row] = []
    var layers: [CPUBenchmark.Row] = []
    let shapes = [(1024, 1024), (512, 7168), (7168, 2048)]
    for weights in formats {
      for (out, contracted) in shapes {
        for count in [1, 4, 16, 64, 512, 1024] {
          rows.append(
            benchmark.measure(weights, rows: count, out: out, contracted: contracted))
        }
      }
      for tokens in [1, 4, 16, 32, 64, 1024] {
        layers.append(benchmark.measureExperts(weights, tokens: tokens))
      }
    }
    if format == .json {
      try show(
        device,
        [
          .init(name: "products", value: .list(rows.map(\.document))),
          .init(name: "expert_layers", value: .list(layers.map(\.document))),
        ])
      return
    }
    let floors = formats.map { weights in
      self.floors(weights, (rows + layers).filter { $0.weights == weights }.map(\.floor))
    }
    Terminal.print("\(device.summary)\n\(floors.joined())\n")
    let head = ["milliseconds", "GFLOP/s", "GB/s", "of the floor", "of one without tiles"]
    Terminal.print(
      aligned(
        [["weights", "rows", "out x in"] + head]
          + rows.map {
            [$0.weights.rawValue, "\($0.rows)", "\($0.out) x \($0.contracted)"] + figures($0)
          }))
    Terminal.print("\nlayers of 64 experts of 1024 x 512, 8 a token\n")
    Terminal.print(
      aligned(
        [["weights", "tokens"] + head]
          + layers.map { [$0.weights.rawValue, "\($0.rows)"] + figures($0) }))
    Terminal.print(
      "\nof the floor, the least and the middle, by rows of a product or tokens of a layer\n")
    Terminal.print(
      aligned(
        [["weights", "1 to 4", "16 to 64", "512 to 1024", "experts, 1 to 16", "32 to 1024"]]
          + formats.map { weights in
            [weights.rawValue]
              + [1...4, 16...64, 512...1024].map { summary(rows, weights, $0) }
              + [1...16, 32...1024].map { summary(layers, weights, $0) }
          }))
    let faster = formats.filter { $0 != .bf16 && $0 != .fp32 }.map { weights in
      "\(weights.rawValue) \(number(timesAsFast(weights, as: .bf16, rows), 2))"
    }
    if formats.contains(.bf16) && !faster.isEmpty {
      Terminal.print(
        "\ntimes as fast as bf16, the middle of 1 to 4 rows: \(faster.joined(separator: ", "))\n")
    }
  }

  private func figures(_ row: CPUBenchmark.Row) -> [String] {
    [
      number(row.seconds * 1e3, 3), number(row.operations / 1e9), number(row.bytes / 1e9, 1),
      number(row.share, 2), number(row.shareOfVectors, 2),
    ]
  }

  private func summary(
    _ rows: [CPUBenchmark.Row], _ weights: WeightFormat, _ range: ClosedRange<Int>
  ) -> String {
    let shares = rows.filter { $0.weights == weights && range.contains($0.rows) }.map(\.share)
      .sorted()
    return "\(number(shares.first ?? 0, 2)) \(number(shares[shares.count / 2], 2))"
  }

  /// How many times as fast products of few rows are in one format as in another.
  private func timesAsFast(
    _ weights: WeightFormat, as other: WeightFormat, _ rows: [CPUBenchmark.Row]
  ) -> Double {
    let few = rows.filter { $0.rows <= 4 }
    let ratios = zip(few.filter { $0.weights == weights }, few.filter { $0.weights == other })
      .map { $1.seconds / $0.seconds }.sorted()
    return ratios.isEmpty ? 0 : ratios[ratios.count / 2]
  }

  // MARK: A model

  private func measure(
    _ path: String, _ device: CPUDevice, _ benchmark: CPUBenchmark
  ) throws(Diagnostics) {
    let plan = try self.plan(path)
    // The fastest of a few runs, as of the floors.
    var (prefillSeconds, decodeSeconds) = (Double.infinity, Double.infinity)
    var (reference, all) = (0.0, 0.0)
    var floors = [benchmark.floor(device.weights)]
    // Others on the host take their share of steps and of reads alike: reads between the steps are the
    // floor of these.
    var decodeReads = 0.0
    var weightBytes = 0
    do throws(ExecutionError) {
      let store: WeightStore
      do throws(WeightError) { store = try WeightStore(.synthetic(seed: 1), for: plan) } catch {
        throw .weights(error)
      }
      let session = try PlanSession(plan, weights: store, device: device)
      let prompts = (0..<batch).map { number in
        (0..<prompt).map { Int32(($0 * 7919 + number * 104_729) % plan.model.vocabulary) }
      }
      // Once to wake threads, and for the memory of a step to be there.
      _ = try session.generate(GenerationRequest(prompts: prompts, count: 2))
      reference = -device.referenceSeconds.values.reduce(0, +)
      for _ in 0..<3 {
        let request = GenerationRequest(prompts: prompts, count: decode)
        var (reads, steps) = ([Double](), 0)
        let statistics = try session.generate(request) { made in
          steps += 1
          if made > batch && steps % 4 == 0 { reads.append(benchmark.reads(reads.count)) }
        }.statistics
        prefillSeconds = min(prefillSeconds, statistics.prefillSeconds)
        if statistics.decodeSeconds < decodeSeconds {
          decodeSeconds = statistics.decodeSeconds
          if reads.isEmpty { reads.append(benchmark.reads(0)) }
          decodeReads = Double(reads.count) / reads.reduce(0) { $0 + 1 / $1 }
        }
        all += statistics.prefillSeconds + statistics.decodeSeconds
        weightBytes = statistics.weightBytes
        floors.append(benchmark.floor(device.weights))
      }
      reference += device.referenceSeconds.values.reduce(0, +)
    } catch { throw Diagnostics("bench", error.description) }
    let best = floors.dropFirst().reduce(floors[0]) { $0.joined($1) }
    let bytes = plan.bytesRead(byTokens: batch, weights: device.weights)
    let floor = bytes / decodeReads
    let decodeStep = decodeSeconds / Double(max(decode - 1, 1))
    let prefillRate = Double(prompt * batch) / prefillSeconds
    let operations = 2 * Double(plan.model.activatedParameters) * prefillRate
    let decodeRate = Double(batch) / decodeStep
    if format == .json {
      try show(
        device,
        [
          .init(
            name: "model",
            value: .object([
              "name": .text(plan.model.name), "prompt": .int(prompt), "batch": .int(batch),
              "decode": .int(decode), "prefill_tokens_per_second": .real(prefillRate),
              "prefill_share_of_peak": .real(operations / best.peak),
              "decode_tokens_per_second": .real(decodeRate),
              "decode_bytes_per_step": .real(bytes),
              "decode_read_bytes_per_second": .real(decodeReads),
              "decode_share_of_floor": .real(floor / decodeStep),
              "reference_kernels_share_of_time": .real(reference / all),
              "weight_bytes": .int(weightBytes), "floor": .object(best.fields),
            ]))
        ])
      return
    }
    Terminal.print("\(device.summary)\n\(self.floors(device.weights, floors))\n")
    Terminal.print(
      aligned([
        ["", "tokens/s", "floor", "of the floor"],
        [
          "prompts of \(prompt)", number(prefillRate),
          "\(number(prefillRate * best.peak / operations)) tokens/s",
          number(operations / best.peak, 2),
        ],
        [
          "decoding \(batch)", number(decodeRate),
          "\(Units.bytes(Int(bytes))) a step at \(number(decodeReads / 1e9, 1)) GB/s, "
            + "\(number(Double(batch) / floor)) tokens/s",
          number(floor / decodeStep, 2),
        ],
      ]))
    let kinds = device.referenceSeconds.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(
      \.key)
    Terminal.print(
      "\nwithout fast kernels: \(number(100 * reference / all, 1)) % of the time"
        + (kinds.isEmpty ? "\n" : ", in \(kinds.joined(separator: ", "))\n"))
  }

  private func plan(_ path: String) throws(Diagnostics) -> Plan {
    let program = try LoadedModel.load(path).program
    let catalog = HardwareCatalog.standard(
      environment: Terminal.environment, executable: Terminal.executable)
    var hardware = try catalog.hardware(named: "h200")
    hardware.memoryBytes = 1 << 50
    var pool = CompileRequest.PoolRequest(.unified)
    (pool.pp, pool.dp, pool.tp, pool.ep) = (1, 1, 1, 1)
    pool.batch = batch
    pool.tokensPerDevice = max(min(prompt * batch, 4096), batch)
    pool.samples = batch
    var request = CompileRequest(hardware: hardware, pools: [pool])
    request.context = prompt + decode
    request.cluster = Cluster(hardware, devices: 1)
    return try Compiler.compile(Compilation(program, request))
  }

  // MARK: Output

  /// The largest of the floors of a format, and how much they moved.
  private func floors(_ weights: WeightFormat, _ all: [CPUBenchmark.Floor]) -> String {
    func range(_ rate: KeyPath<CPUBenchmark.Floor, Double>, _ decimals: Int) -> String {
      let rates = all.map { $0[keyPath: rate] / 1e9 }
      return "\(number(rates.min() ?? 0, decimals)) to \(number(rates.max() ?? 0, decimals))"
    }
    let hasTiles = all.contains { $0.peak > 1.01 * $0.vectorPeak }
    return "floors of \(weights.rawValue): reads \(range(\.reads, 1)) GB/s; products "
      + "\(range(\.peak, 0)) GFLOP/s"
      + (hasTiles
        ? ", of tiles from the second-level cache \(range(\.cachedPeak, 0)), "
          + "without tiles \(range(\.vectorPeak, 0))\n" : "\n")
  }

  private func show(
    _ device: CPUDevice, _ measured: [Document.Field]
  ) throws(Diagnostics) {
    let all = [Document.Field(name: "device", value: .text(device.summary))]
    try Terminal.print(Document.object(all + measured))
  }

  private func aligned(_ rows: [[String]]) -> String {
    TextColumns(rows[0], right: Set(rows[0].indices), rows: Array(rows.dropFirst())).text
  }

  private func number(_ value: Double, _ decimals: Int = 0) -> String {
    var scale = 1.0
    for _ in 0..<decimals { scale *= 10 }
    guard value.isFinite, abs(value) < 1e12 else { return "-" }
    let scaled = Int((value * scale).rounded())
    if decimals == 0 { return "\(scaled)" }
    let digits = String(abs(scaled) % Int(scale))
    return "\(scaled / Int(scale))."
      + String(repeating: "0", count: decimals - digits.count) + digits
  }
}

extension CPUBenchmark.Row {
  fileprivate var document: Document {
    .object([
      "weights": .text(weights.rawValue), "rows": .int(rows), "out": .int(out),
      "in": .int(contracted), "experts": .int(experts), "seconds": .real(seconds),
      "operations_per_second": .real(operations), "bytes_per_second": .real(bytes),
      "share_of_floor": .real(share), "share_of_floor_without_tiles": .real(shareOfVectors),
      "floor": .object(floor.fields),
    ])
  }
}

extension CPUBenchmark.Floor {
  fileprivate var fields: [Document.Field] {
    [
      .init(name: "read_bytes_per_second", value: .real(reads)),
      .init(name: "operations_per_second", value: .real(peak)),
      .init(name: "cached_operations_per_second", value: .real(cachedPeak)),
      .init(name: "operations_per_second_without_tiles", value: .real(vectorPeak)),
    ]
  }
}

extension Plan {
  /// Bytes of weights that a step of so many tokens reads: of routed experts those that are expected
  /// to be chosen if all are alike, of everything else all, of the token table a row a token.
  func bytesRead(byTokens tokens: Int, weights: WeightFormat) -> Double {
    var bytes = 0.0
    guard let pool = pools.first else { return 0 }
    for call in pool.stages.flatMap({ $0 }) {
      let sharded = pool.functions[call.function]
      let routers = sharded.function.operations.filter { $0.kind == .route }
      let topK = Double(routers.map { $0.attributes.int("top_k") }.max() ?? 0)
      let tables = Set(
        sharded.function.operations.filter { $0.kind == .embed }.compactMap { operation in
          operation.operand("table")
        })
      for (index, weight) in sharded.function.weights.enumerated() {
        var read = Double(weight.elementCount)
        if weight.role == .expert, let experts = weight.axes.first?.size {
          let missed = pow(1 - topK / Double(experts), Double(tokens))
          read *= 1 - missed
        }
        if tables.contains(.weight(index)) {
          read *= Double(tokens) / Double(weight.axes.first?.size ?? 1)
        }
        bytes += read * weights.bytesPerElement(of: weight.role) * Double(call.layers.count)
      }
    }
    return bytes
  }
}
