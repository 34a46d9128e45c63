internal import EPIR
public import EPJSON
public import EPModel

// What a plan looks like as data; docs/plan.md and docs/plan.schema.json describe the fields.
extension Plan {
  /// The plan as data.
  public var document: Document {
    .object([
      "epc_plan": .text("\(Plan.version.major).\(Plan.version.minor)"),
      "model": model.document, "cluster": cluster.document,
      "decisions": .texts(decisions),
      "pools": .list(pools.map(\.document)),
      "handover": handover?.document,
      "locations": .texts(locations.map(\.description)),
    ])
  }

  /// The plan as JSON text, the same bytes for the same plan.
  public func serialized() throws(JSONError) -> [UInt8] {
    try document.jsonValue.serialized(style: .pretty)
  }
}

extension Document {
  /// The tree as a JSON value.
  public var jsonValue: JSONValue {
    switch self {
    case .flag(let value): return .bool(value)
    case .int(let value): return .int(value)
    case .real(let value): return .double(value)
    case .text(let value): return .string(value)
    case .list(let values): return .array(values.map(\.jsonValue))
    case .object(let fields):
      var object = JSONObject()
      for field in fields { object[field.name] = field.value.jsonValue }
      return .object(object)
    }
  }
}

extension ModelSummary {
  var document: Document {
    .object([
      "name": .text(name), "vocabulary": .int(vocabulary), "hidden": .int(hidden),
      "precision": precision.document, "parameters": .int(parameters),
      "activated_parameters": .int(activatedParameters),
      "draft_parameters": .int(draftParameters), "weight_digest": .text(weightDigest),
      "program_digest": .text(programDigest),
      "ignored_tensors": ignoredTensors.isEmpty ? nil : .texts(ignoredTensors),
    ])
  }
}

extension ClusterSummary {
  var document: Document {
    .object([
      "name": .text(name), "device": .text(device), "nodes": .int(nodes),
      "devices_per_node": .int(devicesPerNode), "memory_bytes": .int(memoryBytes),
      "usable_fraction": .real(usableFraction),
      "unlike": unlike.isEmpty
        ? nil
        : .list(
          unlike.map {
            .object([
              "ranks": .text($0.name), "speed": .real($0.speed),
              "memory_bytes": .int($0.memoryBytes),
            ])
          }),
    ])
  }
}

extension Handover {
  var document: Document {
    .object([
      "from": .int(from), "to": .int(to),
      "transfers": .list(
        transfers.map { transfer in
          .object([
            "function": .int(transfer.function), "cache": .int(transfer.cache),
            "layers": .int(transfer.layers), "bytes_per_token": .int(transfer.bytesPerToken),
            "bytes_per_sequence": .int(transfer.bytesPerSequence),
            "send_parts": .int(transfer.sendParts), "receive_parts": .int(transfer.receiveParts),
          ])
        }),
    ])
  }
}

extension Pool {
  var document: Document {
    .object([
      "role": .text(role.rawValue), "first_rank": .int(firstRank),
      "mesh": .object([
        "pp": .int(mesh.pp), "dp": .int(mesh.dp), "tp": .int(mesh.tp), "ep": .int(mesh.ep),
      ]),
      "load": .object([
        "sequences": .int(load.sequences), "tokens": .int(load.tokens),
        "samples": .int(load.samples), "context": .int(load.context),
      ]),
      "micro_batches": microBatches > 1 ? .int(microBatches) : nil,
      "pipeline": pipeline?.document,
      "activations": .text(activations.rawValue),
      "functions": .list(functions.map(\.document)),
      "stages": .list(stages.map { .list($0.map(\.document)) }),
      "drafts": drafts.isEmpty ? nil : .list(drafts.map(\.document)),
      "placements": placements.isEmpty ? nil : .list(placements.map(\.document)),
      "memory": .list(memory.map(\.document)),
    ])
  }
}

extension ExpertPlacement {
  var document: Document {
    .object([
      "function": .int(function), "layers": .text(ModelProgram.Call.text(of: layers)),
      "experts": .int(experts), "slots_per_rank": .int(slotsPerRank),
      "slots": .text(ExpertPlacement.text(of: slots)),
      "sharing": sharing == .turn ? nil : .text(sharing.rawValue),
    ])
  }

  /// The most slots of all placements of a pool.
  static let mostSlots = 1 << 22

  /// Slots as runs of ascending experts, an empty one as `x`: `0-255,0-31`, `0-5,6,7,x,x`.
  static func text(of slots: [Int]) -> String {
    var runs: [(Int, Int)] = []
    for slot in slots {
      if let last = runs.last, last.1 + 1 == slot, slot > 0 {
        runs[runs.count - 1].1 = slot
      } else {
        runs.append((slot, slot))
      }
    }
    return runs.map { $0.0 < 0 ? "x" : $0.0 == $0.1 ? "\($0.0)" : "\($0.0)-\($0.1)" }.joined(
      separator: ",")
  }

  /// Reads what `text(of:)` writes.
  static func slots(parsing text: String) throws(OpError) -> [Int] {
    var slots: [Int] = []
    for run in text.split(separator: ",", omittingEmptySubsequences: false) {
      if run == "x", slots.count < ExpertPlacement.mostSlots {
        slots.append(ExpertPlacement.empty)
        continue
      }
      let ends = run.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil,
        first >= 0, last >= first, last < 1 << 24,
        slots.count + last - first < ExpertPlacement.mostSlots
      else { throw OpError("'\(text.prefix(40))' are no slots such as '0-255,0-31'") }
      slots.append(contentsOf: first...last)
    }
    return slots
  }
}

extension MemoryTable {
  var document: Document {
    .object([
      "dense_weights": .int(denseWeights), "expert_weights": .int(expertWeights),
      "cache": .int(cache), "activations": .int(activations),
      "communication": .int(communication),
    ])
  }
}

extension ShardedFunction {
  var document: Document {
    guard case .object(var fields) = function.document else { return function.document }
    for index in fields.indices where fields[index].name == "weights" {
      fields[index].value = .list(
        zip(function.weights, sharding).map { weight, sharding in
          var whole = weight
          whole.axes = sharding.axes
          guard case .object(let own) = whole.document, case .object(let spread) = sharding.document
          else { return whole.document }
          return .object(own + spread)
        })
    }
    fields.append(
      Document.Field(name: "cache_parts", value: .ints(cacheParts)))
    fields.append(Document.Field(name: "routed_capacity", value: .int(routedCapacity)))
    fields.append(Document.Field(name: "streams", value: .ints(streams.map(\.rawValue))))
    let waiting = waits.enumerated().filter { !$0.element.isEmpty }
    fields.append(
      Document.Field(
        name: "waits", value: .list(waiting.map { .ints([$0.offset] + $0.element) })))
    fields.append(
      Document.Field(
        name: "buffers", value: .ints(buffers.flatMap { [$0.offset, $0.bytes] })))
    if let schedule {
      fields.append(Document.Field(name: "schedule", value: schedule.document))
    }
    return .object(fields)
  }
}

extension WeightSharding {
  var document: Document {
    .object([
      "tensor_axis": tensorAxis.map(Document.int), "expert_axis": expertAxis.map(Document.int),
      "first_only": isFirstOnly ? .flag(true) : nil,
    ])
  }
}
