internal import EPIR
public import EPModel

/// Some of a cluster's devices that are faster or slower than the kind it is described by, or have other
/// memory: a processor beside accelerators, an older generation.
public struct UnlikeDevices: Hashable, Sendable {
  /// The devices, ranks of the cluster.
  public var ranks: ClosedRange<Int>
  /// How fast one is, as a multiple of the kind's.
  public var speed: Double
  /// Memory of one, in bytes.
  public var memoryBytes: Int

  /// Describes devices.
  public init(ranks: ClosedRange<Int>, speed: Double, memoryBytes: Int) {
    self.ranks = ranks
    self.speed = speed
    self.memoryBytes = memoryBytes
  }

  /// What speeds can be.
  public static let speeds = 1e-3...1e3

  /// What is wrong with a list of devices of a cluster of that size: nothing, or one phrase.
  public static func problem(of list: [UnlikeDevices], devices: Int) -> String? {
    var next = 0
    for kind in list {
      if kind.ranks.lowerBound < next {
        return "device \(kind.ranks.lowerBound) is described twice, or out of order"
      }
      if kind.ranks.upperBound >= devices {
        return "device \(kind.ranks.upperBound) of \(devices)"
      }
      if !speeds.contains(kind.speed) || kind.memoryBytes < 1 {
        return "devices \(kind.name) have no speed, or no memory"
      }
      next = kind.ranks.upperBound + 1
    }
    return nil
  }

  /// `3`, or `0-2`.
  public var name: String {
    ranks.count == 1 ? "\(ranks.lowerBound)" : "\(ranks.lowerBound)-\(ranks.upperBound)"
  }

  /// Reads what `name` writes; nil where it is none.
  public static func ranks(parsing text: String) -> ClosedRange<Int>? {
    let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
    guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil, first >= 0,
      first <= last
    else { return nil }
    return first...last
  }
}

extension ClusterSummary {
  /// How fast a rank's device is, as a multiple of the cluster's kind.
  public func speed(ofRank rank: Int) -> Double { unlike(rank)?.speed ?? 1 }

  /// Bytes of a rank's device that a plan may use.
  public func usableBytes(ofRank rank: Int) -> Int {
    guard let unlike = unlike(rank) else { return usableBytes }
    return Int(saturating: Double(unlike.memoryBytes) * usableFraction)
  }

  private func unlike(_ rank: Int) -> UnlikeDevices? {
    unlike.first { $0.ranks.contains(rank) }
  }
}

extension Pool {
  /// The ranks that hold an expert rank's slots: one in each stage and copy of all experts.
  public func ranks(ofExpertRank expert: Int) -> [Int] {
    (0..<mesh.ranks).filter { mesh.coordinates(of: $0).expert == expert }
  }

  /// Whether some rank has fewer slots than others.
  public var hasEmptySlots: Bool { placements.contains(where: \.hasEmptySlots) }

  /// Bytes that a rank holds: the table of its stage, less the slots that are empty on it.
  public func heldBytes(ofRank rank: Int, tables: [MemoryTable], precision: Precision) -> Int {
    let coordinates = mesh.coordinates(of: rank)
    let table = tables[coordinates.stage]
    if !hasEmptySlots { return table.total }
    let held = expertBytes(
      ofStage: coordinates.stage, expertRank: coordinates.expert, precision: precision)
    return table.total.saturatingSum(-min(table.expertWeights, table.expertWeights - held))
  }

  /// Bytes of the routed experts that an expert rank holds in a stage.
  public func expertBytes(ofStage stage: Int, expertRank: Int, precision: Precision) -> Int {
    var sum = 0
    for call in calls(ofStage: stage) {
      let function = functions[call.function]
      for (weight, sharding) in zip(function.function.weights, function.sharding)
      where sharding.expertAxis != nil {
        let bits = precision.format(of: weight.role).bitsPerElement
        let bytes = Int(saturating: (Double(weight.elementCount) * bits / 8).rounded(.up))
        for layer in call.layers {
          guard let placement = placement(function: call.function, layer: layer) else { continue }
          let slots = placement.experts(ofRank: expertRank).count
          sum = sum.saturatingSum(bytes / max(placement.slotsPerRank, 1) * slots)
        }
      }
    }
    return sum
  }
}
