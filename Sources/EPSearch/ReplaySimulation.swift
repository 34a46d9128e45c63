internal import EPIR

/// What happened to a request, in seconds after the start; negative where it did not.
struct ReplayRecord {
  var firstToken = -1.0
  var end = -1.0
}

/// The state of a replay. One event is the end of an instance's step, or an arrival.
struct ReplaySimulation {
  /// A data group that reads prompts.
  fileprivate struct ReadingGroup {
    /// Requests and what is left of their prompts, the first being read; `head` is that one.
    var queue: [(request: Int, left: Int)] = []
    var head = 0
    var tokens = 0
  }

  /// A data group that makes tokens.
  private struct MakingGroup {
    /// Requests by the step of their instance they end with, as a heap.
    var ends = EndHeap()
    /// Tokens that its sequences will hold at most.
    var held = 0
  }

  /// Ranks that step together.
  private struct Instance {
    var groups: Range<Int>
    var stepEnd = Double.infinity
    var steps = 0
    /// What the step under way reads of each group.
    var reading: [Int] = []
    /// Sequences, and tokens they attend to, over all groups.
    var sequences = 0
    var context = 0.0
  }

  private let requests: [ReplayRequest]
  private let steps: any ReplayStepTimes
  private let gained: Double
  private let capacity: Int
  private let chunk: Int
  private let transfer: Double
  private let isUnified: Bool
  private let mostSequences: Int
  private var readers: [Instance] = []
  private var makers: [Instance] = []
  private var reading: [ReadingGroup]
  private var making: [MakingGroup]
  /// Requests whose prompt has been read and whose cache is under way: when it arrives, and which.
  private var underway: [(time: Double, request: Int)] = []
  private var underwayHead = 0
  /// Requests that no group has room for.
  private var waiting: [Int] = []
  private var waitingHead = 0
  private(set) var records: [ReplayRecord]

  init(
    _ requests: [ReplayRequest], _ pools: ReplayPools, _ steps: any ReplayStepTimes
  ) {
    self.requests = requests
    self.steps = steps
    gained = pools.tokensPerStep
    capacity = pools.capacity
    transfer = pools.transferSeconds
    isUnified = pools.prefill == nil
    mostSequences = pools.sequences
    chunk = pools.promptTokens
    records = Array(repeating: ReplayRecord(), count: requests.count)
    func instances(_ count: Int, groups: Int) -> [Instance] {
      (0..<count).map { Instance(groups: ($0 * groups)..<(($0 + 1) * groups)) }
    }
    let decode = pools.decode
    makers = instances(decode.instances, groups: decode.groups)
    making = Array(repeating: MakingGroup(), count: decode.instances * decode.groups)
    if let prefill = pools.prefill {
      readers = instances(prefill.instances, groups: prefill.groups)
      reading = Array(repeating: ReadingGroup(), count: prefill.instances * prefill.groups)
    } else {
      reading = Array(repeating: ReadingGroup(), count: making.count)
    }
  }

  mutating func run() {
    var next = 0
    while true {
      var (time, event) = (Double.infinity, 0)
      if next < requests.count { time = requests[next].arrival }
      for (index, instance) in readers.enumerated() where instance.stepEnd < time {
        (time, event) = (instance.stepEnd, 1 + index)
      }
      for (index, instance) in makers.enumerated() where instance.stepEnd < time {
        (time, event) = (instance.stepEnd, 1 + readers.count + index)
      }
      if underwayHead < underway.count && underway[underwayHead].time < time {
        (time, event) = (underway[underwayHead].time, -1)
      }
      if time == .infinity { return }
      if event < 0 {
        let request = underway[underwayHead].request
        underwayHead += 1
        if waitingHead < waiting.count || !admit(request, at: time) { waiting.append(request) }
      } else if event == 0 {
        arrive(next, at: time)
        next += 1
      } else if event <= readers.count {
        endReading(event - 1, at: time)
      } else {
        endMaking(event - 1 - readers.count, at: time)
      }
    }
  }

  /// Puts a request into the queue of the group that has the least to read.
  private mutating func arrive(_ request: Int, at time: Double) {
    let group = reading.indices.min { reading[$0].tokens < reading[$1].tokens } ?? 0
    reading[group].queue.append((request, requests[request].tokensRead))
    reading[group].tokens += requests[request].tokensRead
    if isUnified {
      let index = group / max(makers[0].groups.count, 1)
      if makers[index].stepEnd == .infinity { startMaking(index, at: time) }
    } else {
      let index = group / max(readers[0].groups.count, 1)
      if readers[index].stepEnd == .infinity { startReading(index, at: time) }
    }
  }

  /// Takes up to a chunk from each group's queue.
  private mutating func take(_ groups: Range<Int>) -> (taken: [Int], most: Int) {
    var most = 0
    let taken = groups.map { group in
      // A unified group reads no prompt that it has no room to go on with.
      let hasRoom = !isUnified || room(in: group, for: reading[group].next)
      let count = hasRoom ? min(chunk, reading[group].tokens) : 0
      most = max(most, count)
      return count
    }
    return (taken, most)
  }

  private mutating func startReading(_ index: Int, at time: Double) {
    let groups = readers[index].groups
    let (taken, most) = take(groups)
    if most == 0 {
      readers[index].stepEnd = .infinity
      return
    }
    var (context, count) = (0.0, 0.0)
    for group in groups {
      if let request = reading[group].next {
        context += Double(requests[request].promptLength)
        count += 1
      }
    }
    readers[index].reading = taken
    readers[index].stepEnd =
      time
      + steps.prefillSeconds(tokens: Double(most), context: context / max(count, 1))
  }

