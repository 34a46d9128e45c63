internal import CEPSimulation
internal import EPPlan

/// The clocks of the ranks of a stage, by stream.
@safe
final class StageClocks {
  let ranks: Int
  /// When each stream is free, by rank.
  let compute: Numbers<Int64>
  let communication: Numbers<Int64>
  /// Ticks that streams have been in use beyond what all ranks share.
  let computeBusy: Numbers<Int64>
  let communicationBusy: Numbers<Int64>
  /// Ticks of compute that all ranks share.
  var sharedBusy: Ticks = 0
  /// Ends of jobs that others wait for.
  let events: [Numbers<Int64>]
  /// When what the stage sends to the next has come, by micro-batch.
  let sent: [Numbers<Int64>]
  /// How much longer each rank takes, in parts of `EPC_PACE_ONE`; nil if none does.
  var pace: Numbers<UInt32>?
  /// How much longer each rank's links take, likewise.
  var linkPace: Numbers<UInt32>?
  /// What `busyCompute` was when the step began.
  private var busyBefore: [Ticks] = []
  private let waits: Numbers<UnsafePointer<Int64>?>
  private let shifts: Numbers<Int64>

  init(ranks: Int, events: Int, waits: Int, batches: Int) {
    self.ranks = ranks
    compute = Numbers(repeating: 0, count: ranks)
    communication = Numbers(repeating: 0, count: ranks)
    computeBusy = Numbers(repeating: 0, count: ranks)
    communicationBusy = Numbers(repeating: 0, count: ranks)
    sent = (0..<batches).map { _ in Numbers(repeating: 0, count: ranks) }
    self.events = (0..<events).map { _ in Numbers(repeating: 0, count: ranks) }
    unsafe self.waits = unsafe Numbers(repeating: nil, count: waits)
    shifts = Numbers(repeating: 0, count: waits)
  }

  func clock(of stream: ShardedFunction.Stream) -> Numbers<Int64> {
    stream == .compute ? compute : communication
  }

  /// The events of a layer and of those before it that still are kept.
  struct Events {
    /// Events of a layer.
    let count: Int
    /// Layers that are kept.
    let layers: Int
    /// The layer, as an index into those that follow each other.
    let layer: Int

    init(of list: IssueList, layer: Int) {
      (count, layers, self.layer) = (list.eventCount, list.keptLayers, layer)
    }

    /// Where an event is kept; nil for one of a layer before the first.
    func place(_ event: Int, before distance: Int = 0) -> Int? {
      layer < distance ? nil : (layer - distance) % layers * count + event
    }
  }

  /// The job as C takes it; good until the next call.
  func issue(_ job: Job, _ kept: Events, keepsBusy: Bool) -> epc_issue {
    var count = 0
    for wait in job.waits {
      guard let place = kept.place(wait.event, before: wait.distance) else { continue }
      unsafe waits[count] = unsafe UnsafePointer(events[place].base)
      shifts[count] = wait.shift
      count += 1
    }
    let busy = job.stream == .compute ? computeBusy : communicationBusy
    return unsafe epc_issue(
      clock: clock(of: job.stream).base, waits: UnsafePointer(waits.base),
      shifts: shifts.base, wait_count: count,
      event: job.event.flatMap { kept.place($0) }.map { unsafe events[$0].base },
      pace: pace?.base, busy: keepsBusy ? busy.base : nil, ranks: ranks)
  }

  /// Makes both streams of every rank as late as the later one.
  func join() {
    unsafe epc_raise(compute.base, communication.base, ranks)
    unsafe epc_raise(communication.base, compute.base, ranks)
  }

  /// When the last rank is done.
  var end: Ticks { compute.array.reduce(0) { Swift.max($0, $1) } }

  /// Makes both streams of every rank no earlier than a time.
  func advance(to time: Ticks) {
    for rank in 0..<ranks {
      compute[rank] = Swift.max(compute[rank], time)
      communication[rank] = Swift.max(communication[rank], time)
    }
  }

  /// Remembers how long compute streams have been in use.
  func markStep() { busyBefore = (0..<ranks).map { busyCompute($0) } }

  /// Ticks that each rank's compute stream has been in use since the latest mark.
  var busySinceMark: [Ticks] {
    busyBefore.enumerated().map { busyCompute($0.offset) - $0.element }
  }

  /// Ratios of links' traffic, as slow links feel them.
  func felt(_ ratios: Numbers<UInt32>) -> Numbers<UInt32> {
    guard let linkPace else { return ratios }
    let felt = Numbers<UInt32>(repeating: 0, count: ratios.count)
    for rank in 0..<ratios.count {
      felt[rank] = UInt32(
        clamping: UInt64(ratios[rank]) * UInt64(linkPace[rank]) / UInt64(EPC_PACE_ONE))
    }
    return felt
  }

  /// Ticks that a rank's compute stream has been in use.
  func busyCompute(_ rank: Int) -> Ticks { sharedBusy + computeBusy[rank] }
}
