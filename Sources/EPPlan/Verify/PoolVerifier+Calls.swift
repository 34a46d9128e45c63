internal import EPIR
internal import EPModel

// Calls fit together; experts are all placed.
extension PoolVerifier {
  /// Every layer is called once, in order; what a call takes is what the one before it made.
  mutating func verifyCalls() {
    let layers = pool.stages.flatMap { $0 }.flatMap(\.layers)
    if layers != Array(0..<layers.count) || layers.isEmpty {
      report("layers", "the stages do not call the layers 0, 1, 2, ... once each", ".stages")
    }
    let drafts = pool.drafts.flatMap(\.layers)
    if drafts != Array(layers.count..<(layers.count + drafts.count)) {
      report("layers", "the MTP depths do not go on numbering the layers", ".drafts")
    }
    for (stage, calls) in pool.stages.enumerated() {
      var made: [String: TensorType] = [:]
      for (position, call) in calls.enumerated() {
        check(call, given: &made, at: ".stages[\(stage)][\(position)]")
      }
      if stage == pool.stages.count - 1 {
        if made["logits"] == nil {
          report("no-logits", "the last stage makes no logits", ".stages[\(stage)]")
        }
        for (position, call) in pool.drafts.enumerated() {
          check(call, given: &made, at: ".drafts[\(position)]")
        }
      }
    }
  }

  private mutating func check(
    _ call: ModelProgram.Call, given made: inout [String: TensorType], at suffix: String
  ) {
    let function = pool.functions[call.function].function
    for _ in call.layers.isEmpty ? [-1] : call.layers {
      for parameter in function.parameters
      where parameter.name != "ids" && parameter.name != "modality" {
        guard let type = made[parameter.name], type == function.values[parameter.value] else {
          report(
            "call-parameter",
            "'\(function.name)' takes '\(parameter.name)' as \(function.values[parameter.value]), "
              + "which nothing before it makes", suffix)
          return
        }
      }
      for result in function.results { made[result.name] = function.values[result.value] }
    }
  }

  /// Every layer with experts is placed once, every logical expert has a slot.
  mutating func verifyPlacements() {
    for (index, placement) in pool.placements.enumerated() {
      let suffix = ".placements[\(index)]"
      let slots = placement.slotsPerRank.saturatingProduct(pool.mesh.ep)
      if placement.slots.count != slots {
        report(
          "placement-slots",
          "\(placement.slots.count) slots for \(pool.mesh.ep) expert ranks of "
            + "\(placement.slotsPerRank)", suffix)
        continue
      }
      if let wrong = placement.slots.first(where: { $0 < -1 || $0 >= placement.experts }) {
        report("placement-expert", "expert \(wrong) of \(placement.experts)", suffix)
        continue
      }
      if placement.hasEmptySlots { verifyEmptySlots(placement, suffix) }
      if placement.experts > slots {
        report(
          "placement-missing", "\(placement.experts) experts do not fit \(slots) slots", suffix)
        continue
      }
      if let missing = placement.replicas.firstIndex(where: \.isEmpty) {
        report("placement-missing", "expert \(missing) is in no slot", suffix)
      }
      for rank in 0..<pool.mesh.ep
      where Set(placement.experts(ofRank: rank)).count != placement.experts(ofRank: rank).count {
        report("placement-twice", "expert rank \(rank) holds an expert twice", suffix)
      }
    }
    var timesPlaced: [LayerCall: Int] = [:]
    var logical: [LayerCall: Int] = [:]
    for placement in pool.placements {
      for layer in placement.layers {
        let key = LayerCall(function: placement.function, layer: layer)
        timesPlaced[key, default: 0] += 1
        logical[key] = placement.experts
      }
    }
    for call in pool.stages.flatMap({ $0 }) + pool.drafts {
      let function = pool.functions[call.function]
      let experts = function.function.operations.filter { $0.kind == .dispatch }
        .map { $0.attributes.int("experts") }
      for layer in call.layers {
        let key = LayerCall(function: call.function, layer: layer)
        let count = timesPlaced.removeValue(forKey: key) ?? 0
        if count != (experts.isEmpty ? 0 : 1) || experts.contains(where: { $0 != logical[key] }) {
          report(
            "placement-layer", "the experts of layer \(layer) are placed \(count) times",
            ".placements")
        }
      }
      verifyCapacity(function, call)
    }
    for (key, _) in timesPlaced.sorted(by: { $0.key.layer < $1.key.layer }) {
      report(
        "placement-layer", "layer \(key.layer) does not call the function its experts are of",
        ".placements")
    }
    let slots = Dictionary(grouping: pool.placements, by: \.function)
    for (function, placements) in slots.sorted(by: { $0.key < $1.key })
    where Set(placements.map(\.slotsPerRank)).count > 1 {
      report(
        "placement-slots", "the layers of function \(function) have different numbers of slots",
        ".placements")
    }
  }

  /// Slots may be empty behind those that are not, and where shares need no equal numbers of them.
  private mutating func verifyEmptySlots(_ placement: ExpertPlacement, _ suffix: String) {
    if plan.cluster.unlike.isEmpty {
      report("placement-empty", "slots are empty on devices that are all alike", suffix)
    }
    for rank in 0..<pool.mesh.ep {
      let start = rank * placement.slotsPerRank
      let held = placement.experts(ofRank: rank).count
      if placement.slots[(start + held)..<(start + placement.slotsPerRank)].contains(where: {
        $0 >= 0
      }
      ) {
        report(
          "placement-empty", "expert rank \(rank) has an empty slot before one that is not", suffix)
      }
    }
    if placement.sharing == .batch {
      report(
        "placement-empty", "batches are split over replicas where every rank has as many slots",
        suffix)
    }
  }

  private struct LayerCall: Hashable {
    var function: Int
    var layer: Int
  }

  private mutating func verifyCapacity(_ function: ShardedFunction, _ call: ModelProgram.Call) {
    guard let dispatch = function.function.operations.first(where: { $0.kind == .dispatch }),
      case .value(let indices)? = dispatch.operand("indices"),
      let placement = pool.placements.first(where: { $0.function == call.function })
    else { return }
    let topK = function.function.values[indices].axes.last?.size ?? 1
    let least = pool.leastRoutedCapacity(topK: topK, slotsPerRank: placement.slotsPerRank)
    if function.routedCapacity < least {
      report(
        "routed-capacity",
        "'\(function.function.name)' takes \(function.routedCapacity) routed rows; an even share "
          + "is \(least)", ".functions[\(call.function)].routed_capacity")
    }
  }
}
