public import EPModel

extension Function {
  /// Reads what `text()` writes. Blank lines and `//` comments may stand anywhere.
  ///
  /// - Throws: `OpError` naming the line that cannot be read.
  public init(parsing text: String) throws(OpError) {
    self.init("")
    var isOpen = false
    var isClosed = false
    for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated()
    {
      var scanner = Scanner(Scanner.withoutComment(line))
      if scanner.isAtEnd { continue }
      do throws(OpError) {
        if isClosed { throw OpError("nothing comes after '}'") }
        if !isOpen {
          try parseHeader(&scanner)
          isOpen = true
        } else if scanner.take("}") {
          isClosed = true
        } else {
          try parseLine(&scanner)
        }
        if !scanner.isAtEnd { throw OpError("'\(scanner.rest)' is left over") }
      } catch { throw OpError("line \(number + 1): \(error.description)") }
    }
    if !isClosed { throw OpError("the function does not end with '}'") }
  }

  private mutating func setType(_ value: Int, _ type: TensorType) throws(OpError) {
    if value > values.count { throw OpError("%\(value) comes before %\(values.count)") }
    if value == values.count { values.append(type) } else { values[value] = type }
  }

  private mutating func parseHeader(_ scanner: inout Scanner) throws(OpError) {
    try scanner.expect("func")
    name = scanner.word()
    try scanner.expect("(")
    while !scanner.take(")") {
      let value = try scanner.value()
      let port = scanner.word()
      try scanner.expect(":")
      try setType(value, try scanner.type())
      parameters.append(Port(port, value))
      _ = scanner.take(",")
    }
    try scanner.expect("->")
    try scanner.expect("(")
    while !scanner.take(")") {
      let value = try scanner.value()
      results.append(Port(scanner.word(), value))
      _ = scanner.take(",")
    }
    try scanner.expect("{")
  }

  private mutating func parseLine(_ scanner: inout Scanner) throws(OpError) {
    if scanner.take("@") {
      _ = try scanner.int()
      try scanner.expect("=")
      try scanner.expect("weight")
      weights.append(try scanner.weight())
      return
    }
    if scanner.take("$") {
      _ = try scanner.int()
      try scanner.expect("=")
      try scanner.expect("cache")
      caches.append(try scanner.cache())
      return
    }
    var results: [Int] = []
    while scanner.peek("%") {
      let value = try scanner.value()
      try scanner.expect(":")
      try setType(value, try scanner.type())
      results.append(value)
      if !scanner.take(",") { try scanner.expect("=") }
    }
    let kindName = scanner.word()
    guard let kind = OpKind(rawValue: kindName) else {
      throw OpError("'\(kindName)' is no operation")
    }
    var operation = Operation(kind, [], results: results)
    try scanner.expect("(")
    while !scanner.take(")") {
      let role = scanner.word()
      try scanner.expect(":")
      operation.operands.append(Operand(role, try scanner.reference()))
      _ = scanner.take(",")
    }
    if scanner.take("{") {
      while !scanner.take("}") {
        let name = scanner.word()
        try scanner.expect(":")
        operation.attributes[name] = try scanner.attribute()
        _ = scanner.take(",")
      }
    }
    if scanner.take("in") { operation.scope = try scanner.quotedText() }
    if scanner.take("at") { operation.location = try scanner.int() }
    operations.append(operation)
  }
}

/// Reads the textual IR from left to right, skipping spaces.
struct Scanner {
  var rest: Substring

  init(_ text: Substring) { rest = text }

  /// The line up to a `//` that does not stand inside a quoted text.
  static func withoutComment(_ line: Substring) -> Substring {
    var isQuoted = false
    var previous: Character?
    for index in line.indices {
      let character = line[index]
      if character == "\"" { isQuoted.toggle() }
      if !isQuoted && character == "/" && previous == "/" {
        return line[line.startIndex..<line.index(before: index)]
      }
      previous = character
    }
    return line
  }

  mutating func skipSpaces() { rest = rest.drop { $0 == " " || $0 == "\t" || $0 == "\r" } }

  var isAtEnd: Bool {
    mutating get {
      skipSpaces()
      return rest.isEmpty
    }
  }

  mutating func peek(_ token: String) -> Bool {
    skipSpaces()
    return rest.hasPrefix(token)
  }

