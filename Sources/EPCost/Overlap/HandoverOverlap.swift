internal import EPIR
public import EPPlan

/// How a prefill pool hands caches over while it reads: layer by layer, behind the layers that follow.
public struct HandoverOverlap: Hashable, Sendable {
  /// Bytes of a sequence, over all ranks of its data group.
  public var bytes: Int
  /// Seconds to hand over what one step has read, with nothing beside it.
  public var alone: Double
  /// Seconds from the end of the step until the last layer's caches have arrived.
  public var tail: Double
  /// Over how many tensor ranks the sending pool splits entries, at most.
  public var sendParts: Int
  /// Over how many tensor ranks the receiving pool splits them, at most.
  public var receiveParts: Int
}

extension CostModel {
  /// The hand-over of one prefill step of `seconds`, whose layers take about equally long.
  ///
  /// A layer's caches leave when it has been computed and its predecessors' have left; all links of
  /// the side with fewer of them are used.
  public func overlap(
    of handover: Handover, from sender: Pool, to receiver: Pool, step seconds: Double
  ) -> HandoverOverlap {
    let context = max(sender.load.context, 1)
    let bytes = handover.bytes(context: context)
    let layers = max(handover.transfers.reduce(0) { max($0, $1.layers) }, 1)
    let sequences = max(Double(sender.load.tokens) / Double(context), 1)
    let links = Double(max(1, min(sender.mesh.tp, receiver.mesh.tp)))
    let alone =
      time(
        of: .collective(
          Kernel.Collective(
            form: .pointToPoint, ranks: 2, node: 1,
            bytes: Double(bytes) * sequences / Double(layers) / links))
      ).value * Double(layers)
    var sent = 0.0
    for layer in 1...layers {
      let computed = seconds * Double(layer) / Double(layers)
      sent = max(sent, computed) + alone / Double(layers)
    }
    return HandoverOverlap(
      bytes: bytes, alone: alone, tail: max(0, sent - seconds),
      sendParts: handover.transfers.reduce(1) { max($0, $1.sendParts) },
      receiveParts: handover.transfers.reduce(1) { max($0, $1.receiveParts) })
  }
}
