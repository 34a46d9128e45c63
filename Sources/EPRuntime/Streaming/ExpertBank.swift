internal import EPBackend
internal import EPCheckpoint
internal import EPModel
internal import EPPlan

/// A weight of the routed experts of a layer, of which some experts' parts are in memory.
final class StreamedWeight {
  let slice: EPPlan.WeightSlice
  let box: WeightBox
  let uses: WeightUse
  /// The logical expert in each slot.
  let experts: [Int]
  /// What the device makes of the reals; nil where it takes them as they are.
  let form: WeightStore.Form?
  /// The block that kernels see.
  let storage: Storage
  /// Bytes of one expert, as the device keeps them.
  let slotBytes: Int
  private let reserved: ReservedMemory

  init(
    _ slice: EPPlan.WeightSlice, _ box: WeightBox, experts: [Int], uses: WeightUse,
    form: WeightStore.Form?
  ) throws(WeightError) {
    self.slice = slice
    self.box = box
    self.uses = uses
    self.form = form
    self.experts = experts
    slotBytes = form?.bytes(of: box.count) ?? 4 * box.count
    reserved = try ReservedMemory(bytes: slotBytes * experts.count, partBytes: slotBytes)
    storage = Storage(reserved.memory, keptBy: reserved)
  }

  /// The place of an expert's part.
  func place(slot: Int) -> Memory {
    reserved.memory.part(from: slot * slotBytes, bytes: slotBytes)
  }

  /// The place of an expert's part, ready to be written.
  @discardableResult
  func commit(slot: Int) throws(WeightError) -> Memory {
    try reserved.commit((slot * slotBytes)..<((slot + 1) * slotBytes))
    return place(slot: slot)
  }

  /// Whether slots have pages to themselves, which can be handed on.
  var hasOwnPages: Bool {
    slotBytes > 0 && ReservedMemory.pages(of: 0..<slotBytes).upperBound == slotBytes
  }

  /// Makes a slot's memory ready to be written with the pages of another weight's slot, which then has
  /// none. Returns whether that was possible.
  func take(slot: Int, from other: StreamedWeight, slot otherSlot: Int) -> Bool {
    hasOwnPages && other.slotBytes == slotBytes
      && reserved.take(
        at: slot * slotBytes, from: other.reserved, at: otherSlot * slotBytes, bytes: slotBytes)
  }

  /// Gives a slot's pages back, but those that it shares with slots which stay.
  func release(slot: Int, isKept: (Int) -> Bool) {
    var pages = ReservedMemory.pages(of: (slot * slotBytes)..<((slot + 1) * slotBytes))
    var other = slot - 1
    while other >= 0, (other + 1) * slotBytes > pages.lowerBound {
      if isKept(other) {
        let end = ReservedMemory.pages(of: 0..<((other + 1) * slotBytes)).upperBound
        pages = min(end, pages.upperBound)..<pages.upperBound
      }
      other -= 1
    }
    other = slot + 1
    while other < experts.count, other * slotBytes < pages.upperBound {
      if isKept(other) {
        let start = ReservedMemory.pages(of: (other * slotBytes)..<(other * slotBytes)).lowerBound
        pages = pages.lowerBound..<max(start, pages.lowerBound)
      }
      other += 1
    }
    reserved.release(pages: pages)
  }
}

/// The routed experts of one layer on one rank: the slots, and which of them are in memory.
final class ExpertBank {
  /// Weights, as bits of an integer.
  typealias Parts = UInt64

  /// One expert.
  struct Slot {
    /// The weights of it that are in memory.
    var resident: Parts = 0
    /// The read that will bring weights of it.
    var reading: ExpertReading?
    /// Whether the operation that is running needs it.
    var isInUse = false
    /// Whether rows have been sent to it that have not come back.
    var isExpected = false
    /// Whether it was brought before anybody asked for it, and nobody has since.
    var isGuess = false
    /// Whether the layer before says that it will be used in the step at hand.
    var foreseen: Foresight.Kind?
    /// The weights that have memory: those in it and those on their way.
    var held: Parts { resident | (reading?.parts ?? 0) }
  }

  /// The layer, for messages.
  let layer: Int
  let weights: [StreamedWeight]
  /// The logical expert in each slot.
  let experts: [Int]
  var slots: [Slot]
  var history: ExpertHistory
  /// The weights that the operation that is running reads.
  var needed: Parts = 0
  /// Bytes to read for an expert, once they are known.
  var storedBytes: Int?

