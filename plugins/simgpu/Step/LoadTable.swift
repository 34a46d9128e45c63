internal import CEPSimulation

/// What a job takes, tabulated over an integer load (rows, or the ratio of a link's traffic to that
/// of even routing) once, so that the inner loop only interpolates.
///
/// Each octave of loads has eight entries joined by lines; beyond the last, time grows in proportion.
final class LoadTable: Sendable {
  private let ticks: Numbers<Int64>
  /// The last load covered.
  let most: UInt32

  /// Asks for the ticks of every load that has an entry, from 1 to `most` or a little above.
  init(upTo most: Int, _ time: (Int) -> Ticks) {
    self.most = UInt32(clamping: min(max(most, 8), 1 << 28))
    let last = Int(epc_table_index(self.most))
    ticks = Numbers(repeating: 0, count: last + 2)
    for entry in 1..<(last + 2) { ticks[entry] = time(LoadTable.load(ofEntry: entry)) }
  }

  /// The same with all times so many times as long.
  func scaled(by factor: Double) -> LoadTable {
    LoadTable(last: most, count: ticks.count) { Ticks(seconds: self.ticks[$0].seconds * factor) }
  }

  private init(last: UInt32, count: Int, _ time: (_ entry: Int) -> Ticks) {
    most = last
    ticks = Numbers(repeating: 0, count: count)
    for entry in 1..<count { ticks[entry] = time(entry) }
  }

  private static func load(ofEntry entry: Int) -> Int {
    entry < 16 ? entry : (8 + entry % 8) << (entry / 8 - 1)
  }

  /// The table as C takes it, good for as long as this object.
  var table: epc_table { unsafe epc_table(ticks: ticks.base, most: most) }
}
