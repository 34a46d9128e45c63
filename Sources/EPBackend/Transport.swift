public import EPIR
public import EPModel

/// What a rank needs of others before it can go on.
public enum Request: Sendable {
  /// Blocks from and to every member of a group.
  case exchange(Exchange)
  /// A block to another rank of the pool. The sender may reuse it as soon as the post returns.
  case send(to: Int, Memory)
  /// A block from another rank of the pool.
  case receive(from: Int, Memory)
}

/// One rank's side of a meeting of a group: every member gets a block from every member.
///
/// All collectives are made of this one movement of bytes; sums and orders are the executor's, so
/// that results are the same over every transport. A transport may do better for a kind it knows.
public struct Exchange: Sendable {
  /// The operation it is for.
  public var kind: OpKind
  /// The kind of group.
  public var group: Mesh.Group
  /// The members, ranks of the pool, in the group's order.
  public var members: [Int]
  /// The block for each member, the rank itself included.
  public var sends: [Memory]
  /// The place for each member's block, of that block's size.
  public var receives: [Memory]
  /// Rows to move instead of blocks, both of which are empty then; only for transports with
  /// `movesRows`.
  public var rows: ScatteredRows?

  /// Makes one rank's side.
  public init(
    kind: OpKind, group: Mesh.Group, members: [Int], sends: [Memory], receives: [Memory]
  ) {
    self.kind = kind
    self.group = group
    self.members = members
    self.sends = sends
    self.receives = receives
  }

  /// Makes one rank's side, of rows that lie apart.
  public init(kind: OpKind, group: Mesh.Group, members: [Int], rows: ScatteredRows) {
    self.init(kind: kind, group: group, members: members, sends: [], receives: [])
    self.rows = rows
  }
}

/// Rows of one place, to be moved to rows of another member's without a copy in between.
public struct ScatteredRows: Sendable {
  /// Elements of a row, of 4 bytes each.
  public var width: Int
  /// What rows are sent from.
  public var x: Memory
  /// The rows sent, indices, those to the first member first.
  public var rows: Memory
  /// How many of them go to each member.
  public var sent: [Int]
  /// What rows are received into.
  public var result: Memory
  /// The rows they go to, indices, those from the first member first; nil for one after the other.
  public var places: Memory?
  /// How many come from each member.
  public var received: [Int]

  /// Describes rows.
  public init(
    width: Int, x: Memory, rows: Memory, sent: [Int], result: Memory, places: Memory?,
    received: [Int]
  ) {
    self.width = width
    self.x = x
    self.rows = rows
    self.sent = sent
    self.result = result
    self.places = places
    self.received = received
  }
}

/// Something that moves bytes between the ranks of a pool.
///
/// Posts of one rank complete in order. Blocks posted must stay as they are until the post is
/// complete, except those of `send`.
public protocol Transport {
  /// Whether exchanges may say which rows to move rather than blocks of them.
  var movesRows: Bool { get }

  /// Takes a rank's request.
  ///
  /// - Returns: the ranks of this process whose latest request is now complete; the poster is
  ///   among them if it need not wait.
  /// - Throws: `BackendError.mismatch` where sides of a meeting do not go together.
  mutating func post(_ request: Request, from rank: Int) throws(BackendError) -> [Int]

  /// Waits until other processes complete requests of this one's ranks.
  ///
  /// - Returns: those ranks; none where nothing that is under way can ever complete.
  mutating func wait() throws(BackendError) -> [Int]

  /// Lets what is under way move on, without waiting.
  mutating func progress() throws(BackendError)
}

extension Transport {
  /// Most transports move blocks.
  public var movesRows: Bool { false }

  /// Without other processes nothing completes by waiting.
  public mutating func wait() throws(BackendError) -> [Int] { [] }

  /// Most transports move on by themselves.
  public mutating func progress() throws(BackendError) {}
}
