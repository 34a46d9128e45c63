/// Runs the modules of a model and collects the functions they amount to.
struct ModelTracer {
  let model: Model
  private var program: ModelProgram
  private var diagnostics: [ModelDiagnostic] = []
  private let locations = LocationTable()
  /// Functions without their constants and places, to find those that are alike.
  private var known: [Function: Int] = [:]

  init(model: Model) {
    self.model = model
    program = ModelProgram(
      name: model.name, vocabulary: model.vocabulary, hidden: model.hidden,
      precision: model.precision)
    program.ignoredTensors = model.ignored
  }

  mutating func run() -> TracedModel {
    guard checkSizes() else { return TracedModel(program: program, diagnostics: diagnostics) }
    let bodies = layerBodies()
    traceOuter(named: "embed", modulesBeforeLayers, ids: true)
    for (number, layers) in bodies { traceLayer(number, layers) }
    traceOuter(named: "head", modulesAfterLayers, ids: false)
    traceDrafts(firstLayer: bodies.count)
    program.locations = locations.all
    checkBoundary()
    return TracedModel(program: program, diagnostics: unique(diagnostics))
  }

  private var environment: Trace.Environment {
    let layers = model.parts.reduce(0) {
      if case .layers(let layers) = $1 { return $0 + layers.numbers.count } else { return $0 }
    }
    return Trace.Environment(
      vocabulary: model.vocabulary, hidden: model.hidden, epsilon: model.epsilon, layers: layers,
      head: model.head)
  }

  private var prefix: [String] { model.prefix.split(separator: ".").map(String.init) }

  private var modulesBeforeLayers: [any Module] {
    model.parts.prefix { if case .layers = $0 { return false } else { return true } }
      .compactMap { if case .module(let module) = $0 { return module } else { return nil } }
  }

  private var modulesAfterLayers: [any Module] {
    model.parts.drop { if case .layers = $0 { return false } else { return true } }
      .compactMap { if case .module(let module) = $0 { return module } else { return nil } }
  }

  private mutating func diagnose(_ id: String, _ message: String, _ location: SourceLocation?) {
    diagnostics.append(ModelDiagnostic(id, message, at: location ?? model.location))
  }

  /// One more than the last number that a layer may have.
  static let mostLayers = 100_000

  private mutating func checkSizes() -> Bool {
    // It goes into scripts, manifests and pictures.
    if model.name.utf8.contains(where: { $0 < 32 || $0 == 127 }) {
      diagnose("model-name", "the name of a model has no control characters", model.location)
    }
    for (name, size) in [("vocabulary", model.vocabulary), ("hidden", model.hidden)]
    where size <= 0 || size > 1 << 32 {
      diagnose("model-size", "'\(name)' is \(size); it is between 1 and 2^32", model.location)
    }
    return diagnostics.isEmpty
  }

