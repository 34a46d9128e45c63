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
      let slots = placement.slotsPerRank * pool.mesh.ep
      if placement.slots.count != slots {
        report(
          "placement-slots",
          "\(placement.slots.count) slots for \(pool.mesh.ep) expert ranks of "
            + "\(placement.slotsPerRank)", suffix)
        continue
      }
      if let wrong = placement.slots.first(where: { $0 < 0 || $0 >= placement.experts }) {
        report("placement-expert", "expert \(wrong) of \(placement.experts)", suffix)
        continue
      }
      if let missing = placement.replicas.firstIndex(where: \.isEmpty) {
        report("placement-missing", "expert \(missing) is in no slot", suffix)
      }
      for rank in 0..<pool.mesh.ep
      where Set(placement.experts(ofRank: rank)).count != placement.slotsPerRank {
        report("placement-twice", "expert rank \(rank) holds an expert twice", suffix)
      }
    }
    for call in pool.stages.flatMap({ $0 }) + pool.drafts {
      let function = pool.functions[call.function]
      let experts = function.function.operations.filter { $0.kind == .dispatch }
        .map { $0.attributes.int("experts") }
      for layer in call.layers {
        let placed = pool.placements.filter {
          $0.function == call.function && $0.layers.contains(layer)
        }
        if experts.isEmpty && !placed.isEmpty || !experts.isEmpty && placed.count != 1
          || placed.contains(where: { placement in
            experts.contains { $0 != placement.experts }
          })
        {
          report(
            "placement-layer", "the experts of layer \(layer) are placed \(placed.count) times",
            ".placements")
        }
      }
      verifyCapacity(function, call)
    }
  }

  private mutating func verifyCapacity(_ function: ShardedFunction, _ call: ModelProgram.Call) {
    guard let dispatch = function.function.operations.first(where: { $0.kind == .dispatch }),
      case .value(let indices)? = dispatch.operand("indices"),
      let placement = call.layers.first.flatMap({
        pool.placement(function: call.function, layer: $0)
      })
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
