internal import EPBackend
internal import EPCheckpoint
internal import EPModel
internal import EPPlan

/// The routed experts of this process: those in memory, and how the others get there.
///
/// It is called by the thread that runs the operations; reads, and making ready what was read, go on
/// beside it. Rows are sent to experts (`expect`), operations use them (`use`), rows come back
/// (`release`). Experts that are not expected make room for others, those first that will not be used for
/// longest.
final class ExpertCache {
  let reader: CheckpointReader
  private let source: WeightSource
  private(set) var banks: [ExpertBank] = []
  /// Bytes in memory, and those that reads under way will take.
  var used = 0
  /// Reads under way, in the order they were begun.
  var reading: [(bank: ExpertBank, slot: Int)] = []
  /// Memory of reads under way.
  var stagedBytes = 0
  /// Bytes that experts may take.
  var capacity = Int.max
  /// Bytes that reads under way may take, but for one of any size.
  var stagingCapacity = Int.max
  var statistics = StreamStatistics()
  /// Memory of experts that were forgotten to make room, until it is used for others.
  var spares: [ExpertBank.Spare] = []
  /// What tells best which experts will be used.
  private(set) var odds = ExpertOdds()
  private(set) var foresight = Foresight()
  /// The layer that rows were sent to last.
  private var layer = 0
  private var layers = 1
  private var trace = ExpertTrace()
  /// Bytes that had been read of weights which stay.
  private var residentReads = 0
  /// Bytes read when the first token had been made.
  private var firstTokenBytes: Int?
  let clock = ContinuousClock()

  init(_ source: WeightSource) throws(WeightError) {
    self.source = source
    reader = try WeightStore.reader(of: source, isDirect: true)
  }

  /// Whether experts are read; others are made when they are needed, and never before.
  var isRead: Bool {
    if case .checkpoint = source { return true }
    return false
  }

  /// A slot of a weight, on its way.
  func part(_ weight: StreamedWeight, _ slot: Int) throws(WeightError) -> WeightPart {
    try source.part(
      weight.slice, weight.box, expert: weight.experts[slot], uses: weight.uses, as: weight.form)
  }

  /// The bank of a layer's weights on a rank; ranks that hold the same share one.
  func bank(layer: Int, weights: [StreamedWeight]) -> ExpertBank {
    if let known = banks.first(where: { $0.weights.elementsEqual(weights, by: ===) }) {
      return known
    }
    let bank = ExpertBank(
      layer: layer, weights: weights,
      firstExpert: banks.last.map { $0.firstExpert + $0.experts.count } ?? 0)
    banks.append(bank)
    layers = max(layers, layer + 1)
    return bank
  }

  /// Memory that the largest expert takes while it is read.
  func largestRead() throws(WeightError) -> Int {
    var most = 0
    for bank in banks where !bank.experts.isEmpty {
      most = max(most, try WeightLoading.room(for: try bank.items(0, bank.all, of: self)))
    }
    return most
  }

  /// Bytes that are read for an expert of a layer, in whole blocks; what they are for the first.
  private func storedBytes(_ bank: ExpertBank) throws(WeightError) -> Int {
    if let bytes = bank.storedBytes { return bytes }
    let bytes =
      isRead ? try WeightLoading.room(for: try bank.items(0, bank.all, of: self)) : bank.expertBytes
    bank.storedBytes = bytes
    return bytes
  }

  /// Memory that threads take while they make pieces of weights ready.
  func largestScratch() throws(WeightError) -> Int {
    var most = 0
    for weight in banks.flatMap(\.weights) where !weight.experts.isEmpty {
      most = max(most, try part(weight, 0).scratchBytes)
    }
    return WeightStore.workers * most
  }

  /// What has been done so far.
  var report: StreamStatistics {
    var report = statistics
    report.capacity = capacity
    report.expertBytes = banks.reduce(0) { $0 + $1.expertBytes * $1.experts.count }
    report.residentBytes = banks.reduce(0) { sum, bank in
      bank.slots.reduce(sum) { $0 + bank.bytes($1.resident) }
    }
    report.bytesRead = bytesRead
    for bank in banks {
      report.unusedBytes +=
        bank.slots.count { $0.isGuess && $0.reading == nil } * (bank.storedBytes ?? 0)
    }
    report.leastBytesRead =
      trace.isCut || !isRead ? nil : trace.leastReads(capacity: capacity)
    report.decodeBytesRead = firstTokenBytes.map { bytesRead - $0 } ?? 0
    return report
  }

  var bytesRead: Int { isRead ? reader.bytesRead - residentReads : statistics.bytesRead }

  /// Notes that the first token has been made: from now on experts that nobody has asked for are read
  /// whenever there is room for them and nothing else to read.
  func startWarming() {
    if firstTokenBytes == nil { firstTokenBytes = bytesRead }
  }

  var isWarming: Bool { firstTokenBytes != nil }

  /// Notes that the weights which stay have been read, by the same reader.
  func noteResidentReads() { residentReads = reader.bytesRead }

