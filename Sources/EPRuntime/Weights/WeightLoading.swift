internal import EPBackend
internal import EPCheckpoint
internal import Synchronization

/// Pieces of weights that are being read and made ready on other threads.
final class WeightLoading {
  /// A part of a weight, some of its pieces, and where they go.
  struct Item: Sendable {
    var part: WeightPart
    var pieces: Range<Int>
    /// The place of the whole part; `owner` keeps it.
    var place: Memory
    var owner: Storage
  }

  /// What came of the pieces.
  private struct Outcome: Sendable {
    /// The first failure by the order of pieces.
    var failure: (piece: Int, error: WeightError)?
    var seconds = 0.0
  }

  private final class Shared: Sendable {
    let outcome = Mutex(Outcome())
  }

  private let shared = Shared()
  let pending: PendingRead

  /// Begins to read what items are made of and, once all is read, to make them.
  init(
    _ items: [Item], by reader: CheckpointReader, priority: CheckpointReader.Priority
  ) throws(WeightError) {
    var ranges: [FileRange] = []
    for item in items { ranges += try item.part.ranges(item.pieces) }
    let tasks = items.flatMap { item in item.pieces.map { (item, $0) } }
    let shared = self.shared
    do throws(CheckpointError) {
      pending = try reader.read(ranges.joined(), priority: priority, tasks: tasks.count) {
        number, staged in
        let start = ContinuousClock.now
        let (item, piece) = tasks[number]
        var failure: WeightError?
        do throws(WeightError) {
          try item.part.make(piece, from: staged, into: item.place)
        } catch { failure = error }
        let seconds = start.duration(to: .now).seconds
        shared.outcome.withLock {
          $0.seconds += seconds
          if let failure, number < $0.failure?.piece ?? .max { $0.failure = (number, failure) }
        }
      }
    } catch { throw .checkpoint(error) }
  }

  /// Memory that reading takes until this object goes.
  static func room(for items: [Item]) throws(WeightError) -> Int {
    var ranges: [FileRange] = []
    for item in items { ranges += try item.part.ranges(item.pieces) }
    return CheckpointReader.room(for: ranges.joined())
  }

  /// Waits until all is made. Returns the seconds that threads took for that, without reading.
  @discardableResult
  func finish() throws(WeightError) -> Double {
    do { try pending.finish() } catch { throw .checkpoint(error) }
    let outcome = shared.outcome.withLock { $0 }
    if let failure = outcome.failure { throw failure.error }
    return outcome.seconds
  }
}

extension WeightStore {
  /// Threads that read, which are waiting most of the time.
  static let readers = 4

  /// What is read ahead at most, in bytes.
  private static let window = 32 << 20
  /// What is read at a time, about, in bytes.
  private static let jobBytes = 4 << 20

  /// Reads and makes parts of weights, several at once.
  static func load(_ items: [WeightLoading.Item], by reader: CheckpointReader) throws(WeightError) {
    var running: [WeightLoading] = []
    var room = 0
    func finish(downTo limit: Int) throws(WeightError) {
      while room > limit || running.count > 64, !running.isEmpty {
        let first = running.removeFirst()
        room -= first.pending.room
        try first.finish()
      }
    }
    for item in items {
      var pieces = item.pieces
      while !pieces.isEmpty {
        var job = item
        job.pieces = pieces.prefix(max(jobBytes / WeightPart.pieceBytes, 1))
        pieces = pieces.dropFirst(job.pieces.count)
        let needed = try WeightLoading.room(for: [job])
        try finish(downTo: max(window - needed, 0))
        let loading = try WeightLoading([job], by: reader, priority: .now)
        room += loading.pending.room
        running.append(loading)
      }
    }
    while !running.isEmpty { try running.removeFirst().finish() }
  }
}
