/// Columns of text, aligned to the right.
struct TextTable {
  private var rows: [[String]]

  init(columns: [String]) { rows = [columns] }

  mutating func add(_ cells: [String]) { rows.append(cells) }

  /// The lines, each ended.
  var text: String {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var text = ""
    for row in rows {
      let cells = row.indices.map { column in
        String(repeating: " ", count: widths[column] - row[column].count) + row[column]
      }
      text += cells.joined(separator: "  ") + "\n"
    }
    return text
  }
}

/// A number with a fixed number of decimals, rounded half away from zero.
func fixed(_ value: Double, _ decimals: Int) -> String {
  guard value.isFinite, value.magnitude < 1e15 else { return "\(value)" }
  var scale = 1.0
  for _ in 0..<decimals { scale *= 10 }
  let scaled = Int((value.magnitude * scale).rounded())
  let sign = value < 0 && scaled > 0 ? "-" : ""
  if decimals == 0 { return sign + "\(scaled)" }
  let fraction = String(scaled % Int(scale))
  return sign + "\(scaled / Int(scale))."
    + String(repeating: "0", count: decimals - fraction.count) + fraction
}

/// Bytes in GiB, with as many decimals as they need.
func gibibytes(_ bytes: Int) -> String {
  let value = Double(bytes) / 0x1p30
  return fixed(value, value < 10 ? 3 : 1)
}
