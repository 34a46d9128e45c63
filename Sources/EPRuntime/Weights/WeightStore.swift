internal import CEPKernels
internal import EPBackend
internal import EPCheckpoint
internal import EPModel
public import EPPlan

/// The weights of this process: read or made slice by slice, each slice once.
public final class WeightStore {
  private let source: WeightSource
  private var loaded: [Key: Storage] = [:]
  private var knownUses: [String: WeightUse] = [:]

  /// Bytes of weights held, those of experts that are streamed left out.
  public private(set) var bytes = 0
  /// Where experts are kept that do not all fit into memory; nil if all are held.
  public let cache: ExpertCache?

  /// Weights from a source, for plans that were checked against it.
  ///
  /// - Parameter streamsExperts: whether routed experts are read when they are needed.
  /// - Throws: `WeightError` if a checkpoint does not hold exactly the weights of the plan.
  public init(
    _ source: WeightSource, for plan: Plan, streamsExperts: Bool = false
  ) throws(WeightError) {
    self.source = source
    cache = streamsExperts ? ExpertCache() : nil
    if case .checkpoint(let checkpoint) = source { try checkpoint.check(plan) }
  }

  func uses(of weight: Int, in function: ShardedFunction) -> WeightUse {
    let key = "\(function.function.name) \(function.function.weights[weight].name)"
    if let known = knownUses[key] { return known }
    let use = WeightUse(of: weight, in: function)
    knownUses[key] = use
    return use
  }

  /// A weight as a kernel wants it.
  struct Form {
    var form: WeightForm
    /// Makes a matrix ready.
    var prepare: (Memory, Memory) -> Void
  }

  private struct Key: Hashable {
    var slice: EPPlan.WeightSlice
    var form: WeightForm?
  }

  /// The elements of a slice, as reals or in the form given; `ordinal` says which row of constants
  /// belongs to the call.
  func load(
    _ slice: EPPlan.WeightSlice, of weight: WeightDeclaration, uses: WeightUse, ordinal: Int,
    as form: Form? = nil
  ) throws(WeightError) -> Storage {
    var key = Key(slice: slice, form: form?.form)
    key.slice.isUsed = true
    if let known = loaded[key] { return known }
    let box = WeightBox(slice)
    let experts = slice.axes.first?.split == .expert ? slice.experts ?? [] : nil
    let storage: Storage
    if let form {
      // Expert by expert, so that no more than one is there as reals.
      let expert = ExpertBytes(box, form.form)
      storage = Storage(bytes: expert.bytes * (experts?.count ?? 1))
      let reals = Storage(bytes: 4 * box.count)
      for slot in 0..<(experts?.count ?? 1) {
        try prepare(
          slice, box, weight, expert: experts?[slot], uses: uses, ordinal: ordinal, as: form,
          reals: reals, into: storage.memory.part(from: slot * expert.bytes, bytes: expert.bytes))
      }
    } else {
      storage = Storage(bytes: 4 * box.count * (experts?.count ?? 1))
      try read(slice, box, weight, experts: experts, uses: uses, ordinal: ordinal, into: storage)
    }
    bytes += storage.memory.bytes
    loaded[key] = storage
    return storage
  }

  /// What an expert's part of a weight takes in a form.
  struct ExpertBytes {
    var matrices: Int
    var bytes: Int

    init(_ box: WeightBox, _ form: WeightForm) {
      precondition(box.count % form.elements == 0, "a weight has a whole number of matrices")
      matrices = box.count / form.elements
      bytes = matrices * form.bytes
    }
  }

  /// Reads or makes one expert's part of a slice, or all of it where there are no experts, and makes
  /// it ready. `reals` is room for it.
  func prepare(
    _ slice: EPPlan.WeightSlice, _ box: WeightBox, _ weight: WeightDeclaration, expert: Int?,
    uses: WeightUse, ordinal: Int, as form: Form, reals: Storage, into memory: Memory
  ) throws(WeightError) {
    try read(
      slice, box, weight, experts: expert.map { [$0] }, uses: uses, ordinal: ordinal, into: reals)
    let (elements, bytes) = (form.form.elements, form.form.bytes)
    for matrix in 0..<ExpertBytes(box, form.form).matrices {
      form.prepare(
        reals.memory.elements(from: matrix * elements, count: elements),
        memory.part(from: matrix * bytes, bytes: bytes))
    }
  }

  /// The place of one expert's part of a slice in the checkpoint; nil for random numbers.
  func stored(
    _ slice: EPPlan.WeightSlice, _ box: WeightBox, expert: Int
  ) throws(WeightError) -> (weight: StoredWeight, expert: Int)? {
    guard case .checkpoint(let checkpoint) = source else { return nil }
    let place = try checkpoint.place(of: slice.name, among: slice.stored)
    let experts = slice.axes.first?.split == .expert ? slice.axes[0].size : nil
    return (
      try checkpoint.weight(place, sizes: box.sizes, experts: experts, expert: expert),
      place.isPerExpert ? 0 : expert
    )
  }

  /// Reads or makes the reals of a slice, of the experts given if it has experts.
  private func read(
    _ slice: EPPlan.WeightSlice, _ box: WeightBox, _ weight: WeightDeclaration, experts: [Int]?,
    uses: WeightUse, ordinal: Int, into storage: Storage
  ) throws(WeightError) {
    if weight.role == .constant {
      fill(
        storage, box,
        constants: weight.constants.indices.contains(ordinal)
          ? weight.constants[ordinal] : weight.constants.first ?? [])
      return
    }
    switch source {
    case .synthetic(let seed):
      synthesize(storage, box, slice, experts: experts, uses: uses, seed: seed)
    case .checkpoint(let checkpoint):
      try checkpoint.read(slice, box, experts: experts, uses: uses, into: storage.memory)
    }
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
