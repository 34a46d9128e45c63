import Foundation
import Testing

/// What the documents show is what the command prints.
@Suite struct DocumentTests {
  private static let package = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()

  private static func read(_ file: String) throws -> String {
    try String(contentsOf: package.appending(path: file), encoding: .utf8)
  }

  /// The fenced blocks of a document: what stands behind the fence, and the text.
  private static func blocks(_ text: String) -> [(kind: String, text: String)] {
    let parts = ("\n" + text).components(separatedBy: "\n```")
    return stride(from: 1, to: parts.count, by: 2).map { index in
      let lines = parts[index].split(
        separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
      return (String(lines[0]), lines.count > 1 ? String(lines[1]) : "")
    }
  }

  /// Lines without blanks at their ends, and without empty ones at the end of all.
  private static func lines(_ text: String) -> [String] {
    var lines = text.components(separatedBy: "\n").map { line in
      String(line.reversed().drop { $0 == " " }.reversed())
    }
    while lines.last == "" { lines.removeLast() }
    return lines
  }

  /// `scripts/reference docs` makes the page anew.
  @Test func theHelpOfEveryCommandIsInItsPage() throws {
    let page = try Self.read("docs/commands.md").components(separatedBy: "\n## epc ").dropFirst()
    #expect(page.count >= 20)
    for section in page {
      let name = section.prefix { $0 != "\n" }
      let run = try epc(
        name.split(separator: " ").map(String.init) + ["--help"], environment: ["COLUMNS": "100"])
      #expect(Self.lines(Self.blocks(section)[0].text) == Self.lines(run.output), "epc \(name)")
    }
  }

  /// Every command behind a `$` in these documents prints what stands below it, but for measured times.
  @Test(arguments: ["README.md", "docs/tutorial.md"])
  func commandsPrintWhatTheDocumentShows(document: String) throws {
    let scratch = try Scratch()
    for folder in ["models", "plugins"] {
      try FileManager.default.createSymbolicLink(
        atPath: scratch.path(folder),
        withDestinationPath: Self.package.appending(path: folder).path())
    }
    let blocks = Self.blocks(try Self.read(document))
    let model = try #require(blocks.first { $0.kind == "swift" }).text
    try Data(model.utf8).write(to: URL(filePath: scratch.path("mini.swift")))
    try Data(model.replacing("topK: 4", with: "topK: 40").utf8)
      .write(to: URL(filePath: scratch.path("wrong.swift")))
    var count = 0
    for block in blocks where block.kind.isEmpty {
      for part in ("\n" + block.text).components(separatedBy: "\n$ epc ").dropFirst() {
        let shown = Self.lines(part.components(separatedBy: "\n$ ")[0])
        let arguments = shown[0].split(separator: " ").map(String.init)
        // The reference kernels that '--check' compares with take their time.
        if arguments.contains("--check") { continue }
        count += 1
        let run = try epc(arguments, directory: scratch.path(""))
        let printed = Self.lines(run.output + run.errors)
        if arguments[0] == "exec" {
          let tokens = { (lines: [String]) in lines.filter { $0.hasPrefix("prompt ") } }
          #expect(tokens(printed) == tokens(shown) && !tokens(printed).isEmpty, "\(arguments)")
        } else if shown.count == 2 {
          // The end of what is printed.
          #expect(printed.last == shown[1], "\(arguments)")
        } else {
          #expect(printed == Array(shown.dropFirst()), "\(arguments)")
        }
      }
    }
    #expect(count >= 3)
  }
}
