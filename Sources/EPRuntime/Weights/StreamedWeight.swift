internal import EPBackend
internal import EPCheckpoint
internal import EPModel
internal import EPPlan

/// A weight of a call whose experts are read when rows are sent to them.
final class StreamedWeight {
  /// What is in memory of a slot.
  struct Slot {
    /// The expert in it.
    let expert: Int
    /// Its matrices, if they are in memory.
    var storage: Storage?
    /// How often it was used, uses long ago counting less.
    var uses = 0.0
    /// When it was last used.
    var lastUse = 0
    /// Whether the system has been asked to read it.
    var isAsked = false
  }

  /// Bytes of a slot's matrices.
  let slotBytes: Int
  var slots: [Slot]
  /// The executor that runs the call keeps it.
  private unowned let store: WeightStore
  private let slice: EPPlan.WeightSlice
  private let box: WeightBox
  private let weight: WeightDeclaration
  private let use: WeightUse
  private let ordinal: Int
  private let form: WeightStore.Form

  init(
    _ slice: EPPlan.WeightSlice, of weight: WeightDeclaration, uses: WeightUse, ordinal: Int,
    as form: WeightStore.Form, from store: WeightStore
  ) {
    self.slice = slice
    self.weight = weight
    self.use = uses
    self.ordinal = ordinal
    self.form = form
    self.store = store
    box = WeightBox(slice)
    slotBytes = WeightStore.ExpertBytes(box, form.form).bytes
    slots = (slice.experts ?? []).map { Slot(expert: $0) }
  }

  /// Asks the system to read a slot's part of the checkpoint, without waiting.
  func readAhead(_ slot: Int) throws(WeightError) {
    if slots[slot].isAsked || slots[slot].storage != nil { return }
    slots[slot].isAsked = true
    guard let place = try store.stored(slice, box, expert: slots[slot].expert) else { return }
    place.weight.readAhead(expert: place.expert)
  }

  /// Reads a slot and makes it ready.
  func load(_ slot: Int) throws(WeightError) -> Storage {
    try readAhead(slot)
    let storage = Storage(bytes: slotBytes)
    let reals = Storage(bytes: 4 * box.count)
    let expert = slots[slot].expert
    try store.prepare(
      slice, box, weight, expert: expert, uses: use, ordinal: ordinal, as: form, reals: reals,
      into: storage.memory)
    if let place = try store.stored(slice, box, expert: expert) {
      place.weight.release(expert: place.expert)
    }
    slots[slot].isAsked = false
    slots[slot].storage = storage
    return storage
  }

  /// How much a slot is worth keeping.
  func worth(_ slot: Int, now: Int) -> Double {
    slots[slot].uses / Double(1 + (now - slots[slot].lastUse) / 64)
  }
}
