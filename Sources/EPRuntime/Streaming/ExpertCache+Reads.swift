internal import EPBackend
internal import EPCheckpoint

// How experts get into memory.
extension ExpertCache {
  /// Begins to bring weights of slots, as many as there is room for.
  func beginAll(
    _ bank: ExpertBank, _ slots: [Int], _ parts: ExpertBank.Parts
  ) throws(WeightError) {
    for slot in slots where !(try begin(bank, slot, parts, .now)) { return }
  }

  /// Begins to bring weights of an expert. Returns whether they are there or on their way.
  @discardableResult
  func begin(
    _ bank: ExpertBank, _ slot: Int, _ parts: ExpertBank.Parts,
    _ priority: CheckpointReader.Priority
  ) throws(WeightError) -> Bool {
    let missing = parts & ~bank.slots[slot].resident
    if missing == 0 { return true }
    if let reading = bank.slots[slot].reading {
      // One that is being ended has to be begun anew when it is.
      if !reading.isUnwanted { reading.pending.hurry(priority) }
      return true
    }
    let bytes = bank.bytes(missing)
    let items = try bank.items(slot, missing, of: self)
    let room = try WeightLoading.room(for: items)
    if priority == .now { giveUpGuesses(for: room) }
    if !reading.isEmpty && stagedBytes + room > stagingCapacity { return false }
    if !makeRoom(bytes, isGuess: priority != .now, for: (bank, slot)) { return false }
    defer { spares = [] }
    try bank.commit(slot, missing, spares: spares)
    let loading = try WeightLoading(items, by: reader, priority: priority)
    used += bytes
    stagedBytes += loading.pending.room
    bank.slots[slot].reading = ExpertReading(loading, parts: missing, bytes: bytes)
    bank.slots[slot].isGuess = priority != .now
    reading.append((bank, slot))
    if missing == bank.all { bank.storedBytes = room }
    return true
  }

  /// Gives up reads that nobody waits for, the latest first, until there is room for another.
  private func giveUpGuesses(for room: Int) {
    for (bank, slot) in reading.reversed() {
      if stagedBytes + room <= stagingCapacity { return }
      giveUpGuess(bank, slot)
    }
  }

  /// Gives up reads of a layer's experts that were guessed wrongly, as is known by now.
  func giveUpGuesses(of bank: ExpertBank, but slots: [Int]) {
    for (other, slot) in reading where other === bank && !slots.contains(slot) {
      guard let read = bank.slots[slot].reading, read.pending.priority != .now else { continue }
      read.isUnwanted = true
      read.pending.cancel()
    }
  }

  private func giveUpGuess(_ bank: ExpertBank, _ slot: Int) {
    guard let read = bank.slots[slot].reading, read.pending.priority != .now,
      !read.pending.isComplete
    else { return }
    end(bank, slot)
    statistics.unusedBytes += read.pending.giveUp()
    used -= read.bytes
    bank.release(slot, read.parts)
  }

  /// Forgets a read that has come to its end.
  private func end(_ bank: ExpertBank, _ slot: Int) {
    guard let read = bank.slots[slot].reading else { return }
    stagedBytes -= read.pending.room
    reading.removeAll { $0.bank === bank && $0.slot == slot }
    bank.slots[slot].reading = nil
  }

  /// Takes over what has been read and made ready.
  func installCompleted() throws(WeightError) {
    for (bank, slot) in reading where bank.slots[slot].reading?.pending.isComplete == true {
      try install(bank, slot)
    }
  }

  /// Waits until one of the slots is ready.
  func wait(for slots: [Int], of bank: ExpertBank) throws(WeightError) {
    let start = clock.now
    let bytes = reader.bytesRead
    // Others are waited for only where they take the room that these need.
    let wanted = reading.filter { $0.bank === bank && slots.contains($0.slot) }
    let awaited = wanted.isEmpty ? reading : wanted
    let pending = awaited.compactMap { $0.bank.slots[$0.slot].reading?.pending }
    guard let first = reader.waitForAny(of: pending) else { throw noRoom(for: bank) }
    statistics.stallSeconds += start.duration(to: clock.now).seconds
    statistics.stallBytes += reader.bytesRead - bytes
    try install(awaited[first].bank, awaited[first].slot)
  }

  private func noRoom(for bank: ExpertBank) -> WeightError {
    .noRoom(layer: bank.layer, bytes: bank.expertBytes, capacity: capacity)
  }

  private func install(_ bank: ExpertBank, _ slot: Int) throws(WeightError) {
    guard let read = bank.slots[slot].reading else { return }
    end(bank, slot)
    if read.isUnwanted {
      statistics.unusedBytes += read.pending.giveUp()
      used -= read.bytes
      bank.release(slot, read.parts)
      return
    }
    do throws(WeightError) { statistics.installSeconds += try read.loading.finish() } catch {
      // What is half made is not there.
      used -= read.bytes
      bank.release(slot, read.parts)
      throw error
    }
    bank.slots[slot].resident |= read.parts
    if !isRead { statistics.bytesRead += read.bytes }
  }

  // MARK: Before anybody asks

  /// Notes experts that the next layer will probably want, with their places in its router's choice, and
  /// begins to read those that are missing where such guesses have been right often enough, in the place of
  /// less wanted ones only.
  func guess(_ bank: ExpertBank, _ choices: [(slot: Int, place: Int)]) throws(WeightError) {
    if !isRead { return }
    for (slot, place) in choices {
      bank.slots[slot].foreseen = Foresight.Kind(
        place: place, isInMemory: bank.slots[slot].resident == bank.all)
    }
    for (slot, _) in choices where bank.slots[slot].reading == nil {
      guard let kind = bank.slots[slot].foreseen, foresight.chance(kind) >= Foresight.least else {
        continue
      }
      if !(try begin(bank, slot, bank.all, .soon)) { return }
    }
  }

  /// Begins to read an expert that nobody has asked for, if there is nothing else to read: the most
  /// used of those that are missing, those never used in the order of layers.
  func warm() throws(WeightError) {
    guard isWarming, isRead, reading.isEmpty else { return }
    var best: (bank: ExpertBank, slot: Int, chance: Double)?
    for bank in banks where used + bank.expertBytes <= capacity {
      for (number, slot) in bank.slots.enumerated() where slot.resident != bank.all {
        let chance = bank.history.chance(of: number, by: odds)
        if let best, best.chance >= chance { continue }
        best = (bank, number, chance)
      }
    }
    if let best { try begin(best.bank, best.slot, best.bank.all, .later) }
  }
}
