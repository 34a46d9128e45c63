internal import EPCost
public import EPIR
internal import EPModel
internal import EPPlan

/// A published throughput, and the configuration that it belongs to.
public struct MeasuredCase: Hashable, Sendable {
  /// What was measured.
  public enum Phase: String, Hashable, Sendable, CaseIterable {
    /// Tokens of prompts read a second and device.
    case prefill
    /// Tokens made a second and device.
    case decode
    /// Tokens made a second and device where prompts are read by the same devices, at the most load
    /// that fits.
    case aggregated
    /// Mean over largest load of expert ranks.
    case balancedness
  }

  /// The name.
  public var id: String
  /// Who published it.
  public var system: String
  /// The model's file, as the case file names it.
  public var model: String
  /// The kind of device.
  public var hardware: String
  /// What was measured; nil for something else.
  public var phase: Phase?
  /// What was measured: tokens a second and device, or a ratio.
  public var value: Double
  /// Whether a constant of the model was fitted to it.
  public var isFitted: Bool
  /// Why nothing can be predicted, or empty.
  public var excluded: String
  /// Where it was published.
  public var source: String
  private var fields: [String: String]

  /// Reads a case file: a header, then a row for each case; docs/validation.md says what columns
  /// mean.
  public static func read(
    csv bytes: [UInt8], named name: String
  ) throws(Diagnostics) -> [MeasuredCase] {
    let lines = CSV.rows(bytes)
    guard let header = lines.first else { return [] }
    for column in ["id", "system", "model", "hardware", "phase", "value", "excluded", "source"]
    where !header.contains(column) {
      throw Diagnostics("case-file", "there is no column '\(column)'", at: name)
    }
    var cases: [MeasuredCase] = []
    for (index, line) in lines.enumerated().dropFirst() where line != [""] {
      let place = "\(name):\(index + 1)"
      guard line.count == header.count else {
        throw Diagnostics(
          "case-file", "\(line.count) fields under \(header.count) columns", at: place)
      }
      let fields = Dictionary(zip(header, line)) { first, _ in first }
      func text(_ column: String) -> String { fields[column] ?? "" }
      let value = Double(text("value"))
      if text("excluded").isEmpty && Phase(rawValue: text("phase")) != nil
        && !(value ?? 0 > 0)
      {
        throw Diagnostics(
          "case-file", "'\(text("value"))' is no throughput or ratio above 0", at: place)
      }
      cases.append(
        MeasuredCase(
          id: text("id"), system: text("system"), model: text("model"),
          hardware: text("hardware"), phase: Phase(rawValue: text("phase")), value: value ?? 0,
          isFitted: !["", "no"].contains(text("fit")), excluded: text("excluded"),
          source: text("source"),
          fields: fields))
    }
    return cases
  }

  /// A column of text; empty where there is none.
  func text(_ column: String) -> String { fields[column] ?? "" }

  /// A column that is a whole number, or nil where it is empty.
  func size(_ column: String) throws(Diagnostics) -> Int? {
    let text = text(column)
    if text.isEmpty { return nil }
    guard let size = Int(text), size >= 0, size <= 1 << 24 else {
      throw Diagnostics("case-file", "'\(text)' is no \(column) of \(id)")
    }
    return size
  }

  /// A column that must be there.
  func needed(_ column: String) throws(Diagnostics) -> Int {
    guard let size = try size(column), size > 0 else {
      throw Diagnostics("case-file", "\(id) has no \(column)")
    }
    return size
  }

  /// Whether two cases are of one publication and system and differ in these columns, each of them,
  /// and in no other of their configuration.
  func differs(from other: MeasuredCase, inExactly columns: Set<String>) -> Bool {
    let aside: Set<String> = ["id", "value", "fit", "source", "excluded"]
    for (column, value) in fields where !aside.contains(column) {
      if (value != other.text(column)) != columns.contains(column) { return false }
    }
    return true
  }

  /// The configuration, for people.
  public var label: String {
    var parts = ["\(hardware)"]
    for name in ["pp", "dp", "tp", "ep"] where text(name) != "" && text(name) != "1" {
      parts.append("\(name)\(text(name))")
    }
    if text("slots") != "" { parts.append("\(text("slots")) slots") }
    if text("isl") != "" {
      parts.append(text("isl") + (text("osl") == "" ? "" : "+\(text("osl"))"))
    }
    if text("sequences") != "" { parts.append("batch \(text("sequences"))") }
    if text("tokens") != "" { parts.append("\(text("tokens")) tokens") }
    if text("experts") != "" { parts.append(text("experts")) }
    if text("drafts") != "" && text("drafts") != "0" { parts.append("mtp\(text("drafts"))") }
    if text("overlap") == "2" { parts.append("two batches") }
    return parts.joined(separator: " ")
  }
}
