/// How even the rows of single batches were over the ranks of an expert group.
public struct RoutedBalance: Hashable, Sendable {
  /// Dispatches that routed anything.
  public var batches = 0
  /// The sum over them of mean over fullest rank.
  public var sum = 0.0
  /// The same if replicas had shared each expert's rows evenly, where that is known: where batches
  /// are split over replicas.
  public var evenSum: Double?

  /// No batches.
  public init() {}

  /// The balance of a batch, on average; nil where there were none.
  public var mean: Double? { batches > 0 ? sum / Double(batches) : nil }

  /// What it would have been with even shares.
  public var evenMean: Double? { batches > 0 ? evenSum.map { $0 / Double(batches) } : nil }

  /// Adds other batches.
  public static func += (a: inout RoutedBalance, b: RoutedBalance) {
    if b.batches == 0 { return }
    a.evenSum = a.batches == 0 ? b.evenSum : a.evenSum.flatMap { sum in b.evenSum.map { sum + $0 } }
    a.batches += b.batches
    a.sum += b.sum
  }
}

extension RunStatistics {
  /// The balance of all batches of all layers and pools together.
  public var routedBalance: RoutedBalance {
    balance.reduce(into: RoutedBalance()) { sum, pool in
      for (_, layer) in pool.sorted(by: { $0.key < $1.key }) { sum += layer }
    }
  }
}

/// Rows that one dispatch brought to a rank.
struct RoutedBatch: Hashable, Sendable {
  var layer: Int
  /// The first member of the expert group.
  var group: Int
  var members: Int
  var rows: Int
  /// Rows of the fullest rank with even shares, as the first member of a group knows them.
  var evenMost: Double?
}

extension RoutedBalance {
  /// The batches of a step by layer, out of what each rank of the pool noted of them: members of a
  /// group note the same batches in the same order.
  static func byLayer(_ ranks: [[RoutedBatch]]) -> [Int: RoutedBalance] {
    struct Key: Hashable {
      var group: Int
      var number: Int
    }
    struct Batch {
      var layer: Int
      var members: Int
      var total = 0
      var most = 0
      var evenMost: Double?
    }
    var batches: [Key: Batch] = [:]
    for notes in ranks {
      for (number, note) in notes.enumerated() {
        var batch =
          batches[Key(group: note.group, number: number)]
          ?? Batch(layer: note.layer, members: note.members)
        batch.total += note.rows
        batch.most = max(batch.most, note.rows)
        batch.evenMost = batch.evenMost ?? note.evenMost
        batches[Key(group: note.group, number: number)] = batch
      }
    }
    var result: [Int: RoutedBalance] = [:]
    // In order, so that sums do not depend on hashes.
    for (_, batch) in batches.sorted(by: {
      ($0.key.group, $0.key.number) < ($1.key.group, $1.key.number)
    }) where batch.total > 0 {
      let mean = Double(batch.total) / Double(batch.members)
      var one = RoutedBalance()
      one.batches = 1
      one.sum = mean / Double(batch.most)
      one.evenSum = batch.evenMost.map { min(mean / $0, 1) }
      result[batch.layer, default: RoutedBalance()] += one
    }
    return result
  }
}
