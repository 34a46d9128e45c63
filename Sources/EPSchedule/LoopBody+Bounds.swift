/// What no schedule of a body can be shorter than.
public struct PeriodBounds: Hashable, Sendable {
  /// Ticks that each resource is busy: a resource does one thing at a time.
  public var resources: [Int]
  /// The greatest ratio of delay to distance of any circle of dependencies, rounded up: what a
  /// micro-batch takes for a layer, since its next layer starts from this one's result. Delays count
  /// what jobs between two others take one after the other (docs/overlap.md).
  public var recurrence: Int

  /// The largest of them.
  public var period: Int { max(resources.max() ?? 0, recurrence) }
}

extension LoopBody {
  /// The bounds that follow from resources and from dependencies; nil where jobs wait for each other
  /// in a circle, so that there is no schedule at all.
  public var bounds: PeriodBounds? { withImpliedDelays.boundsOfDelays }

  /// The bounds with delays as they are: the same as `bounds` where dependencies order all jobs of
  /// each resource, and cheaper.
  public var boundsOfDelays: PeriodBounds? {
    guard let recurrence = PeriodArcs(self).smallestPeriod(atLeast: 0) else { return nil }
    return PeriodBounds(
      resources: (0..<resources).map { busy($0) }, recurrence: recurrence.period)
  }
}
