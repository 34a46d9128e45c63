import EPBackend
import EPBackendMPI
import EPIR
import EPModel

/// Times what the executor does to dispatch and combine tokens over MPI, and `MPI_Alltoallv` of the
/// same bytes alone, round by round in one run.
struct ExchangeBenchmark {
  let library: MPILibrary
  let hidden: Int
  /// Experts of a rank.
  let experts: Int
  let topK: Int
  let rounds: Int
  private var transport: MPITransport

  init(library: MPILibrary, hidden: Int, experts: Int, topK: Int, rounds: Int) {
    self.library = library
    self.hidden = hidden
    self.experts = experts
    self.topK = min(topK, experts * library.count)
    self.rounds = rounds
    transport = MPITransport(library)
  }

  static let heading =
    "ranks  tokens  MiB sent  alltoallv us  dispatch us  alltoallv us  combine us"

  /// A line of the table: medians over rounds of the slowest rank.
  mutating func line(tokens: Int) throws(BackendError) -> String {
    let members = Array(0..<library.count)
    let chosen = choices(tokens)
    let counts = Storage(
      (0..<(library.count * experts)).map { slot in
        Int32(chosen.filter { $0.slot == slot }.count)
      })
    let received = Storage(bytes: counts.memory.bytes)
    let rows = Storage(chosen.map { Int32($0.token) })
    let x = Storage(bytes: 4 * tokens * hidden)
    func countBlocks(_ place: Memory) -> [Memory] {
      members.map { place.elements(from: $0 * experts, count: experts) }
    }
    try meet(.dispatch, members, countBlocks(counts.memory), countBlocks(received.memory))
    let sent = sums(counts.memory)
    let got = sums(received.memory)
    let out = Storage(bytes: 4 * chosen.count * hidden)
    let into = Storage(bytes: 4 * got.reduce(0, +) * hidden)
    let ordered = Storage(bytes: into.memory.bytes)
    let order = Storage(places(received.memory))
    var times: [[Double]] = Array(repeating: [], count: 4)
    for _ in 0..<rounds {
      // Plain, in the direction of dispatch.
      times[0].append(
        try timed { () throws(BackendError) in
          try meet(.dispatch, members, blocks(out.memory, sent), blocks(into.memory, got))
        })
      times[1].append(
        try timed { () throws(BackendError) in
          try meet(.dispatch, members, countBlocks(counts.memory), countBlocks(received.memory))
          try meet(
            Exchange(
              kind: .dispatch, group: .expert, members: members,
              rows: ScatteredRows(
                width: hidden, x: x.memory, rows: rows.memory, sent: sent, result: ordered.memory,
                places: order.memory, received: got)))
        })
      // Plain, in the direction of combine.
      times[2].append(
        try timed { () throws(BackendError) in
          try meet(.combine, members, blocks(into.memory, got), blocks(out.memory, sent))
        })
      times[3].append(
        try timed { () throws(BackendError) in
          try meet(
            Exchange(
              kind: .combine, group: .expert, members: members,
              rows: ScatteredRows(
                width: hidden, x: ordered.memory, rows: order.memory, sent: got,
                result: out.memory, places: nil, received: sent)))
        })
    }
    let medians = times.map { Int($0.sorted()[rounds / 2].rounded()) }
    let bytes = 4 * hidden * (chosen.count - sent[library.rank])
    let cells = ["\(library.count)", "\(tokens)", tenths(bytes)] + medians.map(String.init)
    let widths = [5, 6, 8, 12, 11, 12, 10]
    return zip(cells, widths).map { cell, width in
      String(repeating: " ", count: max(width - cell.count, 0)) + cell
    }.joined(separator: "  ")
  }

  private func tenths(_ bytes: Int) -> String {
    let tenths = bytes * 10 / (1 << 20)
    return "\(tenths / 10).\(tenths % 10)"
  }

  /// Slots of the tokens, each token's different, by slot: the same on every run.
  private func choices(_ tokens: Int) -> [(token: Int, slot: Int)] {
    var state = UInt64(library.rank + 1) &* 0x9E37_79B9_7F4A_7C15
    var chosen: [(token: Int, slot: Int)] = []
    for token in 0..<tokens {
      var slots: Set<Int> = []
      while slots.count < topK {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        slots.insert(Int((state >> 33) % UInt64(library.count * experts)))
      }
      chosen += slots.sorted().map { (token, $0) }
    }
    return chosen.sorted { ($0.slot, $0.token) < ($1.slot, $1.token) }
  }

  private func sums(_ counts: Memory) -> [Int] {
    (0..<library.count).map { member in
      (0..<experts).reduce(0) { $0 + Int(unsafe counts.indices[member * experts + $1]) }
    }
  }

  /// Where each row received goes, so that rows of an expert lie together.
  private func places(_ counts: Memory) -> [Int32] {
    func count(_ member: Int, _ slot: Int) -> Int {
      Int(unsafe counts.indices[member * experts + slot])
    }
    var next: [[Int]] = Array(repeating: Array(repeating: 0, count: experts), count: library.count)
    var place = 0
    for slot in 0..<experts {
      for member in 0..<library.count {
        next[member][slot] = place
        place += count(member, slot)
      }
    }
    return (0..<library.count).flatMap { member in
      (0..<experts).flatMap { slot in
        (0..<count(member, slot)).map { Int32(next[member][slot] + $0) }
      }
    }
  }

  private func blocks(_ all: Memory, _ rows: [Int]) -> [Memory] {
    var start = 0
    return rows.map { count in
      defer { start += count }
      return all.elements(from: start * hidden, count: count * hidden)
    }
  }

  private mutating func meet(
    _ kind: OpKind, _ members: [Int], _ sends: [Memory], _ receives: [Memory]
  ) throws(BackendError) {
    try meet(
      Exchange(kind: kind, group: .expert, members: members, sends: sends, receives: receives))
  }

  private mutating func meet(_ exchange: Exchange) throws(BackendError) {
    if try transport.post(.exchange(exchange), from: library.rank).isEmpty {
      _ = try transport.wait()
    }
  }

  /// Microseconds of the slowest rank, all having begun together.
  private func timed(_ work: () throws(BackendError) -> Void) throws(BackendError) -> Double {
    _ = try library.gather([])
    let clock = ContinuousClock()
    let start = clock.now
    try work()
    let nanoseconds = UInt32(clamping: Int(start.duration(to: clock.now) / .nanoseconds(1)))
    let mine = (0..<4).map { UInt8(truncatingIfNeeded: nanoseconds >> UInt32(8 * $0)) }
    let slowest = try library.gather(mine).map { bytes in
      (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[$1]) << UInt32(8 * $1) }
    }.max()
    return Double(slowest ?? 0) / 1000
  }
}