  /// The number of its first expert among those of all banks.
  let firstExpert: Int

  init(layer: Int, weights: [StreamedWeight], firstExpert: Int = 0) {
    precondition(!weights.isEmpty && weights.count <= 64, "a layer has 1 to 64 weights of experts")
    self.layer = layer
    self.weights = weights
    self.firstExpert = firstExpert
    experts = weights[0].experts
    slots = experts.map { _ in Slot() }
    history = ExpertHistory(experts: experts.count)
  }

  /// All weights.
  var all: Parts { weights.count == 64 ? .max : (1 << Parts(weights.count)) - 1 }

  /// Bytes of an expert's weights in memory.
  func bytes(_ parts: Parts) -> Int {
    weights.indices.reduce(0) { parts & (1 << Parts($1)) == 0 ? $0 : $0 + weights[$1].slotBytes }
  }

  /// Bytes of a whole expert in memory.
  var expertBytes: Int { bytes(all) }

  /// Whether an expert has what the operation that is running needs of it, and must stay. One that has
  /// other weights only may lose them: they are of an operation that has been.
  func isHeld(_ slot: Int) -> Bool {
    slots[slot].isInUse && slots[slot].resident & needed == needed
  }

  /// Forgets an expert's weights. Returns the bytes that are free now, or will be when the memory of what
  /// is put into `spares` has been given back.
  func evict(_ slot: Int, spares: inout [Spare]) -> Int {
    let parts = slots[slot].resident
    slots[slot].resident = 0
    slots[slot].isGuess = false
    for index in weights.indices where parts & (1 << Parts(index)) != 0 {
      spares.append(Spare(bank: self, weight: index, slot: slot))
    }
    return bytes(parts)
  }

  /// Forgets an expert's weights and gives their memory back. Returns the bytes that are free now.
  func evict(_ slot: Int) -> Int {
    var spares: [Spare] = []
    let bytes = evict(slot, spares: &spares)
    for spare in spares { spare.release() }
    return bytes
  }

  /// Memory of a weight of an expert that is forgotten.
  struct Spare {
    let bank: ExpertBank
    let weight: Int
    let slot: Int

    /// Gives the memory back.
    func release() { bank.release(slot, 1 << Parts(weight)) }
  }

  /// Gives the memory of an expert's weights back, but what others share with it.
  func release(_ slot: Int, _ parts: Parts) {
    for (index, weight) in weights.enumerated() where parts & (1 << Parts(index)) != 0 {
      weight.release(slot: slot) { slots[$0].held & (1 << Parts(index)) != 0 }
    }
  }

  /// Some weights of an expert, on their way into memory.
  func items(
    _ slot: Int, _ parts: Parts, of cache: ExpertCache
  ) throws(WeightError) -> [WeightLoading.Item] {
    var items: [WeightLoading.Item] = []
    for (index, weight) in weights.enumerated() where parts & (1 << Parts(index)) != 0 {
      let part = try cache.part(weight, slot)
      items.append(
        WeightLoading.Item(
          part: part, pieces: part.pieces.indices, place: weight.place(slot: slot),
          owner: weight.storage))
    }
    return items
  }

  /// Makes the memory of an expert's weights ready to be written: that of spares where it fits, since
  /// what the system gives anew it fills with zeros first. All spares are used up.
  func commit(_ slot: Int, _ parts: Parts, spares: [Spare]) throws(WeightError) {
    var spares = spares
    var rest: [StreamedWeight] = []
    for (index, weight) in weights.enumerated() where parts & (1 << Parts(index)) != 0 {
      let taken = spares.firstIndex {
        weight.take(slot: slot, from: $0.bank.weights[$0.weight], slot: $0.slot)
      }
      if let taken {
        spares.remove(at: taken)
      } else {
        rest.append(weight)
      }
    }
    // First, since neighbours share pages.
    for spare in spares { spare.release() }
    for weight in rest { try weight.commit(slot: slot) }
  }
}

/// Weights of one expert on their way into memory.
final class ExpertReading {
  let loading: WeightLoading
  let parts: ExpertBank.Parts
  /// Bytes that the weights will take.
  let bytes: Int
  /// Whether nobody wants it any more: it is being ended.
  var isUnwanted = false

  init(_ loading: WeightLoading, parts: ExpertBank.Parts, bytes: Int) {
    self.loading = loading
    self.parts = parts
    self.bytes = bytes
  }

  /// The read, with what follows it.
  var pending: PendingRead { loading.pending }
}
