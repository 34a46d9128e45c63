internal import EPBackend
internal import EPCheckpoint

extension ExpertCache {
  /// Experts from a source, read or made one by one.
  convenience init(_ source: WeightSource) throws(WeightError) {
    switch source {
    case .synthetic(let seed):
      self.init(reader: nil, ranges: { (_, _) throws(WeightError) in [] }) {
        (weight, slot, _, memory) throws(WeightError) in
        weight.slice.synthesize(
          weight.box, experts: [weight.experts[slot]], uses: weight.uses, seed: seed, into: memory)
      }
    case .checkpoint(let checkpoint):
      let reader: CheckpointReader
      do throws(CheckpointError) { reader = try CheckpointReader(checkpoint) } catch {
        throw .checkpoint(error)
      }
      self.init(
        reader: reader,
        ranges: { (weight, slot) throws(WeightError) in
          try checkpoint.ranges(weight.slice, weight.box, expert: weight.experts[slot])
        },
        make: { (weight, slot, staged, memory) throws(WeightError) in
          try checkpoint.read(
            weight.slice, weight.box, experts: [weight.experts[slot]], uses: weight.uses,
            from: staged, into: memory)
        })
    }
  }
}
