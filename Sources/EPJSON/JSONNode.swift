/// A cursor for strict reading: a value together with its path, so that every error says where.
///
/// A node is made for the root of a document and then descended:
/// `try JSONNode(document)["pools"].array()[0]["mesh"]["ep"].int(in: 1...4096)`.
public struct JSONNode: Sendable {
  /// The value at this place.
  public let value: JSONValue
  private let place: JSONPath
  /// What the places of the children refer to; only arrays and objects need one.
  private let link: JSONPath.Link?

  /// Makes a cursor at the root of a document.
  public init(_ root: JSONValue) { self.init(root, .root) }

  private init(_ value: JSONValue, _ place: JSONPath) {
    self.value = value
    self.place = place
    switch value {
    case .array, .object: link = JSONPath.Link(place)
    case .null, .bool, .int, .double, .string: link = nil
    }
  }

  /// The JSON path from the root, such as `$.pools[0].mesh`; made on demand.
  public var path: String { place.description }

  /// Whether the value is `null`.
  public var isNull: Bool { value == .null }

  /// An error about this place; the message is one phrase in lower case, without a full stop.
  public func fail(_ message: String) -> JSONError { JSONError(path: path, message: message) }

  private var children: JSONPath.Link { link ?? JSONPath.Link(place) }

  private func mismatch(_ wanted: String) -> JSONError {
    fail("expected \(wanted), found \(value.kind)")
  }
}

// MARK: Objects and arrays

extension JSONNode {
  private var object: JSONObject {
    get throws(JSONError) {
      guard case .object(let object) = value else { throw mismatch("an object") }
      return object
    }
  }

  private func elements(maxCount: Int) throws(JSONError) -> [JSONValue] {
    guard case .array(let elements) = value else { throw mismatch("an array") }
    if elements.count > maxCount {
      throw fail("expected at most \(maxCount) elements, found \(elements.count)")
    }
    return elements
  }

  /// The member of an object; throws when it is missing or this is not an object.
  public subscript(key: String) -> JSONNode {
    get throws(JSONError) {
      let child = try object[key]
      guard let child else {
        throw JSONNode(.null, .key(children, key)).fail("this key is required")
      }
      return JSONNode(child, .key(children, key))
    }
  }

  /// The member of an object; nil when it is missing or `null`.
  public func optional(_ key: String) throws(JSONError) -> JSONNode? {
    guard let child = try object[key], child != .null else { return nil }
    return JSONNode(child, .key(children, key))
  }

  /// The keys of an object, in order.
  public var keys: [String] {
    get throws(JSONError) { try object.keys }
  }

  /// The members of an object, in order.
  public var entries: [(key: String, node: JSONNode)] {
    get throws(JSONError) {
      try object.members.map { ($0.key, JSONNode($0.value, .key(children, $0.key))) }
    }
  }

  /// The elements of an array of at most `maxCount`.
  public func array(maxCount: Int = .max) throws(JSONError) -> [JSONNode] {
    let elements = try elements(maxCount: maxCount)
    let parent = children
    return elements.indices.map { JSONNode(elements[$0], .index(parent, $0)) }
  }

  /// The integers of an array that holds nothing else; far cheaper than a node for each.
  public func ints(
    in range: ClosedRange<Int> = .min ... .max, maxCount: Int = .max
  ) throws(JSONError) -> [Int] {
    let elements = try elements(maxCount: maxCount)
    var numbers: [Int] = []
    numbers.reserveCapacity(elements.count)
    for (index, element) in elements.enumerated() {
      if case .int(let number) = element, range.contains(number) {
        numbers.append(number)
      } else {
        numbers.append(try JSONNode(element, .index(children, index)).int(in: range))
      }
    }
    return numbers
  }

  /// Refuses keys other than the given ones; the error names the first unknown key.
  public func requireKeys(only known: [String]) throws(JSONError) {
    for member in try object.members where !known.contains(member.key) {
      let list = known.isEmpty ? "none" : known.joined(separator: ", ")
      throw JSONNode(.null, .key(children, member.key)).fail("unknown key; known here: \(list)")
    }
  }
}

// MARK: Scalars

extension JSONNode {
  /// The integer at this place, within a range; `1.0` is not an integer.
  public func int(in range: ClosedRange<Int> = .min ... .max) throws(JSONError) -> Int {
    guard case .int(let number) = value else { throw mismatch("an integer") }
    guard range.contains(number) else {
      throw fail("expected an integer in \(range), found \(number)")
    }
    return number
  }

  /// The number at this place, within a range.
  ///
  /// An integer is a number too, and rounds when it is beyond 2^53.
  public func double(
    in range: ClosedRange<Double> =
      -Double.greatestFiniteMagnitude ... .greatestFiniteMagnitude
  ) throws(JSONError) -> Double {
    let number: Double
    switch value {
    case .int(let integer): number = Double(integer)
    case .double(let double): number = double
    case .null, .bool, .string, .array, .object: throw mismatch("a number")
    }
    guard range.contains(number) else {
      throw fail("expected a number in \(range), found \(number)")
    }
    return number
  }

  /// The string at this place, of at most `maxLength` bytes of UTF-8.
  public func string(maxLength: Int = .max) throws(JSONError) -> String {
    guard case .string(let text) = value else { throw mismatch("a string") }
    let length = text.utf8.count
    if length > maxLength {
      throw fail("expected at most \(maxLength) bytes of text, found \(length)")
    }
    return text
  }

  /// The text at this place, which goes into scripts and pictures: no control characters.
  public func name(maxLength: Int) throws(JSONError) -> String {
    let text = try string(maxLength: maxLength)
    if text.utf8.allSatisfy({ $0 >= 32 && $0 != 127 }) { return text }
    throw fail("expected a name without control characters")
  }

  /// The boolean at this place.
  public func bool() throws(JSONError) -> Bool {
    guard case .bool(let flag) = value else { throw mismatch("a boolean") }
    return flag
  }

  /// The case of an enum whose raw value is the string at this place; the error lists all cases.
  public func stringEnum<T>(_ type: T.Type = T.self) throws(JSONError) -> T
  where T: RawRepresentable & CaseIterable, T.RawValue == String {
    let text = try string()
    guard let found = T(rawValue: text) else {
      let list = T.allCases.map { "'\($0.rawValue)'" }.joined(separator: ", ")
      throw fail("expected one of \(list), found '\(printable(text))'")
    }
    return found
  }
}
