package import EPModel

/// Rows under columns, which become a table for people and plain data.
package struct ReportTable {
  /// What a row has under a column: what people see, and the same as data.
  package struct Cell {
    var text: String
    var document: Document?

    /// A cell; without data it is for people alone.
    package init(_ text: String, _ document: Document?) {
      (self.text, self.document) = (text, document)
    }

    package static func text(_ text: String) -> Self { Self(text, .text(text)) }
    package static func flag(_ flag: Bool) -> Self { Self(flag ? "yes" : "no", .flag(flag)) }
    package static func count(_ count: Int) -> Self { Self("\(count)", .int(count)) }
    /// A number, which people see times a factor.
    package static func number(_ value: Double, _ digits: Int = 0, by factor: Double = 1) -> Self {
      Self((value * factor).text(digits), .finite(value))
    }
    package static func share(_ share: Double, _ digits: Int = 0) -> Self {
      Self((share * 100).text(digits) + " %", .finite(share))
    }
    /// Predicted over measured, less one.
    package static func error(_ error: Double) -> Self { Self(error.signedPercent, .finite(error)) }
    package static func interval(_ figure: Figure, by factor: Double = 1) -> Self {
      Self(
        "\((figure.lower * factor).text(0)) - \((figure.upper * factor).text(0))",
        .object(["lower": .real(figure.lower), "upper": .real(figure.upper)]))
    }
  }

  /// A column: its title for people, its key in data, and what rows have under it.
  package struct Column<Row> {
    var (title, key) = ("", "")
    var isFigure: Bool
    var cell: (Row) -> Cell?

    package static func words(
      _ title: String, _ key: String, _ cell: @escaping (Row) -> Cell?
    ) -> Self { Self(title: title, key: key, isFigure: false, cell: cell) }

    package static func figure(
      _ title: String, _ key: String, _ cell: @escaping (Row) -> Cell?
    ) -> Self { Self(title: title, key: key, isFigure: true, cell: cell) }
  }

  private var lines: [[String]]
  private var isFigure: [Bool]
  /// The rows as plain data: a list of objects, without what a row has not.
  package let document: Document

  init<Row>(_ rows: [Row], _ columns: [Column<Row>]) {
    let cells = rows.map { row in columns.map { $0.cell(row) } }
    lines = [columns.map(\.title)] + cells.map { $0.map { $0?.text ?? "" } }
    isFigure = columns.map(\.isFigure)
    document = .list(
      cells.map { cells in
        .object(
          zip(columns, cells).compactMap { column, cell in
            cell?.document.map { Document.Field(name: column.key, value: $0) }
          })
      })
  }

  /// The table in Markdown.
  package var markdown: String {
    var lines = lines.map { "| \($0.joined(separator: " | ")) |\n" }
    lines.insert("|" + isFigure.map { $0 ? "--:|" : "---|" }.joined() + "\n", at: 1)
    return lines.joined()
  }

  /// The table in columns of even width.
  package var aligned: String {
    TextColumns(lines[0], right: [], rows: Array(lines.dropFirst())).text
  }
}

extension Array {
  /// The elements as rows of a table.
  package func table(_ columns: [ReportTable.Column<Element>]) -> ReportTable {
    ReportTable(self, columns)
  }
}
