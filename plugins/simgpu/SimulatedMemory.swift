public import EPIR
internal import EPModel
public import EPPlan

/// What is allocated on the simulated devices of a pool, each with a capacity of its own.
///
/// An allocation past the capacity is refused with the table of what is there, as a device does.
public struct SimulatedMemory: Hashable, Sendable {
  /// One allocation of a device.
  public struct Allocation: Hashable, Sendable {
    /// What it is for.
    public var name: String
    /// Bytes.
    public var bytes: Int

    /// Makes an allocation.
    public init(name: String, bytes: Int) {
      self.name = name
      self.bytes = bytes
    }
  }

  /// The cluster's rank of the first device.
  public let firstRank: Int
  /// Bytes of a device.
  public let capacity: Int
  /// What each device holds, in the order it was allocated.
  public private(set) var devices: [[Allocation]]

  /// Makes empty devices.
  public init(ranks: Int, firstRank: Int, capacity: Int) {
    self.firstRank = firstRank
    self.capacity = capacity
    devices = Array(repeating: [], count: ranks)
  }

  /// Bytes allocated on a device.
  public func used(by rank: Int) -> Int {
    devices[rank].reduce(0) { $0.saturatingSum($1.bytes) }
  }

  /// Allocates on one device, or grows what it has of that name.
  ///
  /// - Throws: a diagnostic `simulated-oom` with the device's table.
  public mutating func allocate(
    _ name: String, _ bytes: Int, on rank: Int
  ) throws(Diagnostics) {
    let used = used(by: rank)
    guard used.saturatingSum(bytes) <= capacity else {
      let table = devices[rank].map { "\($0.name) \(Text.gibibytes($0.bytes))" }
      throw Diagnostics(
        "simulated-oom",
        "rank \(firstRank + rank): allocating \(Text.gibibytes(bytes)) for \(name) of "
          + "\(Text.gibibytes(capacity)), of which \(Text.gibibytes(max(capacity - used, 0))) are "
          + "free; allocated are \(table.joined(separator: ", "))")
    }
    if let place = devices[rank].firstIndex(where: { $0.name == name }) {
      devices[rank][place].bytes += bytes
    } else {
      devices[rank].append(Allocation(name: name, bytes: bytes))
    }
  }

  /// Gives back some bytes of an allocation.
  public mutating func free(_ name: String, _ bytes: Int, on rank: Int) {
    guard let place = devices[rank].firstIndex(where: { $0.name == name }) else { return }
    devices[rank][place].bytes = max(0, devices[rank][place].bytes - bytes)
  }

  /// Allocates what a plan's pool needs on each rank: weights, caches at the plan's load, the arena
  /// and the buffers of exchanges, beside what the runtime keeps for itself.
  public init(_ pool: Pool, plan: Plan, capacity: Int) throws(Diagnostics) {
    self.init(ranks: pool.mesh.ranks, firstRank: pool.firstRank, capacity: capacity)
    let reserved = Int(Double(capacity) * (1 - plan.cluster.usableFraction))
    for stage in pool.stages.indices {
      let table = pool.memoryTable(ofStage: stage, precision: plan.model.precision)
      for rank in (stage * pool.mesh.stageRanks)..<((stage + 1) * pool.mesh.stageRanks) {
        try allocate("runtime", reserved, on: rank)
        for (name, bytes) in table.parts where bytes > 0 { try allocate(name, bytes, on: rank) }
      }
    }
  }

  /// Bytes of the emptiest device, the one in the middle, and the fullest.
  public var spread: (least: Int, median: Int, most: Int) {
    let sorted = devices.indices.map { used(by: $0) }.sorted()
    return (sorted.first ?? 0, sorted.isEmpty ? 0 : sorted[sorted.count / 2], sorted.last ?? 0)
  }
}
