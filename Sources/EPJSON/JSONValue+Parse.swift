import CJSONC

extension JSONValue {
  /// Reads a document: exactly one JSON value, as RFC 8259 has it, with unique keys.
  ///
  /// The text is checked first and then parsed by json-c. The error names the line, the column and
  /// the JSON path. Integers must fit `Int`, other numbers must be finite as `Double`.
  public static func parse(
    bytes: [UInt8], limits: JSONLimits = JSONLimits()
  ) throws(JSONError) -> JSONValue {
    if bytes.count > limits.maxBytes {
      throw JSONError(path: "$", message: "the text is longer than \(limits.maxBytes) bytes")
    }
    do {
      var lexer = Lexer(bytes, maxDepth: limits.maxDepth)
      let range = try lexer.document()
      return try tokenize(
        bytes, range, depth: limits.maxDepth, objects: lexer.objects, isASCII: lexer.isASCII)
    } catch {
      throw Locator(bytes: bytes).error(for: error)
    }
  }

  /// Parses a range that the lexer has accepted by json-c.
  static func tokenize(
    _ bytes: [UInt8], _ range: Range<Int>, depth: Int, objects: [Lexer.ObjectMark], isASCII: Bool
  ) throws(Fault) -> JSONValue {
    // json-c counts the level of a scalar too, and needs one of its own.
    guard let tokener = unsafe json_tokener_new_ex(Int32(depth + 2)) else {
      throw Fault("out of memory", at: range.lowerBound)
    }
    defer { unsafe json_tokener_free(tokener) }
    unsafe json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8)
    var root = unsafe bytes.withUnsafeBytes { (text) -> OpaquePointer? in
      let base = unsafe text.baseAddress?.advanced(by: range.lowerBound)
      return unsafe json_tokener_parse_ex(
        tokener, base?.assumingMemoryBound(to: CChar.self), Int32(range.count))
    }
    if unsafe json_tokener_get_error(tokener) == json_tokener_continue {
      // A number at the root ends only where the text does.
      unsafe root = json_tokener_parse_ex(tokener, [0], 1)
    }
    defer { unsafe _ = json_object_put(root) }
    let status = unsafe json_tokener_get_error(tokener)
    guard status == json_tokener_success else {
      let reason = unsafe String(cString: json_tokener_error_desc(status))
      throw Fault("refused by json-c: \(reason)", at: range.lowerBound)
    }
    var importer = Importer(bytes: bytes, objects: objects, isASCII: isASCII)
    return unsafe try importer.value(root)
  }
}

/// Copies a json-c tree into values, and notices members that json-c has dropped.
private struct Importer {
  let bytes: [UInt8]
  let objects: [Lexer.ObjectMark]
  let isASCII: Bool
  /// The mark of the next object; objects are met in the order of their opening braces.
  var next = 0

  mutating func value(_ source: OpaquePointer?) throws(Fault) -> JSONValue {
    switch unsafe json_object_get_type(source) {
    case json_type_null: return .null
    case json_type_boolean: return unsafe .bool(json_object_get_boolean(source) != 0)
    case json_type_int: return unsafe .int(Int(json_object_get_int64(source)))
    case json_type_double: return unsafe .double(json_object_get_double(source))
    case json_type_string:
      let count = unsafe Int(json_object_get_string_len(source))
      let text = unsafe UnsafeRawBufferPointer(start: json_object_get_string(source), count: count)
      return unsafe .string(String(decoding: text, as: UTF8.self))
    case json_type_array:
      let count = unsafe json_object_array_length(source)
      var elements: [JSONValue] = []
      elements.reserveCapacity(count)
      for index in 0..<count {
        elements.append(unsafe try value(json_object_array_get_idx(source, index)))
      }
      return .array(elements)
    case json_type_object: return unsafe .object(try object(source))
    default: throw Fault("refused by json-c: unknown type", at: 0)
    }
  }

  private mutating func object(_ source: OpaquePointer?) throws(Fault) -> JSONObject {
    let count = unsafe Int(json_object_object_length(source))
    guard next < objects.count else { throw Fault("refused by json-c: unknown object", at: 0) }
    let mark = objects[next]
    next += 1
    guard count == mark.members else {
      throw Locator(bytes: bytes).duplicateKey(inObjectAt: Int(mark.offset))
    }
    var members: [JSONObject.Member] = []
    members.reserveCapacity(count)
    var member = unsafe json_object_iter_begin(source)
    var end = unsafe json_object_iter_end(source)
    while unsafe json_object_iter_equal(&member, &end) == 0 {
      let key = unsafe String(cString: json_object_iter_peek_name(&member))
      let child = unsafe try value(json_object_iter_peek_value(&member))
      members.append(JSONObject.Member(key: key, value: child))
      unsafe json_object_iter_next(&member)
    }
    // json-c tells keys apart by their bytes, Swift by canonical equivalence.
    if !isASCII && Set(members.lazy.map(\.key)).count != count {
      throw Locator(bytes: bytes).duplicateKey(inObjectAt: Int(mark.offset))
    }
    return JSONObject(unique: members)
  }
}
