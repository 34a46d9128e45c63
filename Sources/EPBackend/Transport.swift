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
}

/// Something that moves bytes between the ranks of a pool.
///
/// Posts of one rank complete in order. Blocks posted must stay as they are until the post is
/// complete, except those of `send`.
public protocol Transport {
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
  /// Without other processes nothing completes by waiting.
  public mutating func wait() throws(BackendError) -> [Int] { [] }

  /// Most transports move on by themselves.
  public mutating func progress() throws(BackendError) {}
}
