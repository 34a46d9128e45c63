public import EPIR
internal import EPJSON
internal import EPModel

extension Plan {
  /// The largest plan that is read, in bytes.
  public static let mostBytes = 256 << 20

  /// Reads a plan and verifies it. No plan is used that has not been.
  public init(bytes: [UInt8]) throws(Diagnostics) {
    do {
      let limits = JSONLimits(maxBytes: Plan.mostBytes, maxDepth: 32)
      self = try Plan(json: JSONNode(try JSONValue.parse(bytes: bytes, limits: limits)))
    } catch { throw Diagnostics("plan-json", error.description) }
    let problems = verify()
    if !problems.isEmpty { throw Diagnostics(problems) }
  }

  init(json node: JSONNode) throws(JSONError) {
    let version = try node["epc_plan"].string(maxLength: 16)
    if version.split(separator: ".").first.flatMap({ Int($0) }) != Plan.version.major {
      throw try node["epc_plan"].fail(
        "plan version \(version); this epc reads \(Plan.version.major).x, compile the model again")
    }
    self.init(
      model: try ModelSummary(json: node["model"]),
      cluster: try ClusterSummary(json: node["cluster"]))
    for text in try node["decisions"].array(maxCount: 4096) {
      decisions.append(try text.string(maxLength: 1 << 16))
    }
    for location in try node["locations"].array(maxCount: 1 << 20) {
      let text = try location.string(maxLength: 4096)
      do { locations.append(try SourceLocation(parsing: text)) } catch {
        throw location.fail(error.description)
      }
    }
    for pool in try node["pools"].array(maxCount: 2) { pools.append(try Pool(json: pool)) }
    if pools.isEmpty { throw try node["pools"].fail("a plan has one or two pools") }
    if let handover = try node.optional("handover") {
      self.handover = try Handover(json: handover, pools: pools)
    }
  }
}

extension ModelSummary {
  init(json node: JSONNode) throws(JSONError) {
    var ignored: [String] = []
    for name in try node.optional("ignored_tensors")?.array(maxCount: 4096) ?? [] {
      ignored.append(try name.string(maxLength: 4096))
    }
    let most = 0...TensorType.mostElements
    self.init(
      name: try node["name"].name(maxLength: 256),
      vocabulary: try node["vocabulary"].int(in: 1...(1 << 32)),
      hidden: try node["hidden"].int(in: 1...(1 << 32)),
      precision: try Precision(json: node["precision"]),
      parameters: try node["parameters"].int(in: most),
      activatedParameters: try node["activated_parameters"].int(in: most),
      draftParameters: try node["draft_parameters"].int(in: most),
      weightDigest: try node["weight_digest"].string(maxLength: 16),
      programDigest: try node["program_digest"].string(maxLength: 16), ignoredTensors: ignored)
  }
}

extension ClusterSummary {
  init(json node: JSONNode) throws(JSONError) {
    var unlike: [UnlikeDevices] = []
    for kind in try node.optional("unlike")?.array(maxCount: 1 << 20) ?? [] {
      let text = try kind["ranks"].string(maxLength: 64)
      guard let ranks = UnlikeDevices.ranks(parsing: text) else {
        throw try kind["ranks"].fail("'\(text)' are no devices such as '0-3'")
      }
      unlike.append(
        UnlikeDevices(
          ranks: ranks, speed: try kind["speed"].double(in: UnlikeDevices.speeds),
          memoryBytes: try kind["memory_bytes"].int(in: 1...(1 << 50))))
    }
    self.init(
      name: try node["name"].name(maxLength: 256),
      device: try node["device"].string(maxLength: 256),
      nodes: try node["nodes"].int(in: 1...(1 << 20)),
      devicesPerNode: try node["devices_per_node"].int(in: 1...(1 << 20)),
      memoryBytes: try node["memory_bytes"].int(in: 1...(1 << 50)),
      usableFraction: try node["usable_fraction"].double(in: 0.01...1), unlike: unlike)
  }
}