  /// The declaration that makes each layer, in the order of layers.
  private mutating func layerBodies() -> [(Int, Layers)] {
    var byNumber: [Int: Layers] = [:]
    for case .layers(let layers) in model.parts {
      for number in layers.numbers {
        if number < 0 || number >= Self.mostLayers {
          diagnose("layer-number", "layer \(number); layers are numbered from 0", layers.location)
          break
        } else if byNumber.updateValue(layers, forKey: number) != nil {
          diagnose("layer-twice", "layer \(number) is declared twice", layers.location)
        }
      }
    }
    if byNumber.isEmpty {
      diagnose("no-layers", "the model has no layers; add 'Layers(0..<n) { ... }'", nil)
    }
    let count = byNumber.count
    if let missing = (0..<count).first(where: { byNumber[$0] == nil }) {
      diagnose(
        "layer-missing",
        "layer \(missing) is missing; \(count) layers are numbered 0 to \(count - 1)", nil)
      return []
    }
    return byNumber.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  private mutating func traceOuter(named name: String, _ modules: [any Module], ids: Bool) {
    let trace = Trace(
      name, environment: environment, layer: nil, path: prefix, locations: locations)
    var x = ids ? trace.ids : trace.parameter("x", residual)
    var hidden: Tensor?
    for module in modules {
      if ModelTracer.innermost(module) is LanguageModelHead { hidden = x }
      x = x.through(module, named: ModelTracer.defaultName(of: module))
    }
    finish(trace, results: [(ids ? "x" : "logits", x), ("hidden", hidden)])
    program.calls.append(ModelProgram.Call(add(trace.function)))
  }

  private var residual: TensorType { TensorType([.tokens, .hidden(model.hidden)]) }

  private static func innermost(_ module: any Module) -> any Module {
    (module as? any WrappingModule)?.innermost ?? module
  }

  private static func defaultName(of module: any Module) -> String {
    let module = innermost(module)
    switch module {
    case is Embedding: return "embed_tokens"
    case is RMSNorm, is LayerNorm: return "norm"
    case is LanguageModelHead: return ""
    default:
      let type = String(describing: Swift.type(of: module))
      return type.prefix(1).lowercased() + type.dropFirst()
    }
  }

  private mutating func traceLayer(_ number: Int, _ layers: Layers) {
    let trace = Trace(
      "layer\(number)", environment: environment, layer: number,
      path: prefix + ["layers", "{layer}"], locations: locations)
    let input = trace.parameter("x", residual)
    let output = trace.located(layers.location) {
      layers.body(number).reduce(input) { $0.through($1, named: "") }
    }
    if !output.isVoid && output.type != residual {
      diagnose(
        "layer-shape",
        "layer \(number) makes \(output.type) of \(residual); a layer keeps the shape",
        layers.location)
    }
    finish(trace, results: [("x", output)])
    let index = add(trace.function)
    if program.calls.last?.function == index {
      program.calls[program.calls.count - 1].layers.append(number)
    } else {
      program.calls.append(ModelProgram.Call(index, layers: [number]))
    }
  }

  private mutating func traceDrafts(firstLayer: Int) {
    var layer = firstLayer
    for case .draft(let draft) in model.parts {
      if draft.depth < 1 || draft.depth > 64 {
        diagnose(
          "draft-depth", "MTP of depth \(draft.depth); the depth is 1 to 64", draft.location)
        continue
      }
      for _ in 0..<draft.depth {
        let trace = Trace(
          "draft", environment: environment, layer: layer, path: prefix + ["layers", "{layer}"],
          locations: locations)
        let outputs = trace.located(draft.location) {
          draft(trace.parameter("hidden", residual))
        }
        finish(trace, results: [("logits", outputs.logits), ("hidden", outputs.hidden)])
        program.drafts.append(ModelProgram.Call(add(trace.function), layers: [layer]))
        layer += 1
      }
    }
  }

  private mutating func finish(_ trace: Trace, results: [(String, Tensor?)]) {
    diagnostics.append(contentsOf: trace.diagnostics)
    for (name, tensor) in results {
      if case .value(let value)? = tensor?.reference {
        trace.function.results.append(Function.Port(name, value))
      } else if tensor != nil && trace.diagnostics.isEmpty {
        diagnose("no-result", "'\(trace.function.name)' makes no '\(name)'", trace.location)
      }
    }
  }

  /// The index of a function like this one, whose constants then get one more row.
  private mutating func add(_ function: Function) -> Int {
    var key = function
    key.name = ""
    for index in key.weights.indices { key.weights[index].constants = [] }
    for index in key.operations.indices { key.operations[index].location = -1 }
    if let index = known[key] {
      for weight in function.weights.indices {
        program.functions[index].weights[weight].constants += function.weights[weight].constants
      }
      return index
    }
    known[key] = program.functions.count
    program.functions.append(function)
    return program.functions.count - 1
  }

  private mutating func checkBoundary() {
    guard diagnostics.isEmpty, let first = program.calls.first, let last = program.calls.last
    else { return }
    func type(_ call: ModelProgram.Call, _ name: String) -> TensorType? {
      let function = program.functions[call.function]
      return function.results.first { $0.name == name }.map { function.values[$0.value] }
    }
    if type(first, "x") != residual {
      diagnose("no-embedding", "the model does not begin with 'Embedding()'", nil)
    }
    if type(last, "logits")?.axes != [.tokens, .vocabulary(model.vocabulary)] {
      diagnose("no-head", "the model does not end with 'LanguageModelHead()'", nil)
    }
  }

  /// Layers traced one by one report a mistake once each.
  private func unique(_ all: [ModelDiagnostic]) -> [ModelDiagnostic] {
    var seen: Set<ModelDiagnostic> = []
    return all.filter { seen.insert($0).inserted }
  }
}
