internal import CEPSystem
internal import EPBackend
internal import EPIR
internal import EPModel
internal import Glibc

/// Moves blocks between ranks of several processes with one copy: a sender posts where its blocks lie
/// in shared memory, each receiver copies its own out of there once all have posted, and a post is
/// complete when all have.
struct SharedTransport: Transport {
  private struct Post {
    let rank: Int
    let group: Int
    /// Ranks of the pool, in the group's order.
    let members: [Int]
    let processes: UInt64
    /// Posts of the group with which the round is complete.
    let round: UInt64
    let kind: UInt32
    /// What to copy: from which rank, which of its blocks, where to.
    let receives: [(from: Int, block: Int, to: Memory)]
    var hasTaken = false
  }

  private struct Place: Hashable {
    var rank: Int
    var group: Int
  }

  private let processes: WorkerGroup
  private let pool: Int
  /// Cores that processes with ranks run on.
  private let cores: Int
  private var posts: [Post] = []
  private var rounds: [Place: UInt64] = [:]
  private var bounces: [Int: Scratch] = [:]

  init(_ processes: WorkerGroup, pool: Int) {
    self.processes = processes
    self.pool = pool
    let online = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    cores = min(online, processes.region.shape.processes)
  }

  private var region: SharedRegion { processes.region }

  // MARK: Posting

  mutating func post(_ request: Request, from rank: Int) throws(BackendError) -> [Int] {
    switch request {
    case .exchange(let exchange):
      let kind: WorkerGroup.GroupKind = exchange.group == .tensor ? .tensor : .expert
      guard let first = exchange.members.first,
        let own = exchange.members.firstIndex(of: rank)
      else { throw .mismatch(rank: rank, reason: "it is no member of the group it meets") }
      try post(
        exchange.sends, from: rank, group: processes.boardGroup(kind, first: first, pool: pool),
        members: exchange.members, kind: code(exchange.kind),
        receives: exchange.members.indices.map { index in
          (from: exchange.members[index], block: own, to: exchange.receives[index])
        })
    case .send(let receiver, let block):
      try post(
        [block], from: rank, group: processes.boardGroup(.pair, first: rank, pool: pool),
        members: [rank, receiver], kind: code(.send), receives: [])
    case .receive(let sender, let place):
      try post(
        [], from: rank, group: processes.boardGroup(.pair, first: sender, pool: pool),
        members: [sender, rank], kind: code(.send), receives: [(from: sender, block: 0, to: place)])
    }
    return try progress()
  }

  private mutating func post(
    _ sends: [Memory], from rank: Int, group: Int, members: [Int], kind: UInt32,
    receives: [(from: Int, block: Int, to: Memory)]
  ) throws(BackendError) {
    let clusterRank = processes.clusterRank(rank, pool: pool)
    switch processes.faults.post(by: clusterRank) {
    case .post: break
    case .hang:
      unsafe epc_board_mark_fault(processes.region.base)
      // A round that never is complete: the others of this process go on until they miss it.
      posts.append(
        Post(
          rank: rank, group: group, members: members, processes: 0, round: .max, kind: kind,
          receives: []))
      return
    case .die:
      unsafe epc_board_mark_fault(processes.region.base)
      kill(getpid(), SIGKILL)
    case .fail(let fault):
      unsafe epc_board_mark_fault(processes.region.base)
      throw .process(
        "rank \(clusterRank) in '\(OpKind.allCases[Int(kind)].rawValue)': \(fault.cause)")
    }
    // Small things that are not in shared memory are copied there.
    let region = self.region
    let strange = sends.filter { region.block($0) == nil }.reduce(0) { $0 + $1.bytes }
    var bounce = bounces[rank] ?? Scratch { region.allocate(bytes: $0) }
    let room = bounce.take(bytes: strange)
    bounces[rank] = bounce
    var used = 0
    var blocks: [epc_block] = []
    for send in sends {
      if let block = region.block(send) {
        blocks.append(block)
        continue
      }
      let place = room.part(from: used, bytes: send.bytes)
      place.copy(from: send)
      used += send.bytes
      blocks.append(region.block(place) ?? epc_block(offset: 0, bytes: 0))
    }
    let place = Place(rank: rank, group: group)
    let round = (rounds[place] ?? 0) + 1
    rounds[place] = round
    let bells = processes.processes(of: members, pool: pool)
    posts.append(
      Post(
        rank: rank, group: group, members: members, processes: bells,
        round: round * UInt64(members.count), kind: kind, receives: receives))
    let isPosted = unsafe epc_board_post(
      region.base, UInt32(group), UInt32(members.count),
      UInt32(processes.boardRank(rank, pool: pool)), kind, blocks, UInt32(blocks.count), bells)
    precondition(isPosted, "the board has room for every group of its plan")
  }

