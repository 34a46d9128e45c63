internal import EPBackend

/// Experts of all layers, in as much memory as there is for them.
///
/// An expert is read when rows are sent to it and stays until the room is needed for one that is used
/// more. While an operation runs on some experts the system already reads the next ones.
public final class ExpertCache {
  /// What the cache did.
  public struct Statistics: Hashable, Sendable {
    /// Uses of matrices that were in memory.
    public var hits = 0
    /// Uses of matrices that had to be read.
    public var misses = 0
    /// Bytes of matrices made ready.
    public var bytes = 0
    /// Seconds that operations waited for them.
    public var stallSeconds = 0.0

    /// The share of uses that found their matrices in memory; nil before the first.
    public var hitRate: Double? {
      hits + misses == 0 ? nil : Double(hits) / Double(hits + misses)
    }
  }

  /// Matrices that are asked for ahead of the one being made ready.
  private static let ahead = 4

  /// Bytes that matrices may take.
  public internal(set) var budget = Int.max
  /// Bytes that they take.
  public private(set) var used = 0
  /// The most that they took.
  public private(set) var peak = 0
  /// What the cache did so far.
  public private(set) var statistics = Statistics()
  private(set) var streams: [StreamedWeight] = []
  private var now = 0
  private let clock = ContinuousClock()

  /// Bytes of the largest matrices of a slot, which must fit.
  public var least: Int { streams.reduce(0) { max($0, $1.slotBytes) } }

  /// Bytes of everything that is streamed.
  public var total: Int { streams.reduce(0) { $0 + $1.slotBytes * $1.slots.count } }

  func add(_ stream: StreamedWeight) { streams.append(stream) }

  /// Runs a body on the matrices of the slots given, in as many turns as there is room for; in each
  /// it gets those of some slots, and nil for the others.
  func withMatrices(
    of stream: StreamedWeight, _ active: [Int],
    _ body: ([Memory?]) throws(ExecutionError) -> Void
  ) throws(ExecutionError) {
    now += 1
    for slot in active {
      stream.slots[slot].uses = stream.worth(slot, now: now) + 1
      stream.slots[slot].lastUse = now
    }
    var missing = active.filter { stream.slots[$0].storage == nil }
    var ready = active.filter { stream.slots[$0].storage != nil }
    (statistics.hits, statistics.misses) =
      (statistics.hits + ready.count, statistics.misses + missing.count)
    repeat {
      let start = clock.now
      while let slot = missing.first {
        if !makeRoom(stream.slotBytes, keeping: stream, Set(ready)) { break }
        do throws(WeightError) {
          for next in missing.prefix(ExpertCache.ahead) { try stream.readAhead(next) }
          _ = try stream.load(slot)
        } catch { throw .weights(error) }
        used += stream.slotBytes
        peak = max(peak, used)
        statistics.bytes += stream.slotBytes
        ready.append(slot)
        missing.removeFirst()
      }
      statistics.stallSeconds += start.duration(to: clock.now).inSeconds
      precondition(!ready.isEmpty || missing.isEmpty, "the largest expert fits into the cache")
      var table: [Memory?] = Array(repeating: nil, count: stream.slots.count)
      for slot in ready { table[slot] = stream.slots[slot].storage?.memory }
      try body(table)
      ready = []
    } while !missing.isEmpty
  }

  /// Asks for slots that will be needed.
  func anticipate(_ stream: StreamedWeight, _ slots: [Int]) throws(ExecutionError) {
    let missing = slots.filter { stream.slots[$0].storage == nil }
    do throws(WeightError) {
      for slot in missing.prefix(ExpertCache.ahead) { try stream.readAhead(slot) }
    } catch { throw .weights(error) }
  }

  /// Asks for the slots of a layer that were used most, and are not there.
  func anticipate(_ stream: StreamedWeight) throws(ExecutionError) {
    let likely = stream.slots.indices.filter { stream.slots[$0].uses > 1 }
      .sorted { (-stream.worth($0, now: now), $0) < (-stream.worth($1, now: now), $1) }
    try anticipate(stream, Array(likely.prefix(ExpertCache.ahead)))
  }

  /// Lets go of what is worth least until there is room.
  private func makeRoom(_ bytes: Int, keeping stream: StreamedWeight, _ kept: Set<Int>) -> Bool {
    while used > budget - bytes {
      var least: (stream: StreamedWeight, slot: Int, worth: Double)?
      for other in streams {
        for slot in other.slots.indices where other.slots[slot].storage != nil {
          if other === stream && kept.contains(slot) { continue }
          let worth = other.worth(slot, now: now)
          if worth < least?.worth ?? .infinity { least = (other, slot, worth) }
        }
      }
      guard let least else { return false }
      least.stream.slots[least.slot].storage = nil
      used -= least.stream.slotBytes
    }
    return true
  }
}

extension Duration {
  /// The whole of it in seconds.
  var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
