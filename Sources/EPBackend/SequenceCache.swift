public import EPModel

/// What a rank keeps of one sequence between steps, for every cache of every call.
public final class SequenceCache {
  /// One cache of one call.
  public struct Entry {
    /// What it is.
    public let kind: CacheDeclaration.Kind
    /// Elements of an entry of each part.
    public let widths: [Int]
    /// The parts, each with room for all entries.
    public var parts: [Storage]
  }

  /// The caches, in the order of the rank's calls and their declarations.
  public private(set) var entries: [Entry]
  /// Tokens there is room for.
  public private(set) var capacity: Int

  /// Makes empty caches.
  public init(_ declarations: [CacheDeclaration]) {
    capacity = 0
    entries = declarations.map { declaration in
      let widths = declaration.parts.map { $0.reduce(1) { $0 * ($1.size ?? 1) } }
      return Entry(
        kind: declaration.kind, widths: widths,
        parts: widths.map { Storage(bytes: declaration.kind.growsWithContext ? 0 : 4 * $0) })
    }
  }

  /// Makes room for `tokens` tokens in all caches that grow; what they hold stays.
  public func reserve(_ tokens: Int) {
    if tokens <= capacity { return }
    capacity = max(tokens, 2 * capacity, 16)
    for index in entries.indices where entries[index].kind.growsWithContext {
      for part in entries[index].parts.indices {
        let grown = Storage(bytes: 4 * entries[index].widths[part] * capacity)
        grown.memory.copy(from: entries[index].parts[part].memory)
        entries[index].parts[part] = grown
      }
    }
  }

  /// A copy of all states that do not grow, to go back to.
  public func snapshot() -> [[Storage]] {
    entries.map { entry in
      entry.kind.growsWithContext
        ? []
        : entry.parts.map { part in
          let copy = Storage(bytes: part.memory.bytes)
          copy.memory.copy(from: part.memory)
          return copy
        }
    }
  }

  /// Goes back to states copied earlier.
  public func restore(_ snapshot: [[Storage]]) {
    for (entry, parts) in zip(entries, snapshot) {
      for (part, copy) in zip(entry.parts, parts) { part.memory.copy(from: copy.memory) }
    }
  }

  /// Whether there are states that do not grow.
  public var hasStates: Bool { entries.contains { !$0.kind.growsWithContext } }
}
