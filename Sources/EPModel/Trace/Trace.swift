/// The function being built while modules run.
///
/// Modules reach it through the tensors they are given. A mistake is recorded with the location of
/// the module that made it and tracing goes on with a void tensor, so that one run reports all.
public final class Trace {
  /// What modules may want to know about the model around them.
  public struct Environment: Sendable {
    /// Tokens in the vocabulary.
    public var vocabulary: Int
    /// The hidden size.
    public var hidden: Int
    /// The epsilon of norms that do not set their own.
    public var epsilon: Double
    /// The number of decoder layers.
    public var layers: Int
    /// What the names of the head's weights begin with.
    public var head: String
  }

  /// The model around the function.
  public let environment: Environment
  /// The layer being traced, or nil outside layers.
  public let layer: Int?
  /// The mistakes so far.
  public internal(set) var diagnostics: [ModelDiagnostic] = []

  var function: Function
  /// Components of weight names: `model`, `layers`, `{layer}`, `self_attn`.
  var path: [String]
  /// How many components of `path` lie outside the function.
  let root: Int
  var location: SourceLocation?
  var locations: LocationTable
  var renamings: [[(from: [String], to: [String])]] = []
  /// The expert axis, while an expert's body is traced.
  var experts: Axis?
  /// Whether the body of a shared expert is traced, whose inner axis has a name of its own: the
  /// compiler may hold shared experts whole where it splits dense feed-forwards.
  var isInSharedExpert = false

  /// The inner axis of a feed-forward; tensor parallelism splits it. In shared experts it has a
  /// name of its own, by which the compiler may treat it apart.
  public func intermediate(_ size: Int) -> Axis {
    isInSharedExpert ? Axis("shared_intermediate", size, split: .tensor) : .intermediate(size)
  }

  init(
    _ name: String, environment: Environment, layer: Int?, path: [String], locations: LocationTable
  ) {
    function = Function(name)
    self.environment = environment
    self.layer = layer
    self.path = path
    self.root = path.count
    self.locations = locations
  }

  /// Records a mistake of the module being traced.
  public func diagnose(_ id: String, _ message: String) {
    diagnostics.append(ModelDiagnostic(id, message, at: location))
  }

  /// A parameter of the function, added on first use: `ids`, `modality`, `x`, `hidden`.
  public func parameter(_ name: String, _ type: TensorType) -> Tensor {
    if let port = function.parameters.first(where: { $0.name == name }) {
      return Tensor(self, .value(port.value))
    }
    let value = define(type)
    function.parameters.append(Function.Port(name, value))
    return Tensor(self, .value(value))
  }

  /// The token ids of the rows.
  public var ids: Tensor { parameter("ids", TensorType([.tokens], element: .index)) }

  /// The modality of each row: 0 for text, 1 and up as the model numbers them.
  public var modality: Tensor { parameter("modality", TensorType([.tokens], element: .index)) }

  /// A tensor that stands for a failed operation; everything made of it is void too.
  public var void: Tensor { Tensor(self, nil) }

  /// Runs `body` with `name` appended to the path of weights and operations; empty adds nothing.
  func scoped<Result>(_ name: String, _ body: () -> Result) -> Result {
    if name.isEmpty { return body() }
    let components = name.split(separator: ".").map(String.init)
    path.append(contentsOf: components)
    defer { path.removeLast(components.count) }
    return body()
  }

  /// Runs `body` with mistakes blamed on a place in the model file; a place in this library, where
  /// a module made another, blames the outer module.
  func located<Result>(_ location: SourceLocation?, _ body: () -> Result) -> Result {
    guard let location, !location.file.hasPrefix(Trace.libraryFolder) else { return body() }
    let outer = self.location
    self.location = location
    defer { self.location = outer }
    return body()
  }

