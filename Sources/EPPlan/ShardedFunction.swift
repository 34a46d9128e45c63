public import EPIR
public import EPModel

/// A function as one rank runs it: local sizes, explicit collectives, streams, waits and buffers.
public struct ShardedFunction: Hashable, Sendable {
  /// A queue of work that runs in order.
  public enum Stream: Int, Hashable, Sendable, CaseIterable {
    /// Kernels.
    case compute = 0
    /// Collectives.
    case communication = 1
  }

  /// A place in a rank's arena.
  public struct Buffer: Hashable, Sendable {
    /// Bytes from the arena's start; a multiple of `Buffer.alignment`.
    public var offset: Int
    /// Bytes.
    public var bytes: Int

    /// What offsets are multiples of.
    public static let alignment = 256

    /// Makes a place.
    public init(offset: Int, bytes: Int) {
      self.offset = offset
      self.bytes = bytes
    }

    /// Whether two places share a byte.
    public func overlaps(_ other: Buffer) -> Bool {
      offset < other.end && other.offset < end
    }

    /// The first byte behind the place.
    public var end: Int { offset.saturatingSum(bytes) }
  }

  /// The function with local sizes.
  public var function: Function
  /// How each weight is spread over ranks.
  public var sharding: [WeightSharding]
  /// Over how many tensor ranks each cache is split; 1 where every rank holds it whole.
  public var cacheParts: [Int]
  /// The most rows experts of a rank take in a step, over all its slots; 0 without experts.
  public var routedCapacity: Int
  /// The stream of each operation.
  public var streams: [Stream]
  /// The operations issued earlier, on other streams, that each operation waits for.
  public var waits: [[Int]]
  /// The place of each value, in the arena of each micro-batch.
  public var buffers: [Buffer]
  /// When its operations run, for layers whose exchanges overlap with compute; without one they run
  /// in the order they are in.
  public var schedule: LayerSchedule?

  /// Makes a function that is not scheduled yet.
  public init(_ function: Function, sharding: [WeightSharding], cacheParts: [Int]) {
    self.function = function
    self.sharding = sharding
    self.cacheParts = cacheParts
    routedCapacity = 0
    streams = []
    waits = []
    buffers = []
  }

  /// The operations in the order they are issued, in each micro-batch.
  public var issueOrder: [Int] { schedule?.order ?? Array(function.operations.indices) }

  /// Bytes of the arena that the buffers need.
  public var arenaBytes: Int { buffers.reduce(0) { max($0, $1.end) } }

  /// The textual form, with streams, waits and buffers behind each operation.
  public var text: String {
    function.text { index in
      guard streams.indices.contains(index) else { return nil }
      var note = streams[index] == .compute ? "compute" : "communication"
      if waits.indices.contains(index), !waits[index].isEmpty {
        note += ", waits for \(waits[index].map(String.init).joined(separator: ", "))"
      }
      if let result = function.operations[index].results.first, buffers.indices.contains(result) {
        note += ", at \(buffers[result].offset)"
      }
      return note
    }
  }
}

/// How a weight is spread over the ranks of a pool.
public struct WeightSharding: Hashable, Sendable {
  /// The axes of the whole weight.
  public var axes: [Axis]
  /// The axis that tensor ranks split, by position.
  public var tensorAxis: Int?
  /// The axis that expert ranks split by slots, by position.
  public var expertAxis: Int?
  /// Whether only tensor rank 0 uses it, the others adding nothing.
  public var isFirstOnly: Bool

  /// Makes a sharding.
  public init(
    axes: [Axis], tensorAxis: Int? = nil, expertAxis: Int? = nil, isFirstOnly: Bool = false
  ) {
    self.axes = axes
    self.tensorAxis = tensorAxis
    self.expertAxis = expertAxis
    self.isFirstOnly = isFirstOnly
  }

  /// The axes that a rank holds, or nil where the axis cannot be split so.
  public func localAxes(mesh: Mesh, slotsPerRank: Int) -> [Axis]? {
    var local = axes
    if let tensorAxis {
      guard axes.indices.contains(tensorAxis), let size = axes[tensorAxis].size,
        let part = WeightSharding.part(of: size, over: mesh.tp, at: 0)
      else { return nil }
      local[tensorAxis] = axes[tensorAxis].resized(to: part.count)
    }
    if let expertAxis {
      guard axes.indices.contains(expertAxis), expertAxis != tensorAxis else { return nil }
      local[expertAxis] = axes[expertAxis].resized(to: slotsPerRank)
    }
    return local
  }

  /// The part of an axis that one of `parts` ranks holds: an equal share, or one element that
  /// several ranks hold where there are more ranks than elements. Nil where neither comes out even.
  public static func part(of size: Int, over parts: Int, at index: Int) -> Range<Int>? {
    if parts > 0 && size % parts == 0 {
      return (index * (size / parts))..<((index + 1) * (size / parts))
    }
    if parts > 0 && size > 0 && parts % size == 0 {
      let element = index * size / parts
      return element..<(element + 1)
    }
    return nil
  }
}
