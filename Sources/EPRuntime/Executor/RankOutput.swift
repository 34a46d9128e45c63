internal import EPBackend
internal import EPIR
internal import EPModel
internal import EPPlan

/// What a rank of the last stage made in a step, on its way to other processes.
struct RankOutput {
  /// The data group.
  var data: Int
  /// Logits `[sampled, vocabulary]`, of the first tensor rank alone: all have the same.
  var logits: [Float]
  /// Hidden states of the rank's rows.
  var hidden: [Float]
  /// Whether those are all rows of the data group.
  var hasAllRows: Bool

  init<D: Device>(_ rank: RankExecutor<D>) {
    let coordinates = rank.program.coordinates
    data = coordinates.data
    logits = coordinates.tensor == 0 ? rank.output("logits")?.place.floats ?? [] : []
    let hidden = rank.output("hidden")
    self.hidden = hidden?.place.floats ?? []
    hasAllRows = hidden.map { RowKind($0.type) == .tokens } ?? false
  }

  private init(data: Int, logits: [Float], hidden: [Float], hasAllRows: Bool) {
    self.data = data
    self.logits = logits
    self.hidden = hidden
    self.hasAllRows = hasAllRows
  }

  /// Adds the output as words of 4 bytes: data group, whether it has all rows, both counts, numbers.
  func append(to bytes: inout [UInt8]) {
    func add(_ word: UInt32) {
      for shift in [0, 8, 16, 24] as [UInt32] {
        bytes.append(UInt8(truncatingIfNeeded: word >> shift))
      }
    }
    bytes.reserveCapacity(bytes.count + 4 * (4 + logits.count + hidden.count))
    add(UInt32(data))
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
      guard words.count - place >= 4 else { return nil }
      let (logits, hidden) = (Int(words[place + 2]), Int(words[place + 3]))
      guard words.count - place - 4 >= logits + hidden else { return nil }
      let start = place + 4
      outputs.append(
        RankOutput(
          data: Int(words[place]),
          logits: words[start..<(start + logits)].map { Float(bitPattern: $0) },
          hidden: words[(start + logits)..<(start + logits + hidden)].map {
            Float(bitPattern: $0)
          }, hasAllRows: words[place + 1] == 1))
      place = start + logits + hidden
    }
    return outputs
  }
}
