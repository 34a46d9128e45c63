public import EPIR
public import EPModel

/// What one rank runs: the plan written out for it, as plain data.
public struct RankProgram: Hashable, Sendable {
  /// A call with everything that depends on rank and layer filled in.
  public struct Call: Hashable, Sendable {
    /// The function, as an index into `functions`.
    public var function: Int
    /// The layer, or -1 for embedding and head.
    public var layer: Int
    /// Which of the function's calls this is, for its constants.
    public var ordinal: Int
    /// The part of each weight that the rank holds.
    public var weights: [WeightSlice]
    /// Where the layer's experts are, if it has any.
    public var placement: ExpertPlacement?
    /// Whether it is an MTP depth.
    public var isDraft: Bool
  }

  /// The rank in its pool.
  public var rank: Int
  /// The pool, as an index into the plan's pools.
  public var pool: Int
  /// Where the rank stands.
  public var coordinates: Mesh.Coordinates
  /// The ranks it meets in each group, itself among them.
  public var groups: [Mesh.Group: [Int]]
  /// The functions, with operands left out that only tensor rank 0 has.
  public var functions: [ShardedFunction]
  /// What it calls, in order.
  public var calls: [Call]
}

/// The part of a weight that a rank holds.
public struct WeightSlice: Hashable, Sendable {
  /// The weight's name, with the layer filled in and `{expert}` left open.
  public var name: String
  /// Where a checkpoint may hold it, the layer filled in.
  public var stored: [StoredTensor]
  /// The axes of the whole weight.
  public var axes: [Axis]
  /// The elements held along each axis; for the expert axis see `experts`.
  public var ranges: [Range<Int>]
  /// The logical expert in each slot, if the weight has an expert axis, which is the first.
  public var experts: [Int]?
  /// Whether the rank uses it at all.
  public var isUsed: Bool

  /// Makes a slice.
  public init(
    name: String, stored: [StoredTensor], axes: [Axis], ranges: [Range<Int>], experts: [Int]? = nil,
    isUsed: Bool = true
  ) {
    self.name = name
    self.stored = stored
    self.axes = axes
    self.ranges = ranges
    self.experts = experts
    self.isUsed = isUsed
  }
}

extension Plan {
  /// The program of a rank of a pool. Every backend, `epc show --rank` and plugins use this one.
  ///
  /// The plan must have been verified.
  public func instantiate(rank: Int, of poolIndex: Int) -> RankProgram {
    let pool = pools[poolIndex]
    let coordinates = pool.mesh.coordinates(of: rank)
    var program = RankProgram(
      rank: rank, pool: poolIndex, coordinates: coordinates, groups: [:],
      functions: pool.functions.map { $0.instantiated(isFirst: coordinates.tensor == 0) },
      calls: [])
    for group in Mesh.Group.allCases {
      program.groups[group] = pool.mesh.members(of: group, with: rank)
    }
    let ordinals = pool.ordinals
    for (position, call) in pool.calls(ofStage: coordinates.stage).enumerated() {
      let isDraft = position >= pool.stages[coordinates.stage].count
      for layer in call.layers.isEmpty ? [-1] : call.layers {
        let placement = pool.placement(function: call.function, layer: layer)
        let function = pool.functions[call.function]
        program.calls.append(
          RankProgram.Call(
            function: call.function, layer: layer,
            ordinal: ordinals[call.function]?[layer] ?? 0,
            weights: function.function.weights.indices.map { index in
              function.slice(
                of: index, layer: layer, mesh: pool.mesh, coordinates: coordinates,
                placement: placement)
            }, placement: placement, isDraft: isDraft))
      }
    }
    return program
  }
}

extension Pool {
  /// By function and layer, how many layers before call the function: the row of its constants.
  var ordinals: [Int: [Int: Int]] {
    var layers: [Int: [Int]] = [:]
    for call in stages.flatMap({ $0 }) + drafts {
      layers[call.function, default: []] += call.layers
    }
    return layers.mapValues { layers in
      var ordinals: [Int: Int] = [:]
      for (ordinal, layer) in layers.sorted().enumerated() { ordinals[layer] = ordinal }
      return ordinals
    }
  }
}

extension ShardedFunction {
  /// The function without the operands that only tensor rank 0 has, unless this is that rank.
  func instantiated(isFirst: Bool) -> ShardedFunction {
    if isFirst { return self }
    var copy = self
    for index in copy.function.operations.indices {
      let attributes = copy.function.operations[index].attributes
      if attributes["bias_on"] != nil {
        copy.function.operations[index].operands.removeAll { $0.role == "bias" }
      }
      if attributes["identity_on"] != nil {
        copy.function.operations[index].operands.removeAll { $0.role == "identity" }
      }
    }
    return copy
  }

  func slice(
    of index: Int, layer: Int, mesh: Mesh, coordinates: Mesh.Coordinates,
    placement: ExpertPlacement?
  ) -> WeightSlice {
    let weight = function.weights[index]
    let sharding = self.sharding[index]
    let number = String(layer)
    var ranges = sharding.axes.map { 0..<($0.size ?? 0) }
    if let axis = sharding.tensorAxis,
      let part = WeightSharding.part(
        of: ranges[axis].count, over: mesh.tp, at: coordinates.tensor)
    {
      ranges[axis] = part
    }
    return WeightSlice(
      name: weight.name.replacing("{layer}", with: number),
      stored: weight.stored.map { place in
        var place = place
        place.name = place.name.replacing("{layer}", with: number)
        return place
      }, axes: sharding.axes, ranges: ranges,
      experts: sharding.expertAxis == nil
        ? nil : placement.map { Array($0.experts(ofRank: coordinates.expert)) },
      isUsed: !sharding.isFirstOnly || coordinates.tensor == 0)
  }
}
