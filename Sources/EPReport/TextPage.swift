/// Lines of a terminal page: headings, named fields, tables and bars.
struct TextPage {
  /// How a piece of text is shown where colour is wanted.
  enum Style: String {
    case plain = ""
    case bold = "1"
    case dim = "2"
    case red = "31"
    case green = "32"
    case yellow = "33"
    case blue = "34"
    case magenta = "35"
    case cyan = "36"
  }

  /// A piece of a line. Its text must be printable.
  struct Cell {
    var text: String
    var style: Style
    var isRight: Bool
    /// Columns of a bar that are left empty, shown as dots; only in the last column.
    var track: Int

    init(_ text: String, _ style: Style = .plain, right: Bool = false, track: Int = 0) {
      self.text = text
      self.style = style
      isRight = right
      self.track = track
    }
  }

  /// Columns that lines should not pass.
  let width: Int
  /// Whether to write ANSI colours.
  let colour: Bool
  /// The lines so far.
  private(set) var lines: [String] = []

  /// Starts a page; a terminal narrower than 40 columns is treated as one of 40.
  init(width: Int, colour: Bool) {
    self.width = max(width, 40)
    self.colour = colour
  }

  /// The page, every line ended.
  var text: String { lines.map { $0 + "\n" }.joined() }

  private func painted(_ text: String, _ style: Style) -> String {
    colour && style != .plain && !text.isEmpty
      ? "\u{1b}[\(style.rawValue)m\(text)\u{1b}[0m" : text
  }

  /// An empty line, unless the page is empty.
  mutating func gap() { if !lines.isEmpty { lines.append("") } }

  /// A line that titles what follows.
  mutating func heading(_ text: String, rest: String = "") {
    let title = painted(Escaping.shortened(text, to: width), .bold)
    lines.append(rest.isEmpty ? title : title + "  " + painted(rest, .dim))
  }

  /// `name   value`, the value wrapped at spaces below itself.
  mutating func field(_ name: String, _ value: String, column: Int = 12) {
    let label = name + String(repeating: " ", count: max(column - name.count, 1))
    for (index, line) in wrapped(value, to: width - column - 3).enumerated() {
      let start = index == 0 ? painted(label, .dim) : String(repeating: " ", count: column)
      lines.append("  \(start) \(line)")
    }
  }

  /// A sentence with a bullet, wrapped.
  mutating func item(_ text: String) {
    for (index, line) in wrapped(text, to: width - 4).enumerated() {
      lines.append((index == 0 ? "  - " : "    ") + line)
    }
  }

  /// Rows whose columns line up; the last column may be as long as it likes.
  mutating func table(_ rows: [[Cell]], indent: Int = 4) {
    let columns = rows.map(\.count).max() ?? 0
    let widths = (0..<columns).map { column in
      rows.map { $0.indices.contains(column) ? $0[column].text.count : 0 }.max() ?? 0
    }
    for row in rows {
      var line = String(repeating: " ", count: indent)
      var pending = 0
      for (column, cell) in row.enumerated() {
        let space = widths[column] - cell.text.count
        if !cell.text.isEmpty {
          line += String(repeating: " ", count: pending + (cell.isRight ? space : 0))
          line += painted(cell.text, cell.style)
          pending = (cell.isRight ? 0 : space) + 2
        } else {
          pending += widths[column] + 2
        }
        if cell.track > 0 {
          if cell.text.isEmpty {
            line += String(repeating: " ", count: pending - widths[column] - 2)
          }
          line += painted(String(repeating: "·", count: cell.track), .dim)
        }
      }
      lines.append(line)
    }
  }

  private func wrapped(_ text: String, to most: Int) -> [String] {
    var result = [""]
    for word in text.split(separator: " ") {
      if result[result.count - 1].isEmpty {
        result[result.count - 1] = String(word)
      } else if result[result.count - 1].count + 1 + word.count <= most {
        result[result.count - 1] += " " + word
      } else {
        result.append(String(word))
      }
    }
    return result
  }

  /// A bar of at most `most` columns, in eighths of a column; what is there shows at least a sliver.
  static func bar(_ part: Int, of whole: Int, most: Int) -> String {
    guard part > 0, whole > 0, most > 0 else { return "" }
    let exact = Double(part) / Double(whole) * Double(most) * 8
    let eighths = min(max(Int(min(exact, 1e9).rounded()), 1), most * 8)
    let partial = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
    return String(repeating: "█", count: eighths / 8) + partial[eighths % 8]
  }
}
