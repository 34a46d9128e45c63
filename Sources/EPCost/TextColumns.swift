/// Columns of text: numbers to the right, words to the left.
package struct TextColumns {
  private var rows: [[String]]
  private let right: Set<Int>

  package init(_ titles: [String], right: Set<Int>, rows: [[String]] = []) {
    self.rows = [titles] + rows
    self.right = right
  }

  package mutating func add(_ cells: [String]) { rows.append(cells) }

  /// The lines, each ended and none ending in spaces.
  package var text: String {
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    return rows.map { row in
      var line = row.indices.map { column in
        let space = String(repeating: " ", count: widths[column] - row[column].count)
        return right.contains(column) ? space + row[column] : row[column] + space
      }.joined(separator: "  ")
      while line.last == " " { line.removeLast() }
      return line + "\n"
    }.joined()
  }
}