  // MARK: Steps

  /// Notes that rows are sent to slots, and begins to read what is missing.
  func expect(_ bank: ExpertBank, slots: [Int]) throws(WeightError) {
    self.layer = bank.layer
    try installCompleted()
    giveUpGuesses(of: bank, but: slots)
    trace.add(
      first: bank.firstExpert, slots: slots, held: bank.expertBytes, read: try storedBytes(bank))
    for slot in slots {
      let isThere = bank.slots[slot].resident == bank.all
      statistics.hits += isThere ? 1 : 0
      statistics.guessedHits += isThere && bank.slots[slot].isGuess ? 1 : 0
      statistics.misses += isThere ? 0 : 1
      bank.slots[slot].isGuess = false
      bank.slots[slot].isExpected = true
    }
    bank.history.note(slots, learning: &odds)
    for slot in bank.slots.indices {
      guard let kind = bank.slots[slot].foreseen else { continue }
      foresight.note(kind, isRight: bank.slots[slot].isExpected)
      bank.slots[slot].foreseen = nil
    }
    try beginAll(bank, slots, wanted(bank, slots))
  }

  /// Runs an operation on slots, each when it is in memory.
  ///
  /// - Parameters:
  ///   - parts: the weights that the operation reads.
  ///   - body: runs it on some of the slots, ascending; called until it has run on all.
  func use(
    _ bank: ExpertBank, slots: [Int], parts: ExpertBank.Parts,
    _ body: ([Int]) throws(ExecutionError) -> Void
  ) throws(ExecutionError) {
    func isReady(_ slot: Int) -> Bool { bank.slots[slot].resident & parts == parts }
    if slots.isEmpty { return }
    bank.needed = parts
    for slot in slots { bank.slots[slot].isInUse = true }
    defer { for slot in slots { bank.slots[slot].isInUse = false } }
    var waiting = slots
    let wanted = self.wanted(bank, slots) | parts
    while true {
      do throws(WeightError) {
        try installCompleted()
        try beginAll(bank, waiting, wanted)
        if !waiting.contains(where: isReady) { try wait(for: waiting, of: bank) }
      } catch { throw .weights(error) }
      let ready = waiting.filter(isReady)
      if !ready.isEmpty { try body(ready) }
      for slot in ready { bank.slots[slot].isInUse = false }
      waiting.removeAll { bank.slots[$0].isInUse == false }
      if waiting.isEmpty { break }
    }
    do { try warm() } catch { throw .weights(error) }
  }

  /// Notes that rows have come back: their slots may make room for others.
  func release(_ bank: ExpertBank) {
    for slot in bank.slots.indices { bank.slots[slot].isExpected = false }
  }

  /// The weights to bring for a step: all, or none but those of the operation at hand where the
  /// experts of the step do not fit together.
  private func wanted(_ bank: ExpertBank, _ slots: [Int]) -> ExpertBank.Parts {
    slots.count * bank.expertBytes <= capacity ? bank.all : 0
  }

  // MARK: Room

  /// Steps until an expert is used again, as far as can be told. Layers come in turn: those that come
  /// sooner keep their experts longer.
  private func wait(for bank: ExpertBank, _ slot: Int) -> Double {
    let turn = (bank.layer - layer - 1 + layers) % layers
    let foreseen = bank.slots[slot].foreseen.map { foresight.chance($0) } ?? 0
    return 1 / max(bank.history.chance(of: slot, by: odds), foreseen)
      + Double(turn) / Double(layers)
  }

  /// Makes room for weights that take so many bytes: what will not be used for longest goes first. Returns
  /// whether there is.
  ///
  /// What somebody needs may take the place of anything not in use, a guess only that of what is wanted
  /// later.
  func makeRoom(
    _ bytes: Int, isGuess: Bool, for wanted: (bank: ExpertBank, slot: Int)
  ) -> Bool {
    while used + bytes > capacity {
      var victim: (bank: ExpertBank, slot: Int, isExpected: Bool, wait: Double)?
      for bank in banks {
        for (number, slot) in bank.slots.enumerated()
        where slot.resident != 0 && slot.reading == nil && !bank.isHeld(number) {
          if bank === wanted.bank && number == wanted.slot { continue }
          if isGuess && slot.isExpected { continue }
          let wait = wait(for: bank, number)
          if let victim, (victim.isExpected ? 0 : 1, victim.wait) >= (slot.isExpected ? 0 : 1, wait)
          {
            continue
          }
          victim = (bank, number, slot.isExpected, wait)
        }
      }
      guard let victim, !isGuess || victim.wait > wait(for: wanted.bank, wanted.slot) else {
        for spare in spares { spare.release() }
        spares = []
        return false
      }
      if victim.bank.slots[victim.slot].isGuess {
        statistics.unusedBytes += victim.bank.storedBytes ?? 0
      }
      used -= victim.bank.evict(victim.slot, spares: &spares)
    }
    return true
  }
}
