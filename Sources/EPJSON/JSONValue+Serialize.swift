import CJSONC

extension JSONValue {
  /// How a document is laid out.
  public enum Style: Hashable, Sendable, CaseIterable {
    /// No white space at all.
    case compact
    /// Indented by two spaces, short arrays and objects on one line, with a newline at the end.
    case pretty
  }

  /// Writes the document through json-c: the same value always gives the same bytes.
  ///
  /// Keys keep their order. A double is written with the fewest digits that read back as the same
  /// value, and always with a point or an exponent. Throws, naming the path, for a number that is
  /// not finite, a key with U+0000, and nesting beyond `JSONLimits.deepest`.
  public func serialized(style: Style = .compact) throws(JSONError) -> [UInt8] {
    var size = 0
    try checkWritable(.root, depth: 0, size: &size)
    switch style {
    case .compact:
      let root = unsafe try makeTree()
      defer { unsafe _ = json_object_put(root) }
      var text: [UInt8] = []
      unsafe try appendText(of: root, to: &text)
      return text
    case .pretty:
      var layout = PrettyLayout()
      try layout.write(self, indent: 0)
      layout.text.append(0x0A)
      return layout.text
    }
  }

  /// The text of a value that is neither an array nor an object, as json-c writes it.
  func appendScalar(to text: inout [UInt8]) throws(JSONError) {
    let object = unsafe try makeObject()
    defer { unsafe _ = json_object_put(object) }
    unsafe try appendText(of: object, to: &text)
  }

  /// Refuses what json-c would write wrongly: it cuts keys at U+0000, writes `NaN`, and loses text
  /// when its 32-bit buffer overflows.
  private func checkWritable(
    _ path: JSONPath, depth: Int, size: inout Int
  ) throws(JSONError) {
    // The longest escape, `\u0000`, has six bytes for one.
    switch self {
    case .null, .bool, .int: size += 24
    case .double(let number):
      guard number.isFinite else {
        throw JSONError(path: "\(path)", message: "\(number) cannot be written")
      }
      size += 32
    case .string(let text): size += 6 * text.utf8.count + 4
    case .array(let elements):
      try checkDepth(path, depth + 1)
      size += 4
      let link = JSONPath.Link(path)
      for (index, element) in elements.enumerated() {
        try element.checkWritable(.index(link, index), depth: depth + 1, size: &size)
      }
    case .object(let object):
      try checkDepth(path, depth + 1)
      size += 4
      let link = JSONPath.Link(path)
      for member in object.members {
        let child = JSONPath.key(link, member.key)
        if member.key.utf8.contains(0) {
          throw JSONError(path: "\(child)", message: "U+0000 is not supported in a key")
        }
        size += 6 * member.key.utf8.count + 4
        try member.value.checkWritable(child, depth: depth + 1, size: &size)
      }
    }
    if size > JSONLimits.largest {
      throw JSONError(path: "\(path)", message: "the document is too large to be written")
    }
  }
}

private func checkDepth(_ path: JSONPath, _ depth: Int) throws(JSONError) {
  if depth > JSONLimits.deepest {
    throw JSONError(path: "\(path)", message: "nested deeper than \(JSONLimits.deepest) levels")
  }
}

// MARK: json-c

private let outOfMemory = JSONError(path: "$", message: "out of memory")

extension JSONValue {
  /// The whole value as a json-c tree that the caller frees.
  private func makeTree() throws(JSONError) -> OpaquePointer? {
    let root = unsafe try makeObject()
    do {
      unsafe try fill(root)
    } catch {
      unsafe _ = json_object_put(root)
      throw error
    }
    return unsafe root
  }

  /// One json-c object: the scalar, or an array or object still empty; nil for `null`.
  private func makeObject() throws(JSONError) -> OpaquePointer? {
    let object: OpaquePointer?
    switch self {
    case .null: return nil
    case .bool(let flag): unsafe object = json_object_new_boolean(flag ? 1 : 0)
    case .int(let number): unsafe object = json_object_new_int64(Int64(number))
    case .double(let number): unsafe object = json_object_new_double_s(number, "\(number)")
    case .string(let text):
      unsafe object = json_object_new_string_len(text, Int32(text.utf8.count))
    case .array: unsafe object = json_object_new_array()
    case .object: unsafe object = json_object_new_object()
    }
    guard let object = unsafe object else { throw outOfMemory }
    return unsafe object
  }

  /// Adds the members; each child belongs to its parent before it is filled, so that freeing the
  /// root frees everything at any moment.
  private func fill(_ target: OpaquePointer?) throws(JSONError) {
    switch self {
    case .null, .bool, .int, .double, .string: return
    case .array(let elements):
      for element in elements {
        let child = unsafe try element.makeObject()
        guard unsafe json_object_array_add(target, child) == 0 else {
          unsafe _ = json_object_put(child)
          throw outOfMemory
        }
        unsafe try element.fill(child)
      }
    case .object(let object):
      for member in object.members {
        let child = unsafe try member.value.makeObject()
        let options = UInt32(JSON_C_OBJECT_ADD_KEY_IS_NEW)
        guard unsafe json_object_object_add_ex(target, member.key, child, options) == 0 else {
          unsafe _ = json_object_put(child)
          throw outOfMemory
        }
        unsafe try member.value.fill(child)
      }
    }
  }
}

private func appendText(of object: OpaquePointer?, to text: inout [UInt8]) throws(JSONError) {
  var length = 0
  let flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE
  guard let start = unsafe json_object_to_json_string_length(object, flags, &length) else {
    throw outOfMemory
  }
  unsafe text.append(contentsOf: UnsafeRawBufferPointer(start: start, count: length))
}
