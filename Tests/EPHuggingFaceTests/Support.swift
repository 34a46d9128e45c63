import EPHuggingFace
import EPJSON
import EPModel
import Foundation
import Testing

/// Where the reference checkpoints are, from the environment; tests that need them are off without.
let references: String? = ProcessInfo.processInfo.environment["EPC_REFS"]
/// A folder of further configs.
let published: String? = ProcessInfo.processInfo.environment["EPC_CONFIGS"]

/// Paths of files of that name below a folder, sorted.
func files(below folder: String?, where matches: (String) -> Bool) -> [String] {
  guard let folder, let all = FileManager.default.enumerator(atPath: folder) else { return [] }
  return all.compactMap { $0 as? String }.filter(matches).sorted()
}

/// The configs of the reference checkpoints, as paths below `EPC_REFS`.
let referenceConfigs = files(below: references) { $0.hasSuffix("/config.json") }
/// The configs of published models, as names below `EPC_CONFIGS`.
let publishedConfigs = files(below: published) {
  $0.hasSuffix(".json") && !$0.contains("NOT_FOUND")
}

/// The config of a family in this test's fixtures.
func fixture(_ name: String) throws -> JSONValue {
  let url = try #require(
    Bundle.module.url(forResource: name, withExtension: "json", subdirectory: "Fixtures"))
  return try HuggingFaceImport.parse(bytes: [UInt8](Data(contentsOf: url)))
}

extension JSONValue {
  /// The config with some fields set; null removes one.
  func with(_ changes: KeyValuePairs<String, JSONValue>) -> JSONValue {
    guard case .object(var object) = self else { return self }
    for (key, value) in changes {
      if case .null = value { object[key] = nil } else { object[key] = value }
    }
    return .object(object)
  }
}

/// The program of a config, which must import and trace without a mistake.
func program(_ config: JSONValue) throws -> ModelProgram {
  let traced = try HuggingFaceImport.model(fromConfig: JSONNode(config)).traced()
  #expect(traced.diagnostics.isEmpty, "\(traced.diagnostics)")
  return traced.program
}

/// Why a config is refused; a config that imports is a failed test.
func refusal(_ config: JSONValue, _ location: Testing.SourceLocation = #_sourceLocation) -> String {
  do throws(ImportError) {
    _ = try HuggingFaceImport.result(fromConfig: JSONNode(config))
    Issue.record("the config is imported", sourceLocation: location)
    return ""
  } catch {
    return error.description
  }
}

extension ModelProgram {
  /// The function of a layer.
  func layer(_ number: Int) throws -> Function {
    let call = try #require(calls.first { $0.layers.contains(number) })
    return functions[call.function]
  }

  /// The only operation of a kind in a layer, or the first whose scope ends so.
  func operation(_ kind: OpKind, in number: Int, at scope: String? = nil) throws
    -> EPModel.Operation
  {
    try #require(
      try layer(number).operations.first { operation in
        operation.kind == kind && (scope.map { operation.scope.hasSuffix($0) } ?? true)
      })
  }

  /// The attributes of the only operation of a kind in a layer.
  func attributes(_ kind: OpKind, in number: Int, at scope: String? = nil) throws -> Attributes {
    try operation(kind, in: number, at: scope).attributes
  }

  /// The names of a layer's weights below the layer, with the first place of each.
  func stored(in number: Int) throws -> [String] {
    try layer(number).weights.compactMap { $0.stored.first?.name }
  }
}

/// Whether two reals are equal to within a part in 10^12.
func same(_ a: Double, _ b: Double) -> Bool { abs(a - b) <= 1e-12 * max(abs(a), abs(b)) }