  mutating func take(_ token: String) -> Bool {
    if !peek(token) { return false }
    rest = rest.dropFirst(token.count)
    return true
  }

  mutating func expect(_ token: String) throws(OpError) {
    if !take(token) { throw OpError("expected '\(token)' before '\(rest.prefix(24))'") }
  }

  mutating func word() -> String {
    skipSpaces()
    let word = rest.prefix { $0.isLetter || $0.isNumber || $0 == "_" || $0 == "." || $0 == "-" }
    rest = rest.dropFirst(word.count)
    return String(word)
  }

  mutating func int() throws(OpError) -> Int {
    let word = self.word()
    guard let value = Int(word) else { throw OpError("'\(word)' is no integer") }
    return value
  }

  mutating func value() throws(OpError) -> Int {
    try expect("%")
    let value = try int()
    if value < 0 || value >= Function.mostParts { throw OpError("%\(value) is out of range") }
    return value
  }

  mutating func reference() throws(OpError) -> Reference {
    skipSpaces()
    let mark = rest.prefix(1)
    rest = rest.dropFirst()
    return try Reference(parsing: mark + word())
  }

  mutating func type() throws(OpError) -> TensorType {
    skipSpaces()
    guard let end = rest.firstIndex(of: "]") else { throw OpError("a type ends with ']'") }
    let text = rest[...end]
    rest = rest[rest.index(after: end)...]
    return try TensorType(parsing: String(text))
  }

  mutating func quotedText() throws(OpError) -> String {
    try expect("\"")
    guard let end = rest.firstIndex(of: "\"") else { throw OpError("a text ends with '\"'") }
    let text = rest[..<end]
    rest = rest[rest.index(after: end)...]
    return String(text)
  }

  mutating func attribute(depth: Int = 0) throws(OpError) -> Attribute {
    if depth > 8 { throw OpError("lists are nested too deep") }
    if peek("\"") { return .text(try quotedText()) }
    if take("[") {
      var values: [Attribute] = []
      while !take("]") {
        values.append(try attribute(depth: depth + 1))
        _ = take(",")
      }
      return .list(values)
    }
    skipSpaces()
    let token = rest.prefix { !", ]})".contains($0) }
    rest = rest.dropFirst(token.count)
    switch token {
    case "true": return .flag(true)
    case "false": return .flag(false)
    default:
      if let value = Int(token) { return .int(value) }
      if let value = Double(token) { return .real(value) }
      throw OpError("'\(token)' is no attribute")
    }
  }

  mutating func weight() throws(OpError) -> WeightDeclaration {
    let name = try quotedText()
    let roleName = word()
    guard let role = WeightDeclaration.Role(rawValue: roleName) else {
      throw OpError("'\(roleName)' is no role of a weight")
    }
    var weight = WeightDeclaration(
      name, axes: try type().axes, role: role, stored: [StoredTensor(name)])
    if take("stored") {
      weight.stored = []
      if !take("nowhere") {
        repeat { weight.stored.append(try storedTensor()) } while take("|")
      }
    }
    if take("=") {
      guard case .list(let rows) = try attribute() else { throw OpError("constants are a list") }
      for case .list(let row) in rows {
        weight.constants.append(
          row.map { if case .real(let value) = $0 { return value } else { return 0 } })
      }
    }
    return weight
  }

  private mutating func storedTensor() throws(OpError) -> StoredTensor {
    var tensor = StoredTensor(try quotedText())
    tensor.transposed = take("transposed")
    if take("rows(") {
      let start = try int()
      try expect(",")
      let count = try int()
      try expect(",")
      tensor.rows = .range(start: start, count: count, total: try int())
      try expect(")")
    } else if take("interleaved(") {
      let index = try int()
      try expect(",")
      tensor.rows = .interleaved(index: index, stride: try int())
      try expect(")")
    }
    return tensor
  }

  mutating func cache() throws(OpError) -> CacheDeclaration {
    let name = try quotedText()
    let kindName = word()
    guard let kind = CacheDeclaration.Kind(rawValue: kindName) else {
      throw OpError("'\(kindName)' is no kind of cache")
    }
    var cache = CacheDeclaration(name, kind: kind, parts: [])
    while peek("[") { cache.parts.append(try type().axes) }
    if take("window") { cache.window = try int() }
    return cache
  }
}
