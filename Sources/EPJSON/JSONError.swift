/// Why a document could not be read or written, and where.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The file, when the failure is one of reading or writing it.
  public var file: String?
  /// The JSON path of the offending element, such as `$.pools[0].mesh.ep`; empty for a file.
  public var path: String
  /// The line in the text, from 1, when the text is at fault.
  public var line: Int?
  /// The column in the line, from 1 and in Unicode scalars, when the text is at fault.
  public var column: Int?
  /// What is wrong: one phrase in lower case, without a full stop.
  public var message: String

  /// Makes an error.
  public init(
    path: String, message: String, line: Int? = nil, column: Int? = nil, file: String? = nil
  ) {
    self.path = path
    self.message = message
    self.line = line
    self.column = column
    self.file = file
  }

  /// The parts that are known, in the order `file:line:column: path: message`.
  public var description: String {
    var text = ""
    if let file { text += "\(file):" }
    if let line, let column { text += "\(line):\(column):" }
    if !text.isEmpty { text += " " }
    if !path.isEmpty { text += "\(path): " }
    return text + message
  }
}

/// What the lexer or json-c objects to, as an offset into the text.
struct Fault: Error {
  /// The byte that is wrong.
  var offset: Int
  /// The byte at which the path is taken, when it is not the same.
  var pathOffset: Int?
  /// The phrase for `JSONError.message`.
  var message: String

  init(_ message: String, at offset: Int, pathAt pathOffset: Int? = nil) {
    self.offset = offset
    self.pathOffset = pathOffset
    self.message = message
  }
}
