/// Seeks a schedule of one period by deciding, for every two jobs of a resource, how many periods
/// apart they run (`ResourcePairs`); exhaustive unless its work runs out.
///
/// Once that is fixed for all pairs what is left are differences, which longest paths solve. So the
/// search branches over it, keeps all longest paths, and drops a branch as soon as a pair has no
/// choice left.
struct OrderSearch {
  private let body: LoopBody
  private let pairs: ResourcePairs
  /// Elementary steps taken.
  private(set) var work: Int
  private let limit: Int
  /// Whether the search ended since its work ran out.
  private(set) var isCutShort = false

  init(_ body: LoopBody, period: Int, work: Int, limit: Int) {
    self.body = body
    self.work = work
    self.limit = limit
    pairs = ResourcePairs(body, period: period, among: Array(body.jobs.indices))
  }

  /// Starts of all jobs, or nil where there are none at this period or the work ran out.
  mutating func run() -> [Int]? {
    guard var state = pairs.initial() else { return nil }
    work += state.distances.work
    return dive(&state)
  }

  private mutating func dive(_ state: inout ResourcePairs.State) -> [Int]? {
    if work > limit {
      isCutShort = true
      return nil
    }
    let before = state.distances.work
    let decided = pairs.propagate(&state)
    work += state.distances.work - before + 4 * ((decided ?? 0) + 1) * pairs.pairs.count
    if decided == nil { return nil }
    guard let chosen = pairs.narrowest(state) else {
      return body.jobs.indices.map { state.distances.least(from: 0, to: $0) }
    }
    let (count, least) = pairs.choices(chosen, state)
    // The roomiest first.
    let options = (least..<(least + count)).map { (k: $0, slack: pairs.slack(chosen, $0, state)) }
      .sorted { ($1.slack, abs($0.k), $0.k) < ($0.slack, abs($1.k), $1.k) }
    for option in options {
      var next = state
      work += body.jobs.count * body.jobs.count
      if pairs.decide(chosen, option.k, &next), let starts = dive(&next) { return starts }
      if isCutShort { return nil }
    }
    return nil
  }
}