  /// Ends what a step has read; gives the requests whose prompts are done.
  private mutating func finishReading(_ groups: Range<Int>, _ taken: [Int]) -> [Int] {
    var done: [Int] = []
    for (group, count) in zip(groups, taken) where count > 0 {
      reading[group].tokens -= count
      var left = count
      while left > 0 {
        let head = reading[group].head
        let part = min(left, reading[group].queue[head].left)
        reading[group].queue[head].left -= part
        left -= part
        if reading[group].queue[head].left == 0 {
          done.append(reading[group].queue[head].request)
          reading[group].head += 1
        }
      }
      if reading[group].head > 1024 {
        reading[group].queue.removeFirst(reading[group].head)
        reading[group].head = 0
      }
    }
    return done
  }

  private mutating func endReading(_ index: Int, at time: Double) {
    for request in finishReading(readers[index].groups, readers[index].reading) {
      records[request].firstToken = time
      if requests[request].outputLength <= 1 {
        records[request].end = time
      } else {
        underway.append((time + transfer, request))
      }
    }
    startReading(index, at: time)
  }

  private func room(in group: Int, for request: Int?) -> Bool {
    guard let request else { return true }
    let held =
      making[group].held + requests[request].promptLength + requests[request].outputLength / 2
    // A sequence larger than all room runs alone.
    return making[group].ends.count < mostSequences && (held <= capacity || making[group].held == 0)
  }

  /// Gives a request to the emptiest group with room; false where there is none.
  private mutating func admit(_ request: Int, at time: Double) -> Bool {
    var best: Int?
    for group in making.indices
    where best.map({ making[group].ends.count < making[$0].ends.count }) ?? true {
      if room(in: group, for: request) { best = group }
    }
    guard let best else { return false }
    enter(request, group: best)
    let index = best / max(makers[0].groups.count, 1)
    if makers[index].stepEnd == .infinity { startMaking(index, at: time) }
    return true
  }

  private mutating func enter(_ request: Int, group: Int) {
    let index = group / max(makers[0].groups.count, 1)
    let more = Double(requests[request].outputLength - 1)
    let steps = max(1, Int((more / gained).rounded(.up)))
    // The step under way does not have it yet.
    let start = makers[index].steps + (makers[index].stepEnd == .infinity ? 0 : 1)
    making[group].ends.insert(step: start + steps, request: request)
    making[group].held += requests[request].promptLength + requests[request].outputLength / 2
    makers[index].sequences += 1
    makers[index].context += Double(requests[request].promptLength)
  }

  private mutating func startMaking(_ index: Int, at time: Double) {
    let groups = makers[index].groups
    let most = groups.reduce(0) { max($0, making[$1].ends.count) }
    var (taken, read) = ([Int](), 0)
    if isUnified { (taken, read) = take(groups) }
    if most == 0 && read == 0 {
      makers[index].stepEnd = .infinity
      return
    }
    makers[index].reading = taken
    let context = makers[index].context / Double(max(makers[index].sequences, 1))
    makers[index].stepEnd =
      time
      + (isUnified
        ? steps.unifiedSeconds(sequences: Double(most), promptTokens: Double(read))
        : steps.decodeSeconds(sequences: Double(most), context: context))
  }

  private mutating func endMaking(_ index: Int, at time: Double) {
    makers[index].steps += 1
    makers[index].context += gained * Double(makers[index].sequences)
    let groups = makers[index].groups
    for group in groups {
      while let request = making[group].ends.popEnded(by: makers[index].steps) {
        records[request].end = time
        let length = requests[request].promptLength
        making[group].held -= length + requests[request].outputLength / 2
        makers[index].sequences -= 1
        makers[index].context -= Double(length + requests[request].outputLength - 1)
      }
    }
    makers[index].context = max(makers[index].context, 0)
    makers[index].stepEnd = .infinity
    if isUnified {
      let done = finishReading(groups, makers[index].reading)
      for request in done {
        records[request].firstToken = time
        if requests[request].outputLength <= 1 { records[request].end = time }
      }
      // Prompts were only begun where there is room.
      var place = groups.lowerBound
      for request in done where requests[request].outputLength > 1 {
        place = groups.min { making[$0].ends.count < making[$1].ends.count } ?? place
        enter(request, group: place)
      }
    }
    while waitingHead < waiting.count && admit(waiting[waitingHead], at: time) { waitingHead += 1 }
    if makers[index].stepEnd == .infinity { startMaking(index, at: time) }
  }
}

extension ReplaySimulation.ReadingGroup {
  /// The request that is read next.
  fileprivate var next: Int? { head < queue.count ? queue[head].request : nil }
}

/// Requests by the step they end with, the earliest first.
private struct EndHeap {
  private var entries: [(step: Int, request: Int)] = []

  var count: Int { entries.count }

  mutating func insert(step: Int, request: Int) {
    entries.append((step, request))
    var child = entries.count - 1
    while child > 0 && entries[child].step < entries[(child - 1) / 2].step {
      entries.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  /// Takes out a request that ends by a step, if there is one.
  mutating func popEnded(by step: Int) -> Int? {
    guard let first = entries.first, first.step <= step else { return nil }
    let last = entries.removeLast()
    if !entries.isEmpty {
      entries[0] = last
      var parent = 0
      while true {
        var least = parent
        for child in [2 * parent + 1, 2 * parent + 2]
        where child < entries.count && entries[child].step < entries[least].step {
          least = child
        }
        if least == parent { break }
        entries.swapAt(parent, least)
        parent = least
      }
    }
    return first.request
  }
}