extension Handover {
  init(json node: JSONNode, pools: [Pool]) throws(JSONError) {
    let from = try node["from"].index(below: pools.count, "pools")
    let to = try node["to"].index(below: pools.count, "pools")
    var transfers: [Transfer] = []
    for element in try node["transfers"].array(maxCount: 1 << 16) {
      let function = try element["function"].index(below: pools[from].functions.count, "functions")
      transfers.append(
        Transfer(
          function: function,
          cache: try element["cache"].index(
            below: pools[from].functions[function].function.caches.count, "caches"),
          layers: try element["layers"].int(in: 1...100_000),
          bytesPerToken: try element["bytes_per_token"].int(in: 0...(1 << 40)),
          bytesPerSequence: try element["bytes_per_sequence"].int(in: 0...(1 << 40)),
          sendParts: try element["send_parts"].int(in: 1...(1 << 20)),
          receiveParts: try element["receive_parts"].int(in: 1...(1 << 20))))
    }
    self.init(from: from, to: to, transfers: transfers)
  }
}

extension Pool {
  init(json node: JSONNode) throws(JSONError) {
    let sizes = try node["mesh"]
    let mesh = Mesh(
      pp: try sizes["pp"].int(in: 1...(1 << 20)), dp: try sizes["dp"].int(in: 1...(1 << 20)),
      tp: try sizes["tp"].int(in: 1...(1 << 20)), ep: try sizes["ep"].int(in: 1...(1 << 20)))
    if let problem = mesh.problem { throw sizes.fail(problem) }
    let most = try node["load"]
    let load = Load(
      sequences: try most["sequences"].int(in: 1...Load.most.sequences),
      tokens: try most["tokens"].int(in: 1...Load.most.tokens),
      samples: try most["samples"].int(in: 1...Load.most.samples),
      context: try most["context"].int(in: 1...Load.most.context))
    self.init(
      role: try node["role"].stringEnum(), firstRank: try node["first_rank"].int(in: 0...(1 << 20)),
      mesh: mesh, load: load, activations: try node["activations"].stringEnum())
    microBatches =
      try node.optional("micro_batches")?.int(in: 1...LayerSchedule.mostMicroBatches) ?? 1
    if let node = try node.optional("pipeline") { pipeline = try PipelineSchedule(json: node) }
    if ![.bf16, .fp16, .fp32].contains(activations) {
      throw try node["activations"].fail("activations are bf16, fp16 or fp32")
    }
    var slots: [Int: Int] = [:]
    var total = 0
    for placement in try node.optional("placements")?.array(maxCount: 100_000) ?? [] {
      placements.append(try ExpertPlacement(json: placement))
      total += placements[placements.count - 1].slots.count
      total += placements[placements.count - 1].layers.count
      if total > ExpertPlacement.mostSlots { throw placement.fail("too many slots altogether") }
      slots[placements[placements.count - 1].function] =
        placements[placements.count - 1].slotsPerRank
    }
    for (index, function) in try node["functions"].array(maxCount: 4096).enumerated() {
      functions.append(
        try ShardedFunction(json: function, mesh: mesh, slotsPerRank: slots[index] ?? 0))
    }
    if let wrong = placements.first(where: { !functions.indices.contains($0.function) }) {
      throw try node["placements"].fail("\(wrong.function) is none of the functions")
    }
    // Texts such as "0-99999" are short: layers are counted over all calls.
    var layers = 0
    for stage in try node["stages"].array(maxCount: 100_000) {
      var calls: [ModelProgram.Call] = []
      for element in try stage.array(maxCount: 100_000) {
        let call = try ModelProgram.Call(json: element, functions: functions.count)
        layers += call.layers.count
        if layers > ModelProgram.mostLayers { throw element.fail("too many layers altogether") }
        calls.append(call)
      }
      stages.append(calls)
    }
    for call in try node.optional("drafts")?.array(maxCount: 64) ?? [] {
      drafts.append(try ModelProgram.Call(json: call, functions: functions.count))
    }
    for table in try node["memory"].array(maxCount: 100_000) {
      memory.append(try MemoryTable(json: table))
    }
  }
}