  // MARK: Completing

  mutating func wait() throws(BackendError) -> [Int] {
    if posts.isEmpty { return [] }
    var done: [Int] = []
    let waiting = posts
    try processes.wait(for: { describe(waiting) }) { () throws(BackendError) in
      done = try progress()
      return !done.isEmpty
    }
    return done
  }

  /// Takes what has come; returns the ranks whose posts are complete.
  private mutating func progress() throws(BackendError) -> [Int] {
    var done: [Int] = []
    for index in posts.indices where !posts[index].hasTaken {
      let post = posts[index]
      guard unsafe epc_board_posted(region.base, UInt32(post.group)) >= post.round else { continue }
      let start = ContinuousClock.now
      // What ranks that share a core take at the same time.
      let bytes = post.receives.reduce(0) { $0 + $1.to.bytes } * post.members.count / cores
      for receive in post.receives { try take(receive, post, ofRound: bytes) }
      if !processes.faults.schedule.faults.isEmpty {
        processes.faults.copied(
          by: processes.clusterRank(post.rank, pool: pool), in: start.duration(to: .now))
      }
      unsafe epc_board_take(
        region.base, UInt32(post.group), UInt32(post.members.count), post.processes)
      posts[index].hasTaken = true
    }
    let region = self.region
    posts.removeAll { post in
      guard post.hasTaken, unsafe epc_board_taken(region.base, UInt32(post.group)) >= post.round
      else { return false }
      done.append(post.rank)
      return true
    }
    return done
  }

  private func take(
    _ receive: (from: Int, block: Int, to: Memory), _ post: Post, ofRound bytes: Int
  ) throws(BackendError) {
    var kind: UInt32 = 0
    let block = unsafe epc_board_block(
      region.base, UInt32(processes.boardRank(receive.from, pool: pool)), UInt32(receive.block),
      &kind)
    guard kind == post.kind else {
      throw .mismatch(
        rank: post.rank, reason: "it waits in one operation, rank \(receive.from) in another")
    }
    guard let memory = region.memory(block), memory.bytes == receive.to.bytes else {
      throw .mismatch(
        rank: receive.from,
        reason: "it sends \(block.bytes) bytes where \(receive.to.bytes) are expected")
    }
    if memory.bytes == 0 { return }
    unsafe epc_board_copy(receive.to.base, memory.base, memory.bytes, bytes)
  }

  private func code(_ kind: OpKind) -> UInt32 {
    UInt32(OpKind.allCases.firstIndex(of: kind) ?? 0)
  }

  private func describe(_ posts: [Post]) -> String {
    for post in posts {
      let missing = processes.missing(of: post.members, pool: pool)
      if !missing.isEmpty {
        return "rank \(missing.prefix(8).map(String.init).joined(separator: ", ")) in "
          + "'\(OpKind.allCases[Int(post.kind)].rawValue)'"
      }
    }
    return posts.prefix(4).map { post in
      "'\(OpKind.allCases[Int(post.kind)].rawValue)' of rank \(post.rank) with ranks "
        + post.members.prefix(8).map(String.init).joined(separator: ", ")
    }.joined(separator: "; ")
  }
}
