public import EPJSON

/// Why a config cannot be imported. Every case reads as one line that names the field.
public enum ImportError: Error, Hashable, Sendable {
  /// A field is missing, of another type or out of range; the error has its JSON path.
  case document(JSONError)
  /// No family of that `model_type` is known.
  case unknownFamily(String)
  /// The file is not a Hugging Face config; the text says how that shows and what to do.
  case foreign(String)
  /// A field that is known has a value that the imported model could not honour.
  case refused(family: String, field: String, value: JSONValue, reason: String)
  /// A field that is not known to be irrelevant, and may change what the model computes.
  case unknownField(family: String, field: String, value: JSONValue)
}

extension ImportError: CustomStringConvertible {
  /// The error as one line, without a full stop.
  public var description: String {
    switch self {
    case .document(let error): return error.description
    case .unknownFamily(let type):
      return "\(type): 'model_type' = \"\(type)\" is no family that can be imported; known are "
        + HuggingFaceImport.families.sorted().joined(separator: ", ")
    case .foreign(let reason): return reason
    case .refused(let family, let field, let value, let reason):
      return "\(family): '\(field)' = \(value.brief) \(reason)"
    case .unknownField(let family, let field, let value):
      return "\(family): '\(field)' = \(value.brief) is not a known field, and may change numerics"
    }
  }
}

extension JSONValue {
  /// The value as a few words of JSON: long texts, arrays and objects are cut.
  var brief: String {
    switch self {
    case .null: return "null"
    case .bool(let flag): return flag ? "true" : "false"
    case .int(let number): return "\(number)"
    case .double(let number): return "\(number)"
    case .string(let text):
      let cut = text.unicodeScalars.prefix(40).map { $0.isASCII && $0.value >= 32 ? $0 : "?" }
      return "\"" + String(String.UnicodeScalarView(cut)) + (cut.count == 40 ? "..." : "") + "\""
    case .array(let elements):
      let shown = elements.prefix(4).map(\.brief).joined(separator: ", ")
      return "[" + shown + (elements.count > 4 ? ", ..." : "") + "]"
    case .object(let object):
      return "{" + object.keys.prefix(3).map { JSONValue.string($0).brief }.joined(separator: ", ")
        + (object.count > 3 ? ", ..." : "") + "}"
    }
  }
}
