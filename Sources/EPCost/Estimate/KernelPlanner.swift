internal import EPIR
internal import EPModel
internal import EPPlacement
internal import EPPlan
internal import Glibc

/// The kernels that a sharded function becomes, the way engines fuse them: projections of one input
/// are one product, views cost nothing, residual additions ride on the next norm.
struct KernelPlanner {
  private(set) var estimator: StepEstimator
  let sharded: ShardedFunction
  /// The micro-batch, or the part of it that an attention kernel works on.
  var step: StepShape
  let layer: Int
  let placement: ExpertPlacement?
  /// Rows of the busiest rank's slots, and that rank's rows over the mean; with `times` once the routed
  /// part is planned.
  private(set) var slotRows = SlotRows.each([])
  private(set) var imbalance = 1.0
  let outline: KernelOutline
  var estimates: [OpEstimate] = []
  /// Where seconds are remembered; kernels are then planned without names, figures and bounds.
  let times: KernelTimes?
  var timed: [TimedKernel] = []
  /// The operation that is being planned, and whether that is one of the communication stream.
  private var operation = 0
  private var isCollective = false
  /// Where the rules of the kernels of each part are, in the order in which they are planned.
  private var rules = KernelTimes.Held()
  private var routedRules = KernelTimes.Held()
  /// What a placement without loads comes to, once it is known.
  var even: (shares: [Double], most: Double)?

  var function: Function { sharded.function }

  init(
    _ estimator: StepEstimator, function index: Int, layer: Int, times: KernelTimes? = nil,
    outline: KernelOutline? = nil
  ) {
    self.estimator = estimator
    self.layer = layer
    self.times = times
    sharded = estimator.pool.functions[index]
    let made = outline ?? KernelOutline(sharded)
    self.outline = made
    step = estimator.step.split(into: estimator.microBatches)
    placement = estimator.pool.placement(function: index, layer: layer)
    if times == nil { spread() }
  }

  /// Works out where tokens go.
  private mutating func spread() {
    (slotRows, imbalance) = slotRows(of: step)
  }

  /// Forgets what was planned; what comes next is one of so many parts of a step.
  mutating func begin(_ whole: StepShape, parts: Int) {
    (estimator.step, estimator.microBatches) = (whole, parts)
    step = whole.split(into: parts)
    timed = []
    timed.reserveCapacity(outline.items.count + 8)
    operation = function.operations.count
    isCollective = false
    rules.restart()
    routedRules.restart()
  }

  /// Rows of a value in this micro-batch. Of a prompt only the last token needs logits.
  func count(_ rows: KernelOutline.Rows) -> Double {
    switch rows {
    case .one: 1
    case .sampled: step.samples
    case .tokens: step.tokens
    case .ownTokens: step.tokens / Double(estimator.pool.mesh.tp)
    case .routed: slotRows.sum
    }
  }

  func bytes(_ traffic: KernelOutline.Traffic) -> Double {
    count(traffic.rows) * traffic.elementsPerRow
      * Double(estimator.pool.bytes(of: traffic.element))
  }

  func bytes(of value: Int) -> Double { bytes(KernelOutline.Traffic(function.values[value])) }

  /// Adds a kernel of the operation that is being planned.
  mutating func add(
    _ part: OpEstimate.Part, _ kernel: Kernel, name: @autoclosure () -> String? = nil
  ) {
    let isExchanged = part == .dispatch || part == .combine || part == .collective
    let stream: ShardedFunction.Stream =
      isExchanged && isCollective ? .communication : .compute
    if let times {
      let seconds = seconds(of: kernel, times)
      if seconds > 0 {
        timed.append(
          TimedKernel(
            operation: operation, part: part, stream: stream, kernel: kernel, seconds: seconds))
      }
      return
    }
    let time = estimator.model.time(of: kernel)
    if time.value <= 0 { return }
    let planned = operation < function.operations.count ? function.operations[operation] : nil
    let scope = planned?.scope ?? ""
    let label = name() ?? outline.names[operation] ?? planned?.kind.rawValue ?? ""
    let work = kernel.work(on: estimator.model.hardware)
    estimates.append(
      OpEstimate(
        operation: operation, name: scope.isEmpty ? label : "\(scope).\(label)", part: part,
        stream: stream, kernel: kernel, time: time, floor: work.floor,
        operations: kernel.operations, bytes: kernel.bytes, bound: work.bound(taking: time.value)))
  }

