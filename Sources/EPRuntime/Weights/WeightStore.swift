internal import CEPKernels
internal import EPBackend
internal import EPCheckpoint
internal import EPModel
public import EPPlan
internal import Glibc

/// The weights of this process: read or made slice by slice, each slice once.
public final class WeightStore {
  private let source: WeightSource
  private var loaded: [Key: Storage] = [:]
  private var streamed: [ObjectIdentifier: StreamedWeight] = [:]
  private var knownUses: [String: WeightUse] = [:]
  private var unread: [Unread] = []
  /// Bytes that everything may take together; nil for any.
  let memory: Int?
  /// Bytes that the program takes of that for its own ends.
  let program: Int
  /// When reading weights began.
  let opened = ContinuousClock.now
  /// The routed experts, where they are not all held.
  let experts: ExpertCache?

  /// Bytes of weights held, without routed experts that are streamed.
  public private(set) var bytes = 0

  /// Weights from a source, for plans that were checked against it.
  ///
  /// - Parameters:
  ///   - memory: the bytes that weights and everything else may take together; routed experts are then
  ///     brought into memory when they are needed. Nil holds all weights.
  ///   - program: the bytes of that which the program has taken already, and will for its own ends.
  /// - Throws: `WeightError` if a checkpoint does not hold exactly the weights of the plan.
  public init(
    _ source: WeightSource, for plan: Plan, memory: Int? = nil, program: Int = 32 << 20
  ) throws(WeightError) {
    self.source = source
    self.memory = memory
    self.program = program
    if case .checkpoint(let checkpoint) = source { try checkpoint.check(plan) }
    experts = memory == nil ? nil : try ExpertCache(source)
  }

  func uses(of weight: Int, in function: ShardedFunction) -> WeightUse {
    let key = "\(function.function.name) \(function.function.weights[weight].name)"
    if let known = knownUses[key] { return known }
    let use = WeightUse(of: weight, in: function)
    knownUses[key] = use
    return use
  }

  /// A weight as a kernel wants it.
  struct Form: Sendable {
    var form: WeightForm
    /// Makes rows of a matrix ready; see `Device`.
    var prepare: @Sendable (EncodedRows, Range<Int>, Memory) -> Bool

    /// Bytes of so many reals, which are a whole number of matrices.
    func bytes(of reals: Int) -> Int {
      precondition(reals % form.elements == 0, "a weight has a whole number of matrices")
      return reals / form.elements * form.bytes
    }
  }

  private struct Key: Hashable {
    var slice: EPPlan.WeightSlice
    var form: WeightForm?
  }

  /// A weight that has its place and has not been read.
  private struct Unread {
    var slice: EPPlan.WeightSlice
    var box: WeightBox
    var weight: WeightDeclaration
    var experts: [Int]?
    var uses: WeightUse
    var ordinal: Int
    var form: Form?
    var storage: Storage
  }

  /// The place of a slice's elements, as reals or in the form given, which `read` fills; `ordinal` says
  /// which row of constants belongs to the call.
  func load(
    _ slice: EPPlan.WeightSlice, of weight: WeightDeclaration, uses: WeightUse, ordinal: Int,
    as form: Form? = nil
  ) throws(WeightError) -> Storage {
    var key = Key(slice: slice, form: form?.form)
    key.slice.isUsed = true
    if let known = loaded[key] { return known }
    let box = WeightBox(slice)
    let experts = slice.axes.first?.split == .expert ? slice.experts ?? [] : nil
    if self.experts != nil, weight.role == .expert, let experts {
      let part = try StreamedWeight(slice, box, experts: experts, uses: uses, form: form)
      streamed[ObjectIdentifier(part.storage)] = part
      loaded[key] = part.storage
      return part.storage
    }
    let size = (experts?.count ?? 1) * (form?.bytes(of: box.count) ?? 4 * box.count)
    bytes += size
    // What is too much for the memory given is refused before any of it is read.
    let storage = Storage(bytes: bytes > memory ?? .max ? 0 : size)
    loaded[key] = storage
    unread.append(
      Unread(
        slice: slice, box: box, weight: weight, experts: experts, uses: uses, ordinal: ordinal,
        form: form, storage: storage))
    return storage
  }

  /// Reads or makes everything that has a place.
  func read() throws(WeightError) {
    if unread.isEmpty { return }
    let all = unread
    unread = []
    var items: [WeightLoading.Item] = []
    for item in all {
      let bytes = item.form?.bytes(of: item.box.count) ?? 4 * item.box.count
      for slot in 0..<(item.experts?.count ?? 1) {
        let part = try part(item, expert: item.experts?[slot])
        items.append(
          WeightLoading.Item(
            part: part, pieces: part.pieces.indices,
            place: item.storage.memory.part(from: slot * bytes, bytes: bytes),
            owner: item.storage))
      }
    }
    var reader = experts?.reader
    if reader == nil { reader = try WeightStore.reader(of: source, isDirect: false) }
    if let reader { try WeightStore.load(items, by: reader) }
  }

  /// Threads that read and make weights.
  ///
  /// What fits into memory is read through the system's cache, so that it is there the next time.
  static func reader(of source: WeightSource, isDirect: Bool) throws(WeightError)
    -> CheckpointReader
  {
    var checkpoint: Checkpoint?
    if case .checkpoint(let known) = source { checkpoint = known }
    do {
      return try CheckpointReader(
        checkpoint, threads: readers, workers: workers, isDirect: isDirect)
    } catch { throw .checkpoint(error) }
  }

  /// Threads that make what was read ready.
  static let workers = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))

  private func part(_ item: Unread, expert: Int?) throws(WeightError) -> WeightPart {
    if item.weight.role == .constant {
      let rows = item.weight.constants
      return WeightPart(
        .constants(
          rows.indices.contains(item.ordinal) ? rows[item.ordinal] : rows.first ?? []),
        of: item.slice, item.box, uses: item.uses, as: item.form)
    }
    return try source.part(item.slice, item.box, expert: expert, uses: item.uses, as: item.form)
  }

  /// The weight of routed experts that a place belongs to, where they are streamed.
  func streamedWeight(at place: Storage) -> StreamedWeight? { streamed[ObjectIdentifier(place)] }
}

extension EPPlan.WeightSlice {
  /// What random numbers of the weight depend on, beside their place.
  func key(seed: UInt64) -> UInt64 {
    var key: UInt64 = 0xcbf2_9ce4_8422_2325 ^ (seed &* 0x9e37_79b9_7f4a_7c15)
    for byte in name.utf8 { key = (key ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return key
  }

  /// Random numbers by name and place, so that every rank makes its own part of the same weight.
  func synthesize(
    _ box: WeightBox, experts: [Int]?, uses: WeightUse, seed: UInt64, into memory: Memory
  ) {
    let key = key(seed: seed)
    let (center, deviation) = uses.distribution
    var next = 0
    for expert in experts ?? [0] {
      for run in box.runs {
        let place = memory.elements(from: next, count: run.count)
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
