internal import CEPKernels
public import EPCheckpoint
internal import EPModel
public import EPPlan

/// The weights that `synthetic:SEED` stands for, as a checkpoint on disk.
public struct SyntheticCheckpoint {
  /// A weight that is a tensor of its own, or an expert of one.
  private struct Source {
    var slice: EPPlan.WeightSlice
    var uses: WeightUse
    /// The place of the tensor's first element in the weight.
    var first: Int
  }

  private let writer: CheckpointWriter
  private let sources: [Source]
  private let seed: UInt64

  /// Bytes that it will take, headers aside.
  public let bytes: Int

  /// Describes the checkpoint of a plan's model.
  ///
  /// - Throws: `WeightError.unwritable` where a weight is not a tensor of its own: a part of one,
  ///   transposed, or whole numbers.
  public init(
    of plan: Plan, seed: UInt64, format: CheckpointWriter.Format, shardBytes: Int = 4 << 30
  ) throws(WeightError) {
    self.seed = seed
    var made: [String: (tensor: CheckpointWriter.Tensor, source: Source)] = [:]
    for pool in plan.pools.prefix(1) {
      for call in pool.stages.flatMap({ $0 }) + pool.drafts {
        let function = pool.functions[call.function]
        for (index, weight) in function.function.weights.enumerated() {
          guard weight.role != .constant, let place = weight.stored.first else { continue }
          let uses = WeightUse(of: index, in: function)
          guard place.rows == .all, !place.transposed else {
            throw .unwritable(weight: weight.name, tensor: place.name)
          }
          if case .experts = uses { throw .unwritable(weight: weight.name, tensor: place.name) }
          let axes = function.sharding[index].axes
          for layer in weight.name.contains("{layer}") ? call.layers : [-1] {
            let slice = EPPlan.WeightSlice(
              name: weight.name.replacing("{layer}", with: String(layer)),
              stored: [place.filled(layer: layer)], axes: axes,
              ranges: axes.map { 0..<($0.size ?? 1) }, experts: nil, isUsed: true)
            let sizes = axes.map { $0.size ?? 1 }
            let isPerExpert = place.isPerExpert
            let count = sizes.dropFirst().reduce(1, *)
            for expert in 0..<(isPerExpert ? sizes.first ?? 1 : 1) {
              let name = slice.stored[0].name.replacing("{expert}", with: String(expert))
              made[name] = (
                CheckpointWriter.Tensor(
                  name, shape: isPerExpert ? Array(sizes.dropFirst()) : sizes),
                Source(slice: slice, uses: uses, first: isPerExpert ? expert * count : 0)
              )
            }
          }
        }
      }
    }
    writer = CheckpointWriter(
      made.values.map(\.tensor), format: format, shardBytes: shardBytes)
    sources = writer.order.compactMap { made[$0.name]?.source }
    bytes = writer.order.reduce(0) { $0 + $1.shape.reduce(format == .fp32 ? 4 : 2, *) }
  }

  /// Writes it to a folder.
  public func write(to folder: String) throws(WeightError) {
    do throws(CheckpointError) {
      try writer.write(to: folder) { tensor, range, values in
        let source = sources[tensor]
        let (center, deviation) = source.uses.distribution
        unsafe epc_ref_random_normal(
          source.slice.key(seed: seed), UInt64(source.first + range.lowerBound), center, deviation,
          range.count, &values)
      }
    } catch { throw .checkpoint(error) }
  }
}
