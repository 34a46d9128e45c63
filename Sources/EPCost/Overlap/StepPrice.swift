internal import EPIR
public import EPModel
public import EPPlan
public import EPSchedule

/// Seconds of a step or of a part of it.
public struct StepPrice: Hashable, Sendable {
  /// From its start to its end.
  public var seconds = 0.0
  /// That the compute stream is busy.
  public var computing = 0.0
  /// That a stage has no lot to work on.
  public var waiting = 0.0

  /// Nothing.
  public init() {}

  /// Seconds of kernels one after the other.
  public init(_ kernels: [TimedKernel]) {
    for kernel in kernels {
      seconds += kernel.seconds
      if kernel.stream == .compute { computing += kernel.seconds }
    }
  }

  /// Adds another part, so many times.
  public mutating func add(_ part: StepPrice, times: Double = 1) {
    seconds += part.seconds * times
    computing += part.computing * times
  }
}

/// What the stages of a pool call, each function once a stage.
public struct StepLayout: Sendable {
  /// A function that a stage calls.
  public struct Call: Sendable {
    /// The stage.
    public var stage: Int
    /// Its place among the stage's.
    public var place: Int
    /// The function.
    public var function: Int
    /// All calls of it by the stage.
    public var calls: [ModelProgram.Call]
    /// How many times it runs, for one micro-batch.
    public var layers: Int
    /// Whether it ends the last stage with logits that are sampled from.
    public var samples: Bool
  }

  /// The calls of each stage, in the order of the first of each function.
  public var stages: [[Call]]
  /// Lots of micro-batches that a step is cut into.
  public var lots: Int
  /// Whether a lot's next step needs what the last stage made of it.
  private let returns: Bool

  /// The layout of a pool.
  public init(_ pool: Pool) {
    lots = pool.lots
    returns = pool.role != .prefill
    stages = pool.stages.indices.map { stage in
      var calls: [Call] = []
      for call in pool.calls(ofStage: stage) {
        let layers = max(call.layers.count, 1)
        if let known = calls.firstIndex(where: { $0.function == call.function }) {
          calls[known].calls.append(call)
          calls[known].layers += layers
          continue
        }
        let samples =
          call.layers.isEmpty && stage == pool.stages.count - 1
          && pool.functions[call.function].function.results.contains { $0.name == "logits" }
        calls.append(
          Call(
            stage: stage, place: calls.count, function: call.function, calls: [call],
            layers: layers, samples: samples))
      }
      return calls
    }
  }

  /// The prices of one lot in each stage, from those of its calls.
  public func stagePrices(_ call: (Call) -> StepPrice) -> [StepPrice] {
    stages.map { stage in
      stage.reduce(into: StepPrice()) { price, one in price.add(call(one)) }
    }
  }

  /// A step by the prices of one lot in each stage, as steps follow each other: see
  /// `PipelineSchedule.least`.
  public func price(_ stages: [StepPrice]) -> StepPrice {
    guard let slowest = stages.max(by: { $0.seconds < $1.seconds }) else { return StepPrice() }
    var price = StepPrice()
    price.add(slowest, times: Double(lots))
    let around = returns ? stages.reduce(0) { $0 + $1.seconds } : 0
    price.waiting = max(0, around - price.seconds)
    price.seconds += price.waiting
    return price
  }

  /// Seconds of a step, from those of one lot's calls, which are numbered through all stages.
  public func seconds(_ call: (Int) -> Double) -> Double {
    var (slowest, around, number) = (0.0, 0.0, 0)
    for stage in stages.indices {
      var seconds = 0.0
      for _ in stages[stage].indices {
        seconds += call(number)
        number += 1
      }
      slowest = max(slowest, seconds)
      around += seconds
    }
    let busy = slowest * Double(lots)
    return returns ? max(busy, around) : busy
  }

  /// A step, from the prices of one lot's calls.
  public func price(_ call: (Call) -> StepPrice) -> StepPrice { price(stagePrices(call)) }
}

extension LayerLoop {
  /// The price of so many layers, all micro-batches of a lot, one period apart.
  public func price(_ times: Times, layers: Double) -> StepPrice {
    var price = StepPrice()
    let ticks = Double(times.period) * layers + Double(max(0, times.span - times.period))
    price.seconds = ticks * 1e-9
    let computing = jobs.reduce(0) { $1.stream == .compute ? $0 + $1.duration : $0 }
    price.computing = Double(computing * microBatches) * layers * 1e-9
    return price
  }

  /// The times of the shortest schedule; nil where there is none.
  public func times(_ solver: LoopSolver) -> Times? {
    let body = body
    return solver.solve(body).map { Times(period: $0.period, span: $0.span(of: body)) }
  }
}

extension LayerLoop.Times {
  /// Those of a schedule as it was recorded.
  init(_ record: LayerSchedule) {
    self.init(period: record.period, span: record.span)
  }
}
