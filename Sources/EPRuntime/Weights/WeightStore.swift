internal import CEPKernels
internal import EPBackend
internal import EPCheckpoint
internal import EPModel
public import EPPlan

/// The weights of this process: read or made slice by slice, each slice once.
public final class WeightStore {
  private let source: WeightSource
  private var loaded: [EPPlan.WeightSlice: Storage] = [:]
  private var knownUses: [String: WeightUse] = [:]

  /// Bytes of weights held.
  public private(set) var bytes = 0

  /// Weights from a source, for plans that were checked against it.
  ///
  /// - Throws: `WeightError` if a checkpoint does not hold exactly the weights of the plan.
  public init(_ source: WeightSource, for plan: Plan) throws(WeightError) {
    self.source = source
    if case .checkpoint(let checkpoint) = source { try checkpoint.check(plan) }
  }

  func uses(of weight: Int, in function: ShardedFunction) -> WeightUse {
    let key = "\(function.function.name) \(function.function.weights[weight].name)"
    if let known = knownUses[key] { return known }
    let use = WeightUse(of: weight, in: function)
    knownUses[key] = use
    return use
  }

  /// The elements of a slice; `ordinal` says which row of constants belongs to the call.
  func load(
    _ slice: EPPlan.WeightSlice, of weight: WeightDeclaration, uses: WeightUse, ordinal: Int
  ) throws(WeightError) -> Storage {
    var key = slice
    key.isUsed = true
    if let known = loaded[key] { return known }
    let box = WeightBox(slice)
    let experts = slice.axes.first?.split == .expert ? slice.experts ?? [] : nil
    let storage = Storage(bytes: 4 * box.count * (experts?.count ?? 1))
    if weight.role == .constant {
      fill(
        storage, box,
        constants: weight.constants.indices.contains(ordinal)
          ? weight.constants[ordinal] : weight.constants.first ?? [])
    } else {
      switch source {
      case .synthetic(let seed):
        synthesize(storage, box, slice, experts: experts, uses: uses, seed: seed)
      case .checkpoint(let checkpoint):
        try checkpoint.read(slice, box, experts: experts, uses: uses, into: storage.memory)
      }
    }
    bytes += storage.memory.bytes
    loaded[key] = storage
    return storage
  }

  private func fill(_ storage: Storage, _ box: WeightBox, constants: [Double]) {
    var next = 0
    for run in box.runs {
      for index in run where constants.indices.contains(index) {
        unsafe storage.memory.reals[next] = Float(constants[index])
        next += 1
      }
    }
  }

  /// Random numbers by name and place, so that every rank makes its own part of the same weight.
  private func synthesize(
    _ storage: Storage, _ box: WeightBox, _ slice: EPPlan.WeightSlice, experts: [Int]?,
    uses: WeightUse, seed: UInt64
  ) {
    var key: UInt64 = 0xcbf2_9ce4_8422_2325 ^ (seed &* 0x9e37_79b9_7f4a_7c15)
    for byte in slice.name.utf8 { key = (key ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let (center, deviation) = uses.distribution
    var next = 0
    for expert in experts ?? [0] {
      for run in box.runs {
        let place = storage.memory.elements(from: next, count: run.count)
        let first = UInt64(expert * box.wholeCount + run.lowerBound)
        unsafe epc_ref_random_normal(key, first, center, deviation, run.count, place.reals)
        if case .experts(let count) = uses {
          for index in 0..<run.count {
            // Rows list different experts: consecutive ones from a place that the token decides.
            let (row, column) = (
              (run.lowerBound + index) / max(box.sizes.last ?? 1, 1),
              (run.lowerBound + index) % max(box.sizes.last ?? 1, 1)
            )
            let start = Int(truncatingIfNeeded: (key &+ UInt64(row)) &* 0x9e37_79b9 >> 8)
            unsafe place.reals[index] = Float((abs(start) + column) % max(count, 1))
          }
        }
        next += run.count
      }
    }
  }
}
