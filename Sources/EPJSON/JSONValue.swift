/// A JSON document or a part of one.
///
/// Integers and other numbers are different values: `1` is `.int(1)` and `1.0` is `.double(1)`, and
/// each is written as it was read. Strings compare as Swift strings do, by canonical equivalence.
public enum JSONValue: Hashable, Sendable {
  /// The literal `null`.
  case null
  /// The literal `true` or `false`.
  case bool(Bool)
  /// A number without fraction and exponent.
  case int(Int)
  /// Any other number; only finite ones can be written.
  case double(Double)
  /// A string of Unicode scalars, U+0000 included.
  case string(String)
  /// An ordered list.
  case array([JSONValue])
  /// An ordered list of members with unique keys.
  case object(JSONObject)

  /// What the value is, with an article, as error messages name it.
  var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .int: "an integer"
    case .double: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  /// Makes `null`.
  public init(nilLiteral: ()) { self = .null }

  /// Makes a boolean.
  public init(booleanLiteral value: Bool) { self = .bool(value) }

  /// Makes an integer.
  public init(integerLiteral value: Int) { self = .int(value) }

  /// Makes a number that is not an integer, even when it is integral.
  public init(floatLiteral value: Double) { self = .double(value) }

  /// Makes a string.
  public init(stringLiteral value: String) { self = .string(value) }

  /// Makes an array.
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }

  /// Makes an object with the members in the order of the literal; a repeated key keeps its place
  /// and takes the last value.
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    var object = JSONObject()
    for (key, value) in elements { object[key] = value }
    self = .object(object)
  }
}