  /// Seconds of a kernel that comes behind those before in every step.
  mutating func seconds(of kernel: Kernel, _ times: KernelTimes) -> Double {
    times.seconds(of: kernel, on: estimator.model, &rules)
  }

  /// Plans all operations.
  mutating func plan() {
    for entry in outline.items { plan(entry) }
  }

  /// Plans the operations of one part.
  mutating func plan(_ part: CallPlanner.Part) {
    switch part {
    case .local: for entry in outline.local { plan(entry) }
    case .routed:
      if times != nil { spread() }
      swap(&rules, &routedRules)
      for entry in outline.routed { plan(entry) }
      swap(&rules, &routedRules)
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

  private mutating func plan(_ entry: KernelOutline.Entry) {
    (operation, isCollective) = (entry.operation, entry.isCollective)
    switch entry.item {
    case .product(let product): plan(product)
    case .stream(let stream): plan(stream)
    case .exchange(let exchange): plan(exchange)
    case .attention(let attention): plan(attention)
    case .collective(let collective): plan(collective)
    case .custom: planCustom(function.operations[operation])
    }
    (operation, isCollective) = (function.operations.count, false)
  }

  private func bytes(_ traffic: Range<Int>) -> Double {
    var sum = 0.0
    for index in traffic { sum += bytes(outline.traffic[index]) }
    return sum
  }

  private mutating func plan(_ stream: KernelOutline.Stream) {
    let read = bytes(stream.read) * stream.readShare
    let written = bytes(stream.written)
    add(
      stream.isExperts ? .experts : .other,
      .stream(Kernel.Stream(bytes: read + written, launches: stream.launches)))
  }

  /// An operation from outside: what it reads and writes, its weights, and the arithmetic it declares.
  private mutating func planCustom(_ operation: Operation) {
    if operation.results.allSatisfy({ function.values[$0].rows == nil }) { return }
    var moved = operation.results.reduce(0.0) { $0 + bytes(of: $1) }
    for reference in operation.operands.map(\.reference) {
      switch reference {
      case .value(let value): moved += bytes(of: value)
      case .weight(let weight):
        let bits = estimator.precision.format(of: function.weights[weight].role).bitsPerElement
        moved += Double(function.weights[weight].elementCount) * bits / 8
      default: break
      }
    }
    let made = function.values[operation.results[0]]
    let operations =
      count(KernelOutline.Rows(made)) * Double(made.elementsPerRow)
      * operation.attributes.real("operations")
    add(
      .other, .stream(Kernel.Stream(bytes: moved, launches: 1, operations: operations)),
      name: operation.attributes.text("name"))
  }

  private mutating func plan(_ product: KernelOutline.Product) {

    let format = estimator.precision.format(of: product.role)
    let rows = count(product.input.rows)
    if let launches = product.quantizing, format.activationBytes < 2 {
      add(
        .other,
        .stream(
          Kernel.Stream(
            bytes: rows * product.input.elementsPerRow * (2 + format.activationBytes),
            launches: launches)),
        name: "quantize")
    }
    if product.isExperts {
      let groups = slotRows.groups
      add(
        .experts,
        .grouped(
          Kernel.GroupedGemm(
            // Engines pad groups to tiles only where prompts come with all their rows.
            form: !step.isPrefill && (estimator.usesLowLatency || estimator.gathersTokens)
              ? .masked : .contiguous,
            groups: groups, rows: slotRows.sum / max(groups, 1e-9), n: product.n, k: product.k,
            format: format)))
    } else if product.batch > 1 {
      add(
        .gemm,
        .grouped(
          Kernel.GroupedGemm(
            form: .batched, groups: product.batch, rows: rows, n: product.n, k: product.k,
            format: format)))
    } else {
      add(
        .gemm,
        .gemm(Kernel.Gemm(rows: rows, n: product.n, k: product.k, format: format)))
    }
  }

  /// What samplers do to logits: read them, sort or sum them, pick.
  mutating func planSampling() {
    guard let logits = function.results.first(where: { $0.name == "logits" }) else { return }
    add(
      .other,
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
}
