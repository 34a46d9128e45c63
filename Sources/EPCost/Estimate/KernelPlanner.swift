internal import EPIR
internal import EPModel
internal import EPPlacement
internal import EPPlan
internal import Glibc

/// The kernels that a sharded function becomes, the way engines fuse them: projections of one input
/// are one product, views cost nothing, residual additions ride on the next norm.
struct KernelPlanner {
  let estimator: StepEstimator
  let sharded: ShardedFunction
  /// The micro-batch, or the part of it that an attention kernel works on.
  var step: StepShape
  let layer: Int
  let placement: ExpertPlacement?
  /// Rows of each slot of the busiest rank, and that rank's rows over the mean.
  let slotRows: [Double]
  let imbalance: Double
  var estimates: [OpEstimate] = []
  /// Where seconds are remembered; kernels are then planned without names, figures and bounds.
  let times: KernelTimes?
  var timed: [TimedKernel] = []
  private var isDone: [Bool]

  var function: Function { sharded.function }

  init(
    _ estimator: StepEstimator, function index: Int, layer: Int, times: KernelTimes? = nil
  ) {
    self.estimator = estimator
    self.layer = layer
    self.times = times
    sharded = estimator.pool.functions[index]
    isDone = Array(repeating: false, count: sharded.function.operations.count)
    step = estimator.step.split(into: estimator.microBatches)
    let placement = estimator.pool.placement(function: index, layer: layer)
    self.placement = placement
    (slotRows, imbalance) = KernelPlanner.slotRows(
      estimator, function: sharded.function, step: step, layer: layer, placement: placement)
  }

  /// Rows of a value in this micro-batch. Of a prompt only the last token needs logits.
  func rows(of type: TensorType) -> Double {
    guard let rows = type.rows else { return 1 }
    if rows == .sampled { return step.samples }
    if rows == .tokens { return step.tokens }
    if rows == .ownTokens { return step.tokens / Double(estimator.pool.mesh.tp) }
    return slotRows.reduce(0, +)
  }

  func bytes(of value: Int) -> Double {
    let type = function.values[value]
    return rows(of: type) * Double(type.elementsPerRow)
      * Double(estimator.pool.bytes(of: type.element))
  }

  mutating func add(
    _ operation: Int, _ part: OpEstimate.Part, _ kernel: Kernel,
    name: @autoclosure () -> String? = nil
  ) {
    let isExchanged = part == .dispatch || part == .combine || part == .collective
    let kind = operation < function.operations.count ? function.operations[operation].kind : nil
    let stream: ShardedFunction.Stream =
      isExchanged && kind?.isCollective ?? false ? .communication : .compute
    if let times {
      let seconds = times.seconds(of: kernel, on: estimator.model)
      if seconds > 0 {
        timed.append(
          TimedKernel(
            operation: operation, part: part, stream: stream, kernel: kernel, seconds: seconds))
      }
      return
    }
    let time = estimator.model.time(of: kernel)
    if time.value <= 0 { return }
    let scope = operation < function.operations.count ? function.operations[operation].scope : ""
    let label = name() ?? kind?.rawValue ?? ""
    let work = kernel.work(on: estimator.model.hardware)
    estimates.append(
      OpEstimate(
        operation: operation, name: scope.isEmpty ? label : "\(scope).\(label)", part: part,
        stream: stream, kernel: kernel, time: time, floor: work.floor,
        operations: kernel.operations, bytes: kernel.bytes, bound: work.bound(taking: time.value)))
  }

  /// Plans all operations, or those that are wanted.
  mutating func plan(where isWanted: (Operation) -> Bool = { _ in true }) {
    for index in function.operations.indices
    where !isDone[index] && isWanted(function.operations[index]) {
      plan(index)
    }
  }

  /// Plans the operations of one part.
  mutating func plan(_ part: StepEstimator.CallPart) {
    for index in function.operations.indices where !isDone[index] {
      if (part == .routed) == isRouted(index) { plan(index) }
    }
  }

  /// Whether an operation depends on where experts are and how tokens are routed.
  private func isRouted(_ index: Int) -> Bool {
    switch function.operations[index].kind {
    case .dispatch, .combine: return true
    default:
      return function.operations[index].results.contains {
        function.values[$0].rows == .routed
      }
    }
  }

