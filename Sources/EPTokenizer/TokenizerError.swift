import EPJSON

/// Why a tokenizer file cannot be used.
public enum TokenizerError: Error, Hashable, Sendable {
  /// The file cannot be read, or is not the JSON that the format asks for.
  case malformed(file: String, problem: String)
  /// The file asks for something that is not implemented; `element` is its JSON path.
  case unsupported(file: String, element: String, what: String)
  /// A token id outside the vocabulary was to be decoded.
  case unknownID(Int)
}

extension TokenizerError: CustomStringConvertible {
  /// One sentence that names the file and the place in it.
  public var description: String {
    switch self {
    case .malformed(let file, let problem): "'\(file)' is malformed: \(problem)"
    case .unsupported(let file, let element, let what):
      "'\(file)' asks for \(what) at \(element), which is not supported"
    case .unknownID(let id): "there is no token \(id)"
    }
  }
}

/// A problem at a place of the file, before the file is known.
enum LoadFault: Error {
  case json(JSONError)
  case unsupported(element: String, what: String)

  /// The public error, once the file is known.
  func error(in file: String) -> TokenizerError {
    switch self {
    case .json(let error): .malformed(file: file, problem: "\(error)")
    case .unsupported(let element, let what):
      .unsupported(file: file, element: element, what: what)
    }
  }
}

extension JSONNode {
  /// Reads something from the node, with the error of loading.
  func load<Value>(
    _ body: (JSONNode) throws(JSONError) -> Value
  ) throws(LoadFault) -> Value {
    do throws(JSONError) { return try body(self) } catch { throw .json(error) }
  }

  /// Refuses what this node asks for.
  func unsupported(_ what: String) -> LoadFault { .unsupported(element: path, what: what) }

  /// The name of the kind of a component.
  func type() throws(LoadFault) -> String {
    try load { node throws(JSONError) in try node["type"].string() }
  }

  /// A member that may be missing or null.
  func member(_ key: String) throws(LoadFault) -> JSONNode? {
    try load { node throws(JSONError) in try node.optional(key) }
  }

  /// A boolean member, `missing` if it is not there.
  func flag(_ key: String, missing: Bool) throws(LoadFault) -> Bool {
    try load { node throws(JSONError) in try node.optional(key)?.bool() ?? missing }
  }

  /// A string member.
  func text(_ key: String) throws(LoadFault) -> String {
    try load { node throws(JSONError) in try node[key].string() }
  }

  /// The elements of an array member.
  func list(_ key: String) throws(LoadFault) -> [JSONNode] {
    try load { node throws(JSONError) in try node[key].array() }
  }
}
