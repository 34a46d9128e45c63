internal import EPIR
public import EPModel
public import EPPlacement
public import EPPlan

/// Works out what a step of a pool takes, operation by operation.
public struct StepEstimator: Sendable {
  /// The pool.
  public var pool: Pool
  /// How weights are kept.
  public var precision: Precision
  /// What kernels take.
  public var model: CostModel
  /// Devices of a node.
  public var devicesPerNode: Int
  /// How tokens are spread over experts; evenly in layers that are not there.
  public var loads: ExpertLoads?
  /// Mean over maximum of the tokens of expert ranks in layers whose loads are not given; at 1 the
  /// placement's own under even loads counts.
  public var assumedBalancedness: Double
  /// What a data group works on in a step; the pool's load unless set.
  public var step: StepShape
  /// Micro-batches that a step is cut into.
  public var microBatches: Int
  /// Tokens drafted for each sequence and step; the pool's MTP depths unless set.
  public var draftPasses: Int
  /// The number format of rows that are dispatched.
  public var dispatchFormat: Precision.Format
  /// The number format that attention reads its cache and computes in; the pool's activations
  /// unless set.
  public var attentionFormat: Precision.Format
  /// The algorithm of All-to-All: low-latency kernels or normal ones.
  public var usesLowLatency: Bool
  /// Whether there is no All-to-All: every expert rank gathers all tokens, and sums are scattered.
  public var gathersTokens: Bool

  /// Makes an estimator of a pool on a model's hardware. All-to-All takes the kernels that the
  /// pool's program names.
  public init(_ pool: Pool, precision: Precision, model: CostModel, devicesPerNode: Int? = nil) {
    self.pool = pool
    self.precision = precision
    self.model = model
    self.devicesPerNode = devicesPerNode ?? model.hardware.devicesPerNode
    assumedBalancedness = 1
    step = StepShape(pool.load, role: pool.role, drafts: pool.drafts.count)
    microBatches = 1
    draftPasses = pool.role == .prefill ? 0 : pool.drafts.count
    dispatchFormat = precision.experts == .bf16 ? .bf16 : .fp8
    attentionFormat = pool.activations
    let dispatch = pool.functions.lazy.flatMap(\.function.operations).first { $0.kind == .dispatch }
    let algorithm = dispatch?.attributes.text("algorithm")
    (usesLowLatency, gathersTokens) = (algorithm == "low_latency", algorithm == "all_gather")
  }

  /// The whole step.
  public func estimate() -> StepEstimate {
    StepEstimate(
      stages: pool.stages.indices.map { stage in
        pool.calls(ofStage: stage).flatMap { estimate(call: $0, stage: stage) }
      })
  }

  /// The calls of a function: one estimate for all layers of even load, one each otherwise.
  public func estimate(call: ModelProgram.Call, stage: Int) -> [FunctionEstimate] {
    let function = pool.functions[call.function].function
    let isHead = stage == pool.stages.count - 1 && function.results.contains { $0.name == "logits" }
    if call.layers.isEmpty {
      return [estimate(function: call.function, layers: [], samples: isHead)]
    }
    let given = Set(loads?.layers ?? [])
    let special = call.layers.filter { given.contains($0) }
    let even = call.layers.filter { !given.contains($0) }
    var estimates = even.isEmpty ? [] : [estimate(function: call.function, layers: even)]
    estimates += special.map { estimate(function: call.function, layers: [$0]) }
    return estimates
  }

  /// One call of a function for layers that share figures.
  public func estimate(
    function index: Int, layers: [Int], samples: Bool = false
  ) -> FunctionEstimate {
    var planner = KernelPlanner(self, function: index, layer: layers.first ?? -1)
    planner.plan()
    if samples { planner.planSampling() }
    planner.planLaunches()
    return FunctionEstimate(
      function: index, name: pool.functions[index].function.name, layers: layers,
      calls: max(layers.count, 1) * microBatches, operations: planner.estimates)
  }
}