  /// Gaps between the kernels planned so far.
  mutating func planLaunches() {
    func count(_ sum: Double, _ kernel: TimedKernel) -> Double {
      kernel.stream == .communication ? sum : sum + Double(kernel.launches)
    }
    let launches =
      times == nil
      ? estimates.reduce(0.0) { count($0, TimedKernel($1)) } : timed.reduce(0.0, count)
    let seconds = launches * estimator.model.assumptions.launchGap
    if seconds <= 0 { return }
    let kernel = Kernel.stream(Kernel.Stream(bytes: 0, launches: launches))
    if times != nil {
      timed.append(
        TimedKernel(
          operation: function.operations.count, part: .launch, stream: .compute, kernel: kernel,
          seconds: seconds))
      return
    }
    estimates.append(
      OpEstimate(
        operation: function.operations.count, name: "\(Int(launches)) launches", part: .launch,
        stream: .compute, kernel: kernel,
        time: Figure(
          seconds, provenance: .derived, source: "gaps in DeepSeek's decode profile", spread: 1.5),
        floor: 0, operations: 0, bytes: 0, bound: .latency))
  }

  private mutating func plan(_ index: Int) {
    let operation = function.operations[index]
    switch operation.kind {
    case .linear: planLinear(index)
    case .attention, .latentAttention, .index, .linearAttention: planAttention(index)
    case .dispatch, .combine: planExchange(index)
    case .allReduce, .allGather, .reduceScatter, .send: planCollective(index)
    case .slice, .concat, .reshape, .scatterRows, .receive: break
    case .affine: break
    case .binary: planStream(index, launches: 0)
    case .contract, .unary, .positionScale, .glu, .norm, .sumSquares, .softmax, .reduce, .rope,
      .shortConvolution, .route, .embed, .sampleRows, .custom:
      planStream(index, launches: 1)
    }
  }

  /// Reads the operands that are values and writes the results.
  private mutating func planStream(_ index: Int, launches: Double) {
    let operation = function.operations[index]
    if operation.results.allSatisfy({ function.values[$0].rows == nil }) { return }
    let written = operation.results.reduce(0.0) { $0 + bytes(of: $1) }
    var read = 0.0
    for case .value(let value) in operation.operands.map(\.reference) { read += bytes(of: value) }
    if operation.kind == .embed { read = written }
    var operations = 0.0
    if operation.kind == .custom {
      for case .weight(let weight) in operation.operands.map(\.reference) {
        let bits = estimator.precision.format(of: function.weights[weight].role).bitsPerElement
        read += Double(function.weights[weight].elementCount) * bits / 8
      }
      let made = function.values[operation.results[0]]
      operations =
        rows(of: made) * Double(made.elementsPerRow) * operation.attributes.real("operations")
    }
    // The addition's sum is still at hand when the norm reads it.
    if operation.kind == .binary { read /= 2 }
    let isExperts = operation.kind == .glu && function.values[operation.results[0]].rows == .routed
    add(
      index, isExperts ? .experts : .other,
      .stream(
        Kernel.Stream(bytes: read + written, launches: launches, operations: operations)),
      name: operation.kind == .custom ? operation.attributes.text("name") : nil)
  }

  /// Products of the same input with weights of the same kind are one product.
  private mutating func planLinear(_ index: Int) {
    let operation = function.operations[index]
    guard case .weight(let first)? = operation.operand("weight"),
      case .value(let x)? = operation.operand("x")
    else { return }
    let role = function.weights[first].role
    var n = 0.0
    var names: [String] = []
    for other in index..<function.operations.count where !isDone[other] {
      let candidate = function.operations[other]
      guard candidate.kind == .linear, candidate.operand("x") == operation.operand("x"),
        candidate.attributes["contract"] == operation.attributes["contract"],
        candidate.attributes["batch"] == operation.attributes["batch"],
        case .weight(let weight)? = candidate.operand("weight"),
        function.weights[weight].role == role
      else { continue }
      isDone[other] = true
      let batch = candidate.attributes.texts("batch")
      n += function.values[candidate.results[0]].axes.reduce(1) {
        $0 * (batch.contains($1.name) ? 1 : Double($1.size ?? 1))
      }
      if times != nil { continue }
      // `gate_proj` of `model.layers.{layer}.mlp.gate_proj.weight`.
      let path = function.weights[weight].name.split(separator: ".")
      names.append(String(path.count > 1 ? path[path.count - 2] : path.last ?? ""))
    }
    let type = function.values[x]
    let sizes = { (names: [String]) in
      names.reduce(1.0) { $0 * Double(type.axis(named: $1)?.size ?? 1) }
    }
    let k = sizes(operation.attributes.texts("contract"))
    let batch = sizes(operation.attributes.texts("batch"))
    let format = estimator.precision.format(of: role)
    planQuantization(index, of: x, format: format)
    if function.weights[first].axes.first?.split == .expert {
      let groups = slotRows.reduce(0) { $0 + (1 - exp(-$1)) }
      let rows = slotRows.reduce(0, +) / max(groups, 1e-9)
      add(
        index, .experts,
        .grouped(
          Kernel.GroupedGemm(
            form: !step.isPrefill && estimator.usesLowLatency ? .masked : .contiguous,
            groups: groups, rows: rows, n: n, k: k, format: format)),
        name: names.joined(separator: "+"))
    } else if batch > 1 {
      add(
        index, .gemm,
        .grouped(
          Kernel.GroupedGemm(
            form: .batched, groups: batch, rows: rows(of: type), n: n, k: k, format: format)),
        name: names.joined(separator: "+"))
    } else {
      add(
        index, .gemm, .gemm(Kernel.Gemm(rows: rows(of: type), n: n, k: k, format: format)),
        name: names.joined(separator: "+"))
    }
  }

