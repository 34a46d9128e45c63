internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

/// What all ranks of a pool share: kernels made ready, and the layout of arenas.
struct PreparedPool<D: Device> {
  /// A function as tensor rank 0 runs it, or as the others do. Every operation of every step looks into
  /// it, so it is never copied.
  final class Variant: Sendable {
    let function: ShardedFunction
    /// The kernel of each operation; nil where the executor does it.
    let kernels: [D.Kernel?]
    /// The operand references of each operation, by role.
    let references: [[Reference?]]
    /// Where each value is in an arena, in bytes.
    let offsets: [Int]
    /// The room each value has there.
    let sizes: [Int]
    /// For each operation, the layer of routed experts it is part of, where the device runs that as one.
    let fused: [FusedExperts?]

    init(
      _ function: ShardedFunction, kernels: [D.Kernel?], fused: [FusedExperts?], spread: Int
    ) {
      self.function = function
      self.kernels = kernels
      self.fused = fused
      references = function.function.operations.map(\.references)
      offsets = function.buffers.map { $0.offset * spread }
      sizes = function.buffers.map { $0.bytes * spread }
    }

    /// The form that an operation wants a weight in.
    func form(ofOperand operand: Int, of operation: Int, on device: D) -> WeightForm? {
      kernels[operation].flatMap { device.form(ofOperand: operand, of: $0) }
    }
  }

  let pool: Pool
  /// For each function, the variant of tensor rank 0 and that of the others.
  let variants: [(first: Variant, others: Variant)]
  /// Bytes of a rank's arena.
  let arenaBytes: Int
  /// Bytes of a device that the plan may use.
  let deviceBytes: Int

  init(_ plan: Plan, pool index: Int, device: D) throws(ExecutionError) {
    let pool = plan.pools[index]
    // Values are computed in fp32, so places planned for 16-bit elements are twice as far apart.
    let spread = 4 / pool.bytes(of: .real)
    let first = plan.instantiate(rank: 0, of: index).functions
    let others = pool.mesh.tp > 1 ? plan.instantiate(rank: 1, of: index).functions : first
    var variants: [(first: Variant, others: Variant)] = []
    for (a, b) in zip(first, others) {
      variants.append(
        (
          try PreparedPool.variant(a, spread: spread, device: device),
          try PreparedPool.variant(b, spread: spread, device: device)
        ))
    }
    self.pool = pool
    self.variants = variants
    deviceBytes = plan.cluster.usableBytes
    arenaBytes = spread * pool.functions.reduce(0) { max($0, $1.arenaBytes) }
  }

  private static func variant(
    _ function: ShardedFunction, spread: Int, device: D
  ) throws(ExecutionError) -> Variant {
    var kernels: [D.Kernel?] = []
    for operation in function.function.operations {
      if operation.kind.isExecutors || device.runsPrograms {
        kernels.append(nil)
        continue
      }
      do {
        kernels.append(try device.makeKernel(OpDescription(operation, in: function.function)))
      } catch { throw .backend(error) }
    }
    var fused: [FusedExperts?] = kernels.map { _ in nil }
    for layer in FusedExperts.all(in: function) {
      guard let parts = layer.parts(of: kernels), device.fuses(parts) else { continue }
      for operation in layer.operations { fused[operation] = layer }
    }
    return Variant(function, kernels: kernels, fused: fused, spread: spread)
  }
}
