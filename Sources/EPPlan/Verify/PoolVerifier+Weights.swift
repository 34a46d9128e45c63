internal import EPIR
internal import EPModel

// Every weight element is held by the ranks that should.
extension PoolVerifier {
  mutating func verifyWeights(_ index: Int) {
    let function = pool.functions[index]
    let placed = pool.placements.first { $0.function == index }
    for (number, (weight, sharding)) in zip(function.function.weights, function.sharding)
      .enumerated()
    {
      let suffix = ".functions[\(index)].weights[\(number)]"
      let local = sharding.localAxes(mesh: pool.mesh, slotsPerRank: placed?.slotsPerRank ?? 0)
      if local != weight.axes {
        report(
          "weight-local",
          "'\(weight.name)' is \(weight.type) on a rank, its sharding makes "
            + "\(local.map { TensorType($0).description } ?? "nothing")", suffix)
      }
      // Where `localAxes` has a part, the parts of all ranks tile the axis: see `WeightSharding.part`.
      if let axis = sharding.tensorAxis {
        if sharding.axes[axis].split != .tensor {
          report(
            "weight-split", "'\(weight.name)' is split along \(sharding.axes[axis])", suffix)
        }
      }
      let hasExperts = sharding.axes.first?.split == .expert
      if hasExperts != (sharding.expertAxis == 0) {
        report("weight-experts", "'\(weight.name)' is not split along its experts", suffix)
      }
      if hasExperts, sharding.axes[0].size != placed?.experts {
        report(
          "weight-experts",
          "'\(weight.name)' has \(sharding.axes[0]), the placement "
            + "\(placed?.experts ?? 0)", suffix)
      }
    }
  }
}
