/// What a data group works on in one step.
public struct StepInput: Sendable {
  /// Which calls of the plan run.
  public enum Phase: Hashable, Sendable {
    /// Embedding, layers and head.
    case main
    /// The MTP depth of that number, from 0.
    case draft(Int)
  }

  /// The rows of one sequence.
  public struct Part: Hashable, Sendable {
    /// The sequence, as the caller numbers them.
    public var sequence: Int
    /// How many rows.
    public var rows: Int
    /// The position of the first in the sequence.
    public var position: Int
    /// Those whose logits are wanted, counted from the part's first row.
    public var sampled: Range<Int>

    /// Makes a part; logits are wanted of all its rows unless `sampled` says otherwise.
    public init(sequence: Int, rows: Int, position: Int, sampled: Range<Int>? = nil) {
      self.sequence = sequence
      self.rows = rows
      self.position = position
      self.sampled = sampled ?? 0..<rows
    }
  }

  /// Which calls run.
  public var phase: Phase
  /// The sequences, one after the other.
  public var parts: [Part]
  /// The token of each row.
  public var ids: [Int32]
  /// The modality of each row; text where empty.
  public var modality: [Int32]
  /// For drafts, the hidden state of each row.
  public var hidden: [Float]

  /// The rows whose logits are wanted.
  public var sampled: [Int] {
    var first = 0
    var rows: [Int] = []
    for part in parts {
      rows += part.sampled.map { first + $0 }
      first += part.rows
    }
    return rows
  }

  /// Makes a step; one without parts takes part in collectives only.
  public init(
    _ phase: Phase, parts: [Part] = [], ids: [Int32] = [], modality: [Int32] = [],
    hidden: [Float] = []
  ) {
    self.phase = phase
    self.parts = parts
    self.ids = ids
    self.modality = modality
    self.hidden = hidden
  }
}

extension StepInput {
  /// Consecutive rows as so many steps, about equally many each. A sequence whose rows fall into two
  /// has the earlier ones in the first.
  func split(into count: Int) -> [StepInput] {
    if count == 1 { return [self] }
    let width = ids.isEmpty ? 0 : hidden.count / ids.count
    var rest = parts[...]
    var used = 0
    return (0..<count).map { index in
      let rows = (ids.count * index / count)..<(ids.count * (index + 1) / count)
      var part = StepInput(
        phase, ids: Array(ids[rows]), modality: modality.isEmpty ? [] : Array(modality[rows]),
        hidden: Array(hidden[(rows.lowerBound * width)..<(rows.upperBound * width)]))
      var missing = rows.count
      while missing > 0, let next = rest.first {
        let taken = min(missing, next.rows - used)
        let sampled = next.sampled.clamped(to: used..<(used + taken))
        part.parts.append(
          Part(
            sequence: next.sequence, rows: taken, position: next.position + used,
            sampled: (sampled.lowerBound - used)..<(sampled.upperBound - used)))
        missing -= taken
        used += taken
        if used == next.rows {
          rest.removeFirst()
          used = 0
        }
      }
      return part
    }
  }
}

/// What a data group's step makes.
public struct StepOutput: Sendable {
  /// Logits `[sampled, vocabulary]`.
  public var logits: [Float]
  /// The rows of the step that have logits, ascending.
  public var sampled: [Int]
  /// Hidden states `[tokens, hidden]` after the final norm, or of an MTP depth.
  public var hidden: [Float]

  /// The logits of a row that is sampled.
  func logits(ofRow row: Int) -> ArraySlice<Float> {
    guard let index = sampled.firstIndex(of: row) else {
      preconditionFailure("logits of a row that was not sampled")
    }
    let width = logits.count / sampled.count
    return logits[(index * width)..<((index + 1) * width)]
  }
}

/// Rows and bytes that dispatch and combine of one layer move.
public struct Traffic: Hashable, Sendable {
  /// Rows that stay on their rank.
  public var localRows = 0
  /// Rows that go to another rank.
  public var remoteRows = 0
  /// Bytes sent to other ranks by dispatch.
  public var dispatchBytes = 0
  /// Bytes sent to other ranks by combine.
  public var combineBytes = 0

  /// No traffic.
  public init() {}

  /// Adds other traffic.
  public static func += (a: inout Traffic, b: Traffic) {
    a.localRows += b.localRows
    a.remoteRows += b.remoteRows
    a.dispatchBytes += b.dispatchBytes
    a.combineBytes += b.combineBytes
  }
}
