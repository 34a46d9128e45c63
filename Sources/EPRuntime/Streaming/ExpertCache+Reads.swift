internal import EPBackend
internal import EPCheckpoint

// How experts get into memory.
extension ExpertCache {
  /// The bytes that weights of an expert are made of.
  func ranges(
    _ bank: ExpertBank, _ slot: Int, _ parts: ExpertBank.Parts
  ) throws(WeightError) -> [FileRange] {
    var all: [FileRange] = []
    for (index, weight) in bank.weights.enumerated() where parts & (1 << UInt64(index)) != 0 {
      all += try ranges(weight, slot)
    }
    return all.joined()
  }

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
      reading.pending?.hurry(priority)
      return true
    }
    let bytes = bank.bytes(missing)
    // A guess for the next layer counts as a use that is to come.
    let score =
      priority == .now
      ? nil : bank.slots[slot].history.score(at: bank.step) + (priority == .soon ? 1 : 0)
    var pending: PendingRead?
    if let reader {
      let needed = try ranges(bank, slot, missing)
      if priority == .now { giveUpGuesses(for: CheckpointReader.room(for: needed)) }
      let room = CheckpointReader.room(for: needed)
      if !reading.isEmpty && stagedBytes + room > stagingCapacity { return false }
      if !makeRoom(bytes, score: score, for: (bank, slot)) { return false }
      do throws(CheckpointError) { pending = try reader.read(needed, priority: priority) } catch {
        throw .checkpoint(error)
      }
    } else {
      if !makeRoom(bytes, score: score, for: (bank, slot)) { return false }
    }
    used += bytes
    stagedBytes += pending?.room ?? 0
    bank.slots[slot].reading = ExpertReading(pending, parts: missing, bytes: bytes)
    bank.slots[slot].isGuess = priority != .now
    reading.append((bank, slot))
    return true
  }

  /// Gives up reads that nobody waits for, the latest first, until there is room for another.
  private func giveUpGuesses(for room: Int) {
    for (bank, slot) in reading.reversed() {
      if stagedBytes + room <= stagingCapacity { return }
      guard let read = bank.slots[slot].reading, let pending = read.pending,
        pending.priority != .now, !pending.isComplete
      else { continue }
      bank.slots[slot].reading = nil
      used -= read.bytes
      stagedBytes -= pending.room
      reading.removeAll { $0.bank === bank && $0.slot == slot }
    }
  }

  /// Puts what has been read into place.
  func installCompleted() throws(WeightError) {
    guard reader != nil else { return }
    for (bank, slot) in reading where bank.slots[slot].reading?.pending?.isComplete == true {
      try install(bank, slot)
    }
  }

  /// Waits until one of the slots can be put into place, and does that.
  func wait(for slots: [Int], of bank: ExpertBank) throws(WeightError) {
    let start = clock.now
    if let reader {
      // Others are waited for only where they take the room that these need.
      let wanted = reading.filter { $0.bank === bank && slots.contains($0.slot) }
      let awaited = wanted.isEmpty ? reading : wanted
      let pending = awaited.compactMap { $0.bank.slots[$0.slot].reading?.pending }
      guard let first = reader.waitForAny(of: pending) else { throw noRoom(for: bank) }
      statistics.stallSeconds += start.duration(to: clock.now).seconds
      try install(awaited[first].bank, awaited[first].slot)
    } else {
      guard let (bank, slot) = reading.first else { throw noRoom(for: bank) }
      try install(bank, slot)
      statistics.stallSeconds += start.duration(to: clock.now).seconds
    }
  }

  private func noRoom(for bank: ExpertBank) -> WeightError {
    .noRoom(layer: bank.layer, bytes: bank.expertBytes, capacity: capacity)
  }

  private func install(_ bank: ExpertBank, _ slot: Int) throws(WeightError) {
    guard let read = bank.slots[slot].reading else { return }
    let start = clock.now
    var failure: WeightError?
    func make(_ staged: StagedBytes?) {
      do throws(WeightError) {
        for (index, weight) in bank.weights.enumerated()
        where read.parts & (1 << UInt64(index)) != 0 {
          let place = try weight.commit(slot: slot)
          guard let form = weight.form else {
            try self.make(weight, slot, staged, place)
            continue
          }
          let reals = scratch.take(bytes: 4 * weight.box.count)
          try self.make(weight, slot, staged, reals)
          form.prepare(matrices: reals, into: place)
        }
      } catch { failure = error }
    }
    if let pending = read.pending {
      do { try pending.withBytes { make($0) } } catch { failure = .checkpoint(error) }
      stagedBytes -= pending.room
    } else {
      make(nil)
      statistics.bytesRead += read.bytes
    }
    reading.removeAll { $0.bank === bank && $0.slot == slot }
    bank.slots[slot].reading = nil
    bank.slots[slot].resident |= read.parts
    if let failure {
      // What is half made is not there.
      used -= bank.evict(slot)
      throw failure
    }
    statistics.installSeconds += start.duration(to: clock.now).seconds
  }

  // MARK: Before anybody asks

  /// Begins to read experts that will probably be wanted, in the place of less wanted ones only.
  func guess(_ bank: ExpertBank, slots: [Int]) throws(WeightError) {
    if reader == nil { return }
    for slot in slots where bank.slots[slot].reading == nil {
      if !(try begin(bank, slot, bank.all, .soon)) { return }
    }
  }

  /// Begins to read an expert that nobody has asked for, if there is nothing else to read: the most
  /// used of those that are missing, those never used in the order of layers.
  func warm() throws(WeightError) {
    guard isWarming, reader != nil, reading.isEmpty else { return }
    var best: (bank: ExpertBank, slot: Int, score: Double)?
    for bank in banks where used + bank.expertBytes <= capacity {
      for (number, slot) in bank.slots.enumerated() where slot.resident != bank.all {
        let score = slot.history.score(at: bank.step)
        if let best, best.score >= score { continue }
        best = (bank, number, score)
      }
    }
    if let best { try begin(best.bank, best.slot, best.bank.all, .later) }
  }
}
