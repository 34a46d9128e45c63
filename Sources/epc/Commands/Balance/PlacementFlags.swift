import ArgumentParser
import EPCompiler
import EPIR
import EPJSON
import EPModel
import EPPlacement
import EPPlan

/// What experts there are, which all forms of 'epc balance' must know.
struct ExpertFlags: ParsableArguments {
  @Option(help: "The model: tells layers, experts, groups and bytes.")
  var model: String?

  @Option(help: "Experts of a layer, for a distribution without '--model'.")
  var experts: Int?

  @Option(help: "Layers with experts, for a distribution without '--model'.")
  var layers: Int = 58

  @Option(help: "Number of the first layer that loads are for, without '--model'.")
  var firstLayer: Int = 0

  @Option(help: "Bytes of an expert of one layer, without '--model'.")
  var expertBytes: Int?

  @Option(help: "Nodes, each of consecutive ranks.")
  var nodes: Int?

  @Option(help: "Groups of experts that routing chooses among, without '--model'.")
  var groups: Int?

  /// What the flags come to.
  struct Experts {
    var model: ModelExperts?
    var flags: ExpertFlags

    /// Groups of experts.
    var groups: Int { flags.groups ?? model?.groups ?? 1 }

    /// Bytes of an expert.
    func bytes() throws(PlacementError) -> Int {
      if let bytes = flags.expertBytes ?? model?.bytes { return bytes }
      throw .shape("how much a copy moves is not known; give '--model' or '--expert-bytes'")
    }

    /// Layers of the model, as far as they are known.
    func modelLayers(_ layers: [Int]) -> Int { model?.modelLayers ?? (layers.max() ?? 0) + 1 }

    /// Loads from a file or a distribution, under the model's numbers.
    func loads(_ text: String) throws(PlacementError) -> ExpertLoads {
      let source = try LoadSource(parsing: text)
      if let model {
        return try source.loads(layers: model.layers, of: model.modelLayers, experts: model.count)
      }
      if case .measured(let loads) = source {
        return flags.firstLayer == 0
          ? loads : try ExpertLoads(rows: loads.rows, firstLayer: flags.firstLayer)
      }
      guard let experts = flags.experts else {
        throw .shape("'\(text)' needs the number of experts; give '--model' or '--experts'")
      }
      let known = 0..<100_000
      guard known.contains(flags.layers - 1), known.contains(flags.firstLayer) else {
        throw .shape("'--layers \(flags.layers)' from layer \(flags.firstLayer) on are no layers")
      }
      let layers = Array(flags.firstLayer..<(flags.firstLayer + flags.layers))
      return try source.loads(layers: layers, of: -1, experts: experts)
    }

    /// Windows from files: each a window, or one JSON file with all of them.
    func trace(_ files: [String]) throws(PlacementError) -> LoadTrace {
      var windows: [ExpertLoads] = []
      if files.count == 1, files[0].hasSuffix(".json") {
        windows = try LoadTrace(file: files[0]).windows
        if let model {
          windows = try windows.map { (window) throws(PlacementError) in
            try window.matched(to: model.layers, of: model.modelLayers)
          }
        }
      } else {
        for file in files { windows.append(try loads(file)) }
      }
      return try LoadTrace(windows: windows)
    }
  }

  /// Reads the model, if one is named.
  func read() throws(Diagnostics) -> Experts {
    for (name, value, most) in [
      ("experts", experts, 1 << 20), ("expert-bytes", expertBytes, 1 << 34),
      ("nodes", nodes, 1 << 20), ("groups", groups, 1 << 20),
    ] {
      if let value, !(1...most).contains(value) {
        throw Diagnostics("flag", "'--\(name) \(value)'; it is at least 1 and at most \(most)")
      }
    }
    guard let model else { return Experts(model: nil, flags: self) }
    try GivenFlags.refuse(
      ["experts", "layers", "first-layer"], "is told by '--model'; leave one of them out")
    guard let experts = ModelExperts(try LoadedModel.load(model).program) else {
      throw Diagnostics("balance", "\(model) has no routed experts")
    }
    return Experts(model: experts, flags: self)
  }
}

/// The slots that experts are placed into.
struct SlotFlags: ParsableArguments {
  @Option(help: "Ranks that share the experts.")
  var ranks: Int?

  @Option(help: "Slots beyond one for each expert; as few as come out even unless set.")
  var redundant: Int?

  /// The slots for so many experts.
  func shape(_ experts: Int, _ known: ExpertFlags.Experts) throws(PlacementError) -> PlacementShape
  {
    guard let ranks else { throw .shape("'--ranks' is missing: the ranks that share the experts") }
    let fewest = ranks > 0 ? (ranks - experts % ranks) % ranks : 0
    return try PlacementShape(
      experts: experts, redundant: redundant ?? fewest, ranks: ranks,
      nodes: known.flags.nodes ?? 1, groups: known.groups)
  }
}

/// What '--sharing' of 'epc balance' takes, as for 'epc compile'.
enum SharingFlag: String, ExpressibleByArgument, CaseIterable {
  case turn, batch

  var rebalancing: Rebalancer.Sharing { self == .batch ? .split : .even }
}

/// Where a placement goes.
struct PlacementOutput: ParsableArguments {
  @Option(name: .shortAndLong, help: "Write the placement, for 'epc balance migrate --from'.")
  var output: String?

  @Option(help: "Write the placement for SGLang's --init-expert-location.")
  var sglang: String?

  @Option(help: "Write the placement for TensorRT-LLM, as YAML.")
  var tensorrtLlm: String?

  func write(
    _ document: Document, _ placements: [LayerPlacement], _ loads: ExpertLoads,
    _ experts: ExpertFlags.Experts
  ) throws(Diagnostics) {
    do {
      if let sglang {
        let value = try PlacementExport.sglang(
          placements, layers: loads.layers, modelLayers: experts.modelLayers(loads.layers),
          experts: loads.experts)
        try Terminal.save(try value.serialized(), to: sglang)
      }
      if let tensorrtLlm {
        let text = try PlacementExport.tensorRTLLM(placements, layers: loads.layers)
        try Terminal.save(Array(text.utf8), to: tensorrtLlm)
      }
      if let output {
        try Terminal.save(try document.jsonValue.serialized(style: .pretty), to: output)
      }
    } catch let error as Diagnostics { throw error } catch {
      throw Diagnostics("balance", "\(error)")
    }
  }
}

/// Runs a form of 'epc balance': what placement refuses becomes a diagnostic.
func balancing(_ work: () throws(PlacementError) -> Void) throws(Diagnostics) {
  do throws(PlacementError) { try work() } catch {
    throw Diagnostics("balance", error.description)
  }
}
