internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

/// What a rank of the last stage made in a step, on its way to other processes.
struct RankOutput {
  /// The data group.
  var data: Int
  /// The micro-batch.
  var batch: Int
  /// Logits `[sampled, vocabulary]`, of the first tensor rank alone: all have the same.
  var logits: [Float]
  /// Hidden states of the rank's rows.
  var hidden: [Float]
  /// Whether those are all rows of the data group.
  var hasAllRows: Bool

  init<D: Device>(_ rank: RankExecutor<D>, batch: Int) {
    let coordinates = rank.program.coordinates
    rank.select(batch)
    self.batch = batch
    data = coordinates.data
    logits = coordinates.tensor == 0 ? rank.output("logits")?.place.floats ?? [] : []
    let hidden = rank.output("hidden")
    self.hidden = hidden?.place.floats ?? []
    hasAllRows = hidden.map { RowKind($0.type) == .tokens } ?? false
  }

  private init(
    data: Int, batch: Int, logits: [Float], hidden: [Float], hasAllRows: Bool
  ) {
    self.data = data
    self.batch = batch
    self.logits = logits
    self.hidden = hidden
    self.hasAllRows = hasAllRows
  }

  /// Adds the output as words of 4 bytes: data group, micro-batch, whether it has all rows, both counts, numbers.
  func append(to bytes: inout [UInt8]) {
    func add(_ word: UInt32) {
      for shift in [0, 8, 16, 24] as [UInt32] {
        bytes.append(UInt8(truncatingIfNeeded: word >> shift))
      }
    }
    bytes.reserveCapacity(bytes.count + 4 * (5 + logits.count + hidden.count))
    add(UInt32(data))
    add(UInt32(batch))
    add(hasAllRows ? 1 : 0)
    add(UInt32(logits.count))
    add(UInt32(hidden.count))
    for number in logits { add(number.bitPattern) }
    for number in hidden { add(number.bitPattern) }
  }

  /// The outputs that bytes hold one after the other; nil where they hold anything else.
  static func all(in bytes: [UInt8]) -> [RankOutput]? {
    var words: [UInt32] = []
    words.reserveCapacity(bytes.count / 4)
    if bytes.count % 4 != 0 { return nil }
    for start in stride(from: 0, to: bytes.count, by: 4) {
      words.append(
        (0..<4).reduce(0) { $0 | UInt32(bytes[start + $1]) << UInt32(8 * $1) })
    }
    var outputs: [RankOutput] = []
    var place = 0
    while place < words.count {
      guard words.count - place >= 5 else { return nil }
      let (logits, hidden) = (Int(words[place + 3]), Int(words[place + 4]))
      guard words.count - place - 5 >= logits + hidden else { return nil }
      let start = place + 5
      outputs.append(
        RankOutput(
          data: Int(words[place]), batch: Int(words[place + 1]),
          logits: words[start..<(start + logits)].map { Float(bitPattern: $0) },
          hidden: words[(start + logits)..<(start + logits + hidden)].map {
            Float(bitPattern: $0)
          }, hasAllRows: words[place + 2] == 1))
      place = start + logits + hidden
    }
    return outputs
  }
}