  /// Activations of fp8 products are quantised first; after a norm or a gate by the same kernel,
  /// after a dispatch by the sender.
  private mutating func planQuantization(_ index: Int, of x: Int, format: Precision.Format) {
    guard format.activationBytes < 2 else { return }
    let producer = function.operations.first { $0.results.contains(x) }?.kind
    if producer == .dispatch || producer == .glu { return }
    let elements = rows(of: function.values[x]) * Double(function.values[x].elementsPerRow)
    add(
      index, .other,
      .stream(
        Kernel.Stream(
          bytes: elements * (2 + format.activationBytes), launches: producer == .norm ? 0 : 1)),
      name: "quantize")
  }

  /// What samplers do to logits: read them, sort or sum them, pick.
  mutating func planSampling() {
    guard let logits = function.results.first(where: { $0.name == "logits" }) else { return }
    add(
      function.operations.count, .other,
      .stream(Kernel.Stream(bytes: 2 * bytes(of: logits.value), launches: 3)), name: "sampling")
    let assumptions = estimator.model.assumptions
    let gaps =
      assumptions.draftGap * Double(estimator.draftPasses)
      + (step.isPrefill ? assumptions.prefillGap : 0)
    let gap = gaps / Double(max(estimator.microBatches, 1))
    if gap <= 0 { return }
    let kernel = Kernel.stream(Kernel.Stream(bytes: 0, launches: 0))
    if times != nil {
      timed.append(
        TimedKernel(
          operation: function.operations.count, part: .launch, stream: .compute, kernel: kernel,
          seconds: gap))
      return
    }
    estimates.append(
      OpEstimate(
        operation: function.operations.count, name: OpEstimate.betweenSteps, part: .launch,
        stream: .compute, kernel: kernel,
        time: Figure(
          gap, provenance: .derived, source: "short steps of published cases", spread: 1.5),
        floor: 0, operations: 0, bytes: 0, bound: .latency))
  }

  private static func slotRows(
    _ estimator: StepEstimator, function: Function, step: StepShape, layer: Int,
    placement: ExpertPlacement?
  ) -> (rows: [Double], imbalance: Double) {
    guard let placement,
      let dispatch = function.operations.first(where: { $0.kind == .dispatch }),
      case .value(let indices)? = dispatch.operand("indices")
    else { return ([], 1) }
    let mesh = estimator.pool.mesh
    let type = function.values[indices]
    let own = type.rows == .ownTokens ? step.tokens / Double(mesh.tp) : step.tokens
    let copies = own * Double(mesh.ep) * Double(type.elementsPerRow)
    let assumed = estimator.assumedBalancedness
    let loads = estimator.loads?.row(ofLayer: layer)
    if loads == nil && assumed < 1 {
      let slots = Double(max(placement.slotsPerRank, 1))
      let rows = copies / Double(mesh.ep) / slots / assumed
      return (Array(repeating: rows, count: placement.slotsPerRank), 1 / assumed)
    }
    let shares = placement.slotShares(for: loads)
    var busiest: ArraySlice<Double> = []
    var most = -1.0
    for rank in 0..<(shares.count / max(placement.slotsPerRank, 1)) {
      let slots = shares[(rank * placement.slotsPerRank)..<((rank + 1) * placement.slotsPerRank)]
      let sum = slots.reduce(0, +)
      if sum > most { (most, busiest) = (sum, slots) }
    }
    return (busiest.map { $0 * copies }, max(1, most * Double(mesh.ep)))
  }
}
