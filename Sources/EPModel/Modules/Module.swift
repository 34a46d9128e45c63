/// A part of a model: something that makes a tensor of a tensor.
///
/// A new architecture is a new module, written by composing operations on tensors:
///
/// ```swift
/// struct Doubled: Module {
///   func callAsFunction(_ x: Tensor) -> Tensor {
///     x.linear("wide", to: [.intermediate(128)]).silu().linear("narrow", to: [x.axes[1]])
///   }
/// }
/// ```
///
/// An implementation must make the same operations each time it is called with the same types.
public protocol Module {
  /// The module's output.
  func callAsFunction(_ x: Tensor) -> Tensor
  /// The name its weights stand under, or nil to take the one its container gives.
  var name: String? { get }
  /// Where in the model file it stands, or nil.
  var location: SourceLocation? { get }
}

extension Module {
  /// Containers name a module unless it names itself.
  public var name: String? { nil }
  /// Modules of a model file need not say where they stand.
  public var location: SourceLocation? { nil }

  /// The module with its weights under another name; the empty name adds no level.
  public func named(_ name: String) -> some Module { NamedModule(base: self, ownName: name) }

  /// The module with components of its weights' names replaced, longest match as written:
  /// `["mlp": "block_sparse_moe", "gate_proj": "w1"]`. An empty replacement drops the component.
  public func renaming(_ names: KeyValuePairs<String, String>) -> some Module {
    RenamedModule(
      base: self,
      renaming: names.map { pair in
        (
          from: pair.key.split(separator: ".").map(String.init),
          to: pair.value.split(separator: ".").map(String.init)
        )
      })
  }
}

/// A module that changes how another one is seen.
protocol WrappingModule: Module {
  /// The module inside.
  var base: any Module { get }
}

extension WrappingModule {
  /// The module behind all wrappings.
  var innermost: any Module { (base as? any WrappingModule)?.innermost ?? base }
}

struct NamedModule: WrappingModule {
  var base: any Module
  var ownName: String

  var name: String? { ownName }
  var location: SourceLocation? { base.location }
  func callAsFunction(_ x: Tensor) -> Tensor { base(x) }
}

struct RenamedModule: WrappingModule {
  var base: any Module
  var renaming: [(from: [String], to: [String])]

  var name: String? { base.name }
  var location: SourceLocation? { base.location }

  func callAsFunction(_ x: Tensor) -> Tensor {
    x.trace.renamings.append(renaming)
    defer { x.trace.renamings.removeLast() }
    return base(x)
  }
}

/// Modules one after the other, as a builder's closure lists them.
@resultBuilder
public enum ModuleBuilder {
  /// One module.
  public static func buildExpression(_ module: any Module) -> [any Module] { [module] }
  /// Several modules, computed elsewhere.
  public static func buildExpression(_ modules: [any Module]) -> [any Module] { modules }
  /// Modules in the order they are written.
  public static func buildBlock(_ parts: [any Module]...) -> [any Module] { parts.flatMap { $0 } }
  /// An `if` without `else`.
  public static func buildOptional(_ part: [any Module]?) -> [any Module] { part ?? [] }
  /// The first branch of an `if`.
  public static func buildEither(first part: [any Module]) -> [any Module] { part }
  /// The other branch of an `if`.
  public static func buildEither(second part: [any Module]) -> [any Module] { part }
  /// A `for` loop.
  public static func buildArray(_ parts: [[any Module]]) -> [any Module] { parts.flatMap { $0 } }
}

extension SourceLocation {
  init(_ file: String, _ line: Int, _ column: Int) {
    self.init(file: file, line: line, column: column)
  }
}
