internal import EPCost
internal import EPIR
internal import EPModel
internal import EPPlan

/// How a function's tokens go to experts.
struct DispatchShape: Hashable, Sendable {
  /// Experts that a token goes to.
  var topK: Int
  /// Logical experts.
  var experts: Int
  /// Groups of experts of which a token keeps `kept`; 0 without.
  var groups: Int
  var kept: Int
  /// Whether a rank sends its share of a data group's tokens, rather than all.
  var sendsOwnTokens: Bool

  init?(_ function: Function) {
    guard let dispatch = function.operations.first(where: { $0.kind == .dispatch }),
      case .value(let indices)? = dispatch.operand("indices")
    else { return nil }
    let type = function.values[indices]
    topK = type.elementsPerRow
    experts = dispatch.attributes.int("experts")
    sendsOwnTokens = type.rows == .ownTokens
    let route = function.operations.first {
      $0.kind == .route && $0.results.contains(indices)
    }
    groups = route?.attributes.int("groups") ?? 0
    kept = route?.attributes.int("groups_kept") ?? 0
    if groups <= 1 || groups > 64 || kept <= 0 || kept >= groups || experts % groups != 0 {
      (groups, kept) = (0, 0)
    }
  }

  /// Tokens that a tensor rank sends of a data group's.
  func tokens(of all: Int, tensor: Int, mesh: Mesh) -> Int {
    sendsOwnTokens ? all * (tensor + 1) / mesh.tp - all * tensor / mesh.tp : all
  }
}

extension IssueList {
  /// The jobs of a function in the plan's order, on the plan's streams, with the plan's waits; what
  /// they take is the estimator's.
  ///
  /// - Parameters:
  ///   - sampling: whether tokens are drawn from the logits that it makes.
  init(
    function index: Int, layer: Int, estimator: StepEstimator, sampling: Bool
  ) {
    let sharded = estimator.pool.functions[index]
    let function = sharded.function
    let model = estimator.model
    let kernels = RoutedSamples(function: index, layer: layer, estimator, sampling: sampling)
    let (twice, fourfold) = (kernels.twice, kernels.fourfold)
    name = function.name
    jobs = []
    routed = []
    exchanges = []
    eventCount = 0
    var events: [Int: Int] = [:]
    // What follows the last operation, tokens drawn from logits, waits for it.
    let last = function.operations.count - 1
    let awaited = Set(sharded.waits.joined()).union([last])
    var estimates: [Int: [Int]] = [:]
    // Gaps between kernels are in the kernels' durations.
    for (number, estimate) in twice.enumerated()
    where estimate.part != .launch || estimate.name == OpEstimate.betweenSteps {
      estimates[estimate.operation, default: []].append(number)
    }
    for operation in 0...function.operations.count {
      let isReal = operation < function.operations.count
      let kind = isReal ? function.operations[operation].kind : nil
      let stream = isReal ? sharded.streams[operation] : .compute
      var waits = (isReal ? sharded.waits[operation] : [last]).compactMap { events[$0] }
      var own: [Job] = []
      for number in estimates[operation] ?? [] {
        let estimate = twice[number]
        let duration = duration(
          of: estimate, fourfold[number], operation: isReal ? function.operations[operation] : nil,
          kernels, model: model)
        own.append(
          Job(
            name: estimate.name, part: estimate.part, stream: estimate.stream, duration: duration,
            waits: [], event: nil))
      }
      if kind == .receive {
        own.insert(
          Job(
            name: "receive", part: .collective, stream: stream, duration: .receive, waits: [],
            event: nil), at: 0)
      }
      // An operation without kernels (a view) still passes on what it waits for.
      if own.isEmpty && (!waits.isEmpty || awaited.contains(operation)) {
        own = [
          Job(
            name: kind?.rawValue ?? "", part: .other, stream: stream, duration: .fixed(0),
            waits: [], event: nil)
        ]
      }
      // Kernels of one operation follow one another, also across streams.
      for index in own.indices {
        own[index].waits = waits.map { Job.Wait(event: $0) }
        waits = []
        if index + 1 < own.count, own[index + 1].stream != own[index].stream {
          own[index].event = eventCount
          waits = [eventCount]
          eventCount += 1
        }
      }
      if awaited.contains(operation), !own.isEmpty {
        own[own.count - 1].event = eventCount
        events[operation] = eventCount
        eventCount += 1
      }
      jobs += own
    }
  }

  private mutating func duration(
    of estimate: OpEstimate, _ other: OpEstimate, operation: Operation?, _ kernels: RoutedSamples,
    model: CostModel
  ) -> Job.Duration {
    switch estimate.kernel {
    case .exchange(let exchange):
      let known = RoutedExchange(exchange, model: model)
      let even = model.time(of: .exchange(known.exchange)).value
      if estimate.part == .barrier {
        // A share of the exchange: what the plan's figures say beyond what skew shows here.
        let share = estimate.time.value / max(model.time(of: estimate.kernel).value, 1e-12)
        return .fixed(Ticks(seconds: share * even))
      }
      exchanges.append(known)
      return .exchange(exchanges.count - 1)
    case .collective(let collective):
      let ticks = Ticks(seconds: estimate.time.value)
      if collective.form == .pointToPoint { return .send(ticks) }
      let group = Mesh.Group(rawValue: operation?.attributes.text("group") ?? "") ?? .tensor
      return .collective(group, ticks)
    default:
      var launches = 1.0
      if case .stream(let stream) = estimate.kernel { launches = stream.launches }
      let gap =
        estimate.stream == .compute
        ? Ticks(seconds: launches * model.assumptions.launchGap) : 0
      if estimate.kernel == other.kernel || kernels.mean <= 0 {
        return .fixed(Ticks(seconds: estimate.time.value) + gap)
      }
      routed.append(kernels.routed(estimate, other, gap: gap, model: model))
      return .routed(routed.count - 1)
    }
  }
}
