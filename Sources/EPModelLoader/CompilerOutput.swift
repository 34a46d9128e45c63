/// What the compiler wrote, cut into diagnostics, so that those about the generated entry point can
/// be told apart: the user did not write that file and should not hear of it.
struct CompilerOutput {
  private struct Diagnostic {
    enum Kind { case error, other }
    var kind: Kind
    var isAboutEntryPoint: Bool
    var message: Substring
    var lines: [Substring]
  }

  private let text: String
  private var preamble: [Substring] = []
  private var diagnostics: [Diagnostic] = []

  init(_ text: String, entryPoint: String) {
    self.text = text
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if let (path, severity, message) = Self.parse(line) {
        var about = path == entryPoint
        // A note belongs to what it follows, wherever it points.
        if severity == "note", let last = diagnostics.last { about = last.isAboutEntryPoint }
        diagnostics.append(
          Diagnostic(
            kind: severity == "error" ? .error : .other, isAboutEntryPoint: about,
            message: message, lines: [line]))
      } else if diagnostics.isEmpty {
        preamble.append(line)
      } else {
        diagnostics[diagnostics.count - 1].lines.append(line)
      }
    }
  }

  /// The text, verbatim but for diagnostics about the entry point.
  var withoutEntryPoint: String {
    guard diagnostics.contains(where: \.isAboutEntryPoint) else { return text }
    let kept = diagnostics.filter { !$0.isAboutEntryPoint }.flatMap(\.lines)
    return (preamble + kept).joined(separator: "\n")
  }

  /// The error that a failed compilation amounts to.
  func error(for path: String) -> ModelLoadError {
    let errors = diagnostics.filter { $0.kind == .error }
    guard let first = errors.first, errors.allSatisfy(\.isAboutEntryPoint) else {
      return .compileErrors(path, text: withoutEntryPoint)
    }
    if first.message.hasPrefix("cannot find 'model' in scope") { return .noModel(path) }
    if first.message.hasPrefix("'model' is inaccessible") { return .privateModel(path) }
    if first.message.hasPrefix("cannot convert value of type '"),
      let type = first.message.dropFirst("cannot convert value of type '".count)
        .split(separator: "'").first
    {
      return .notAModel(path, type: String(type))
    }
    return .compileErrors(path, text: text)
  }

  /// Splits `path:line:column: severity: message`.
  private static func parse(_ line: Substring) -> (Substring, Substring, Substring)? {
    for severity in ["error", "warning", "note"] {
      guard let range = line.firstRange(of: ": \(severity): ") else { continue }
      let location = line[..<range.lowerBound].split(
        separator: ":", omittingEmptySubsequences: false)
      guard location.count >= 3, Int(location[location.count - 1]) != nil,
        Int(location[location.count - 2]) != nil
      else { continue }
      let path = location.dropLast(2).joined(separator: ":")
      return (path[...], severity[...], line[range.upperBound...])
    }
    return nil
  }
}