extension ExpertPlacement {
  init(json node: JSONNode) throws(JSONError) {
    let layers = try node["layers"].string(maxLength: 1 << 20)
    let slots = try node["slots"].string(maxLength: 1 << 26)
    let numbers: [Int]
    let table: [Int]
    do {
      numbers = try ModelProgram.Call.layers(parsing: layers)
      table = try ExpertPlacement.slots(parsing: slots)
    } catch { throw node.fail(error.description) }
    self.init(
      function: try node["function"].int(in: 0...4096), layers: numbers,
      experts: try node["experts"].int(in: 1...(1 << 24)),
      slotsPerRank: try node["slots_per_rank"].int(in: 1...(1 << 24)), slots: table,
      sharing: try node.optional("sharing")?.stringEnum() ?? .turn)
  }
}

extension MemoryTable {
  init(json node: JSONNode) throws(JSONError) {
    let most = 0...(1 << 56)
    self.init(
      denseWeights: try node["dense_weights"].int(in: most),
      expertWeights: try node["expert_weights"].int(in: most),
      cache: try node["cache"].int(in: most), activations: try node["activations"].int(in: most),
      communication: try node["communication"].int(in: most))
  }
}

extension ShardedFunction {
  init(json node: JSONNode, mesh: Mesh, slotsPerRank: Int) throws(JSONError) {
    var function = try Function(json: node)
    var sharding: [WeightSharding] = []
    for (index, weight) in try node["weights"].array().enumerated() {
      var spread = WeightSharding(axes: function.weights[index].axes)
      let count = spread.axes.count
      spread.tensorAxis = try weight.optional("tensor_axis")?.index(below: count, "axes")
      spread.expertAxis = try weight.optional("expert_axis")?.index(below: count, "axes")
      spread.isFirstOnly = try weight.optional("first_only")?.bool() ?? false
      guard let local = spread.localAxes(mesh: mesh, slotsPerRank: slotsPerRank),
        spread.expertAxis == nil || spread.expertAxis == 0 && slotsPerRank > 0,
        Axis.elements(of: local) != nil
      else {
        throw weight.fail(
          "\(TensorType(spread.axes)) cannot be split so over \(mesh) with \(slotsPerRank) slots")
      }
      function.weights[index].axes = local
      sharding.append(spread)
    }
    self.init(
      function, sharding: sharding,
      cacheParts: try node["cache_parts"].ints(in: 1...(1 << 20), maxCount: Function.mostParts))
    if cacheParts.count != function.caches.count {
      throw try node["cache_parts"].fail("one number for each cache")
    }
    routedCapacity = try node["routed_capacity"].int(in: 0...(1 << 32))
    for stream in try node["streams"].ints(maxCount: Function.mostParts) {
      guard let stream = Stream(rawValue: stream) else {
        throw try node["streams"].fail("streams are 0 (compute) and 1 (communication)")
      }
      streams.append(stream)
    }
    let operations = function.operations.count
    if streams.count != operations {
      throw try node["streams"].fail("\(streams.count) streams for \(operations) operations")
    }
    schedule = try node.optional("schedule").map { node throws(JSONError) in
      try LayerSchedule(json: node, operations: operations)
    }
    waits = Array(repeating: [], count: operations)
    for entry in try node["waits"].array(maxCount: operations) {
      let numbers = try entry.ints(in: 0...max(operations - 1, 0), maxCount: operations + 1)
      guard let first = numbers.first, !numbers.dropFirst().contains(first) else {
        throw entry.fail("an operation waits for others: [operation, earlier, ...]")
      }
      waits[first] = Array(numbers.dropFirst())
    }
    let places = try node["buffers"].ints(in: 0...(1 << 50), maxCount: 2 * Function.mostParts)
    if places.count != 2 * function.values.count {
      throw try node["buffers"].fail(
        "an offset and a size for each of \(function.values.count) values")
    }
    buffers = stride(from: 0, to: places.count, by: 2).map {
      Buffer(offset: places[$0], bytes: places[$0 + 1])
    }
  }
}
