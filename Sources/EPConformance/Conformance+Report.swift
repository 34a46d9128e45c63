public import EPModel

extension Conformance {
  /// How many rows ended which way.
  public static func count(_ rows: [Row]) -> (passed: Int, unsupported: Int, failed: Int) {
    rows.reduce(into: (0, 0, 0)) { count, row in
      switch row.outcome {
      case .passed: count.0 += 1
      case .unsupported: count.1 += 1
      case .failed: count.2 += 1
      }
    }
  }

  /// A row as people read it.
  public static func line(_ row: Row) -> String {
    let (word, note): (String, String)
    switch row.outcome {
    case .passed: (word, note) = ("passed", "")
    case .unsupported(let reason): (word, note) = ("unsupported", reason)
    case .failed(let problem): (word, note) = ("FAILED", problem)
    }
    var text = pad(row.group, 12) + pad(row.name, 46) + pad(word, 12)
    if let error = row.error, let bound = row.bound {
      text += pad(short(error), 9) + "of " + pad(short(bound), 8)
    }
    text += note
    while text.last == " " { text.removeLast() }
    return text + "\n"
  }

  /// All rows as data.
  public static func document(_ rows: [Row], backend: String, precision: Precision) -> Document {
    let count = count(rows)
    return .object([
      "backend": .text(backend), "precision": .text(precision.rawValue),
      "passed": .int(count.passed), "unsupported": .int(count.unsupported),
      "failed": .int(count.failed),
      "rows": .list(
        rows.map { row in
          let (word, note): (String, String?)
          switch row.outcome {
          case .passed: (word, note) = ("passed", nil)
          case .unsupported(let reason): (word, note) = ("unsupported", reason)
          case .failed(let problem): (word, note) = ("failed", problem)
          }
          return .object([
            "group": .text(row.group), "name": .text(row.name), "outcome": .text(word),
            "note": note.map(Document.text), "cases": .int(row.cases),
            "error": row.error.flatMap(Document.finite), "bound": row.bound.map(Document.real),
          ])
        }),
    ])
  }

  private static func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(width - text.count, 1))
  }

  /// One digit and the power of ten.
  private static func short(_ value: Double) -> String {
    if value == 0 { return "0" }
    if !value.isFinite { return "\(value)" }
    var (digit, power) = (value, 0)
    while digit >= 9.5 { (digit, power) = (digit / 10, power + 1) }
    while digit < 0.95 { (digit, power) = (digit * 10, power - 1) }
    return "\(Int(digit.rounded()))e\(power)"
  }
}
