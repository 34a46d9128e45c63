internal import EPIR
internal import EPModel

/// The transport of a pool whose ranks are all in one process: copies.
public struct InProcessTransport: Transport {
  private struct Place: Hashable {
    var group: Mesh.Group
    var first: Int
  }

  private struct Pair: Hashable {
    var from: Int
    var to: Int
  }

  private var waiting: [Place: [Int: Exchange]] = [:]
  private var sent: [Pair: [Storage]] = [:]
  private var receivers: [Pair: Memory] = [:]

  /// Makes a transport on which nothing is under way.
  public init() {}

  /// Takes a request; see `Transport`.
  public mutating func post(_ request: Request, from rank: Int) throws(BackendError) -> [Int] {
    switch request {
    case .exchange(let exchange):
      let place = Place(group: exchange.group, first: exchange.members.first ?? rank)
      var sides = waiting.removeValue(forKey: place) ?? [:]
      sides[rank] = exchange
      if sides.count < exchange.members.count {
        waiting[place] = sides
        return []
      }
      try complete(sides, members: exchange.members)
      return exchange.members
    case .send(let receiver, let block):
      let pair = Pair(from: rank, to: receiver)
      if let place = receivers.removeValue(forKey: pair) {
        try move(block, to: place, from: rank)
        return [rank, receiver]
      }
      let copy = Storage(bytes: block.bytes)
      copy.memory.copy(from: block)
      sent[pair, default: []].append(copy)
      return [rank]
    case .receive(let sender, let place):
      let pair = Pair(from: sender, to: rank)
      guard var blocks = sent[pair], !blocks.isEmpty else {
        receivers[pair] = place
        return []
      }
      let block = blocks.removeFirst()
      sent[pair] = blocks
      try move(block.memory, to: place, from: sender)
      return [rank]
    }
  }

  private func complete(_ sides: [Int: Exchange], members: [Int]) throws(BackendError) {
    for (to, receiver) in members.enumerated() {
      guard let side = sides[receiver], side.members == members else {
        throw .mismatch(rank: receiver, reason: "it meets other ranks than \(members)")
      }
      for (from, sender) in members.enumerated() {
        guard let other = sides[sender], other.kind == side.kind else {
          throw .mismatch(
            rank: receiver,
            reason: "it waits in '\(side.kind.rawValue)', rank \(sender) elsewhere")
        }
        try move(other.sends[to], to: side.receives[from], from: sender)
      }
    }
  }

  private func move(_ block: Memory, to place: Memory, from sender: Int) throws(BackendError) {
    if block.bytes != place.bytes {
      throw .mismatch(
        rank: sender, reason: "it sends \(block.bytes) bytes where \(place.bytes) are expected")
    }
    if block.bytes > 0 { place.copy(from: block) }
  }
}
