public import EPPlan

extension CostModel {
  /// Seconds until a sequence of `context` tokens has moved from pool to pool, alone on the links.
  ///
  /// `senders` ranks of the data group that has it and `receivers` of the one that takes it share
  /// the bytes where the cache is split; the side with fewer links is the slower one.
  public func time(
    of handover: Handover, context: Int, senders: Int = 1, receivers: Int = 1
  ) -> Figure {
    let bytes = Double(handover.bytes(context: context))
    let links = Double(max(1, min(senders, receivers)))
    return time(
      of: .collective(
        Kernel.Collective(form: .pointToPoint, ranks: 2, node: 1, bytes: bytes / links)))
  }
}