  /// The sources of this package: modules that they make, as an importer does, stand nowhere.
  private static let libraryFolder = String(#filePath.dropLast("EPModel/Trace/Trace.swift".count))

  private func define(_ type: TensorType) -> Int {
    function.values.append(type)
    return function.values.count - 1
  }

  /// Appends an operation and returns the values it defines, or void ones if it cannot stand.
  func append(
    _ kind: OpKind, _ operands: [(String, Tensor?)], cache: Int? = nil,
    _ attributes: Attributes = Attributes()
  ) -> [Tensor] {
    let count = kind.specification.resultCount
    var read: [Operand] = []
    for (role, tensor) in operands {
      guard let tensor else { continue }
      guard let reference = tensor.reference else { return Array(repeating: void, count: count) }
      read.append(Operand(role, reference))
    }
    if let cache { read.append(Operand("cache", .cache(cache))) }
    // In the order of the specification, as a program that is read has them.
    let roles = kind.specification.roles.map(\.name)
    read =
      roles.flatMap { role in read.filter { $0.role == role } }
      + read.filter { !roles.contains($0.role) }
    var operation = Operation(
      kind, read, attributes: attributes,
      results: Array(0..<count), scope: path.dropFirst(root).joined(separator: "."),
      location: locations.index(of: location))
    do {
      try operation.checkForm()
      let types = try operation.inferResults(in: function)
      operation.results = types.map(define)
      function.operations.append(operation)
      return operation.results.map { Tensor(self, .value($0)) }
    } catch {
      diagnose("invalid-operation", error.description)
      return Array(repeating: void, count: count)
    }
  }

  /// A weight below the current path, declared on first use.
  ///
  /// - Parameters:
  ///   - name: the rest of the checkpoint name, `q_proj.weight`.
  ///   - axes: the axes, without the expert axis, which is added inside an expert's body.
  ///   - stored: where else than under its own name a checkpoint may hold it; names are relative
  ///     to the current path, and in place of `{expert}` come tensors of all experts.
  public func weight(
    _ name: String, _ axes: [Axis], role: WeightDeclaration.Role = .vector,
    stored: [StoredTensor]? = nil
  ) -> Tensor {
    let full = checkpointName(name)
    let places = stored ?? [StoredTensor(name)]
    let declaration = WeightDeclaration(
      full, axes: (experts.map { [$0] } ?? []) + axes,
      role: experts != nil && role == .linear ? .expert : role,
      stored: places.map { place in
        var place = place
        place.name = checkpointName(place.name)
        return place
      })
    return declare(declaration)
  }

  /// A weight under a name that the path does not touch: `lm_head.weight`.
  public func weight(
    absolute name: String, _ axes: [Axis], role: WeightDeclaration.Role
  ) -> Tensor {
    let full = renamed(name)
    return declare(WeightDeclaration(full, axes: axes, role: role, stored: [StoredTensor(full)]))
  }

  /// Numbers the model file computed, which may differ from layer to layer.
  public func constant(_ name: String, _ axes: [Axis], _ elements: [Double]) -> Tensor {
    if elements.count != TensorType(axes).elementsPerRow {
      diagnose(
        "constant-size",
        "constant '\(name)' has \(elements.count) elements for \(TensorType(axes))")
      return void
    }
    return declare(
      WeightDeclaration(
        checkpointName(name), axes: axes, role: .constant, stored: [], constants: [elements]))
  }

  private func declare(_ declaration: WeightDeclaration) -> Tensor {
    if let index = function.weights.firstIndex(where: { $0.name == declaration.name }) {
      if function.weights[index] != declaration {
        diagnose(
          "weight-conflict",
          "weight '\(declaration.name)' is used as \(function.weights[index].type) and as "
            + "\(declaration.type); give one another name with '.named'")
        return void
      }
      return Tensor(self, .weight(index))
    }
    for axis in declaration.axes where (axis.size ?? 0) <= 0 {
      diagnose(
        "weight-size", "weight '\(declaration.name)' has the axis \(axis); sizes are positive")
      return void
    }
    function.weights.append(declaration)
    return Tensor(self, .weight(function.weights.count - 1))
  }

  func cache(_ kind: CacheDeclaration.Kind, _ suffix: String, _ parts: [[Axis]], window: Int? = nil)
    -> Int
  {
    let name = (path.dropFirst(root) + [suffix]).joined(separator: ".")
    function.caches.append(CacheDeclaration(name, kind: kind, parts: parts, window: window))
    return function.caches.count - 1
  }

  /// The full checkpoint name of `name` below the current path, renamings applied.
  private func checkpointName(_ name: String) -> String {
    // A tensor of all experts stands one level above the experts' own ones.
    let whole = name.hasPrefix("^")
    let components =
      whole ? path.filter { $0 != "{expert}" } + [String(name.dropFirst())] : path + [name]
    return renamed(components.joined(separator: "."))
  }

  private func renamed(_ name: String) -> String {
    var components = name.split(separator: ".").map(String.init)
    for renaming in renamings.reversed() {
      for (from, to) in renaming {
        var start = 0
        while start + from.count <= components.count {
          if Array(components[start..<(start + from.count)]) == from {
            components.replaceSubrange(start..<(start + from.count), with: to)
            start += to.count
          } else {
            start += 1
          }
        }
      }
    }
    return components.joined(separator: ".")
  }
}

/// The locations a program refers to, each once.
final class LocationTable {
  private(set) var all: [SourceLocation] = []
  private var known: [SourceLocation: Int] = [:]

  func index(of location: SourceLocation?) -> Int {
    guard let location else { return -1 }
    if let index = known[location] { return index }
    known[location] = all.count
    all.append(location)
    return all.count - 1
  }
}
