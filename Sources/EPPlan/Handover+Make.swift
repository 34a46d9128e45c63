internal import EPModel

extension Handover {
  /// The hand-over between two pools of one model: every cache of every layer.
  public static func make(from: Int, to: Int, in pools: [Pool]) -> Handover {
    let (sender, receiver) = (pools[from], pools[to])
    var handover = Handover(from: from, to: to, transfers: [])
    for (index, function) in sender.functions.enumerated() {
      let layers = (sender.stages.flatMap { $0 } + sender.drafts).reduce(0) {
        $1.function == index ? $0 + max($1.layers.count, 1) : $0
      }
      if layers == 0 { continue }
      for (cache, declaration) in function.function.caches.enumerated() {
        let parts = function.cacheParts[cache]
        let bytes =
          declaration.elementsPerEntry.saturatingProduct(parts)
          .saturatingProduct(sender.cacheElementBytes(declaration.kind))
        handover.transfers.append(
          Transfer(
            function: index, cache: cache, layers: layers,
            bytesPerToken: declaration.kind.growsWithContext ? bytes : 0,
            bytesPerSequence: declaration.kind.growsWithContext ? 0 : bytes,
            sendParts: parts,
            receiveParts: receiver.functions.indices.contains(index)
              && receiver.functions[index].cacheParts.indices.contains(cache)
              ? receiver.functions[index].cacheParts[cache] : 1))
      }
    }
    return handover
  }
}
