internal import CEPKernels
internal import EPBackend
internal import EPModel

/// A router made ready.
@safe
struct RouteForm {
  private var route: epc_route
  private let partitions: Storage?
  private let capacityFactor: Double?
  /// Choices of a row, over all outer ones.
  private let choices: Int
  private let groups: Int

  init(_ op: OpDescription) throws(BackendError) {
    let attributes = op.attributes
    let scorings = [
      "softmax": EPC_SCORE_SOFTMAX, "sigmoid": EPC_SCORE_SIGMOID,
      "sqrt_softplus": EPC_SCORE_SQRT_SOFTPLUS, "softmax_selected": EPC_SCORE_SOFTMAX_SELECTED,
      "sparse_mixer": EPC_SCORE_SPARSE_MIXER, "gumbel_softmax": EPC_SCORE_GUMBEL_SOFTMAX,
      "none": EPC_SCORE_NONE,
    ]
    let selections = [
      "top_k": EPC_SELECT_TOP_K, "top_p": EPC_SELECT_TOP_P, "hash": EPC_SELECT_HASH,
    ]
    guard let scoring = scorings[attributes.text("scoring")],
      let selection = selections[attributes.text("selection")]
    else { throw op.unsupported("there is no such scoring or selection") }
    let numbers = attributes.ints("partitions")
    partitions = numbers.isEmpty ? nil : Storage(numbers.map { Int32(clamping: $0) })
    let hasCapacity = attributes["capacity_factor"] != nil
    capacityFactor = hasCapacity ? attributes.real("capacity_factor") : nil
    choices = try op.result().elementsPerRow
    groups = attributes.int("groups", default: 1)
    if capacityFactor != nil, RowKind(try op.result()) == .own {
      throw op.unsupported("its capacity counts all tokens of a sequence, and it sees a share")
    }
    let outer = op.type("outer_indices")?.elementsPerRow ?? 0
    let table = op.type("table")
    if let table, table.axes.dropFirst().map(\.size) != [attributes.int("top_k")] {
      throw op.unsupported(
        "its table \(table) does not list \(attributes.int("top_k")) experts a row")
    }
    let tableRows = table?.axes.first?.size ?? 0
    let isTopTwo = attributes.text("group_score") == "top2_sum"
    unsafe route = unsafe epc_route(
      experts: attributes.int("experts") + attributes.int("identity_experts"),
      weighted_experts: attributes.int("experts"), top_k: attributes.int("top_k"), scoring: scoring,
      selection: selection,
      top_p: attributes.real("top_p"), groups: groups,
      groups_kept: attributes.int("groups_kept"), groups_by_top_two: isTopTwo,
      normalize: attributes.flag("normalize"),
      normalize_epsilon: attributes.real("normalize_epsilon"),
      normalize_minimum: attributes.real("normalize_minimum"),
      scale: attributes.real("scale", default: 1),
      temperature: attributes.real("temperature", default: 1), jitter: attributes.real("jitter"),
      has_seed: attributes["seed"] != nil,
      seed: UInt64(bitPattern: Int64(attributes.int("seed"))),
      partitions: UnsafePointer(partitions?.memory.indices), partition_count: numbers.count,
      table_rows: tableRows, outer_top_k: outer)
  }

  func run(_ arguments: OpArguments, _ step: StepState, rows kind: RowKind, count: Int) {
    let scratch = step.scratch.take(bytes: scratchBytes)
    choose(arguments, step, rows: kind, 0..<count, scratch)
    drop(arguments, step)
  }

  /// The same, rows shared out over threads.
  func run(
    _ arguments: OpArguments, _ step: StepState, rows kind: RowKind, count: Int,
    on device: CPUDevice
  ) {
    // A score takes some ten times the time of a product.
    let work = unsafe 32 * route.experts
    device.share(count, width: work) { rows, worker in
      choose(
        arguments, step, rows: kind, rows, device.pool.scratch(worker, bytes: scratchBytes))
    }
    drop(arguments, step)
  }

  private var scratchBytes: Int {
    unsafe 8 * (3 * route.experts + route.top_k + groups)
  }

  private func choose(
    _ arguments: OpArguments, _ step: StepState, rows kind: RowKind, _ rows: Range<Int>,
    _ scratch: Memory
  ) {
    var route = unsafe self.route
    let (first, operands) = (rows.lowerBound, arguments.operands)
    func reals(_ operand: Int, _ width: Int) -> UnsafePointer<Float>? {
      unsafe operands[operand].map { unsafe UnsafePointer($0.reals + first * width) }
    }
    func indices(_ operand: Int, _ width: Int) -> UnsafePointer<Int32>? {
      unsafe operands[operand].map { unsafe UnsafePointer($0.indices + first * width) }
    }
    unsafe epc_ref_route(
      &route, reals(0, route.experts), reals(1, 0), indices(2, 1), reals(3, 0), indices(4, 1),
      indices(5, route.outer_top_k), reals(6, route.outer_top_k),
      step.positions(of: kind).indices + first, rows.count, scratch.doubles,
      arguments.results[0].indices + first * choices,
      arguments.results[1].reals + first * choices)
  }

  /// Drops what is beyond the capacity of experts, if they have one.
  private func drop(_ arguments: OpArguments, _ step: StepState) {
    guard let capacityFactor else { return }
    let (topK, weighted) = unsafe (route.top_k, route.weighted_experts)
    let experts = unsafe route.experts
    let counts = step.scratch.take(bytes: 4 * experts)
    for span in step.spans {
      let most = capacityFactor * Double(span.rows.count) * Double(topK) / Double(weighted)
      unsafe epc_ref_route_capacity(
        experts, Int(min(most.rounded(.up), 1e15)), span.rows.count, choices, counts.indices,
        arguments.results[0].indices + span.rows.lowerBound * choices,
        arguments.results[1].reals + span.rows.lowerBound * choices)
    }
  }
}
