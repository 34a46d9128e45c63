internal import EPCheckpoint
internal import EPModel
internal import EPPlan

extension Checkpoint {
  /// Proves that the checkpoint holds every weight of a plan in the right shape, and nothing else
  /// but what the plan says may be there.
  func check(_ plan: Plan) throws(WeightError) {
    var read: Set<String> = []
    var checked: Set<String> = []
    var tables: Set<String> = []
    for pool in plan.pools {
      for call in pool.stages.flatMap({ $0 }) + pool.drafts {
        let function = pool.functions[call.function]
        for (index, weight) in function.function.weights.enumerated()
        where weight.role != .constant {
          for layer in weight.name.contains("{layer}") ? call.layers : [-1] {
            let name = weight.name.replacing("{layer}", with: String(layer))
            if !checked.insert("\(call.function) \(name)").inserted { continue }
            try check(
              name, weight.stored.map { $0.filled(layer: layer) },
              axes: function.sharding[index].axes, uses: WeightUse(of: index, in: function),
              read: &read)
            if weight.role == .embedding { tables.formUnion(weight.stored.map(\.name)) }
          }
        }
      }
    }
    // Tensors without elements are what transformers saves of, say, no shared experts.
    let surplus = tensors.filter { !$0.value.shape.contains(0) }.keys.filter { !read.contains($0) }
      .sorted()
      .filter { name in
        !plan.model.ignoredTensors.contains { NamePattern($0).matches(name) }
      }
    // A head that is tied to the token table may be stored as well, if it is the same.
    var others: [String] = []
    for name in surplus where try !isCopy(name, of: tables) { others.append(name) }
    if let first = others.first { throw .surplus(tensor: first, more: others.count - 1) }
  }

  /// Whether a tensor has the elements of one of some others.
  private func isCopy(_ name: String, of others: Set<String>) throws(WeightError) -> Bool {
    guard let tensor = tensors[name] else { return false }
    for case let other? in others.sorted().map({ tensors[$0] })
    where other.shape == tensor.shape && other.type == tensor.type {
      do throws(CheckpointError) {
        let bytes = unsafe try withBytes(of: name) { bytes, _ in unsafe Array(bytes) }
        if unsafe try withBytes(of: other.name, { its, _ in unsafe its.elementsEqual(bytes) }) {
          return true
        }
      } catch { throw .checkpoint(error) }
    }
    return false
  }

  private func check(
    _ name: String, _ places: [EPModel.StoredTensor], axes: [Axis], uses: WeightUse,
    read: inout Set<String>
  ) throws(WeightError) {
    let place = try place(of: name, among: places)
    let isExpert = axes.first?.split == .expert
    let sizes = axes.dropFirst(isExpert ? 1 : 0).map { $0.size ?? 1 }
    let experts = isExpert ? axes[0].size : nil
    for expert in place.isPerExpert ? 0..<(experts ?? 1) : 0..<1 {
      let tensor = place.name.replacing("{expert}", with: String(expert))
      if case .experts = uses {
        read.insert(tensor)
        continue
      }
      _ = try weight(place, sizes: sizes, experts: experts, expert: expert)
      for suffix in ["", "_scale_inv", "_blocks", "_scales"] { read.insert(tensor + suffix) }
    }
  }
}

extension EPModel.StoredTensor {
  func filled(layer: Int) -> EPModel.StoredTensor {
    var copy = self
    copy.name = name.replacing("{layer}", with: String(layer))
    return copy
  }
}

/// A tensor name with `*` for any text, and `{layer}` and `{expert}` likewise.
struct NamePattern {
  private let pieces: [[UInt8]]

  init(_ text: String) {
    let plain = text.replacing("{layer}", with: "*").replacing("{expert}", with: "*")
    pieces = plain.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false)
      .map { Array($0) }
  }

  /// Whether all of the name is of the pattern.
  func matches(_ name: String) -> Bool {
    var rest = Array(name.utf8)[...]
    guard let first = pieces.first, let last = pieces.last, rest.starts(with: first) else {
      return false
    }
    if pieces.count == 1 { return rest.count == first.count }
    rest = rest.dropFirst(first.count)
    for piece in pieces.dropFirst().dropLast() where !piece.isEmpty {
      guard
        let start = rest.indices.first(where: { rest[$0...].starts(with: piece) })
      else { return false }
      rest = rest[(start + piece.count)...]
    }
    return rest.count >= last.count && rest.suffix(last.count).elementsEqual(last)
  }
}
