import EPHuggingFace
import EPJSON
import Foundation
import Testing

/// What becomes of configs, against lists that are kept.
///
/// `EPC_UPDATE_GOLDENS=1` rewrites the lists.
@Suite struct OutcomeTests {
  private let updates = ProcessInfo.processInfo.environment["EPC_UPDATE_GOLDENS"] == "1"
  private let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent()

  @Test func outcomesOfFixturesAreTheKeptOnes() throws {
    let folder = root.appending(path: "Fixtures")
    let lines = try files(below: folder.path) { $0.hasSuffix(".json") }.map { name in
      let bytes = try [UInt8](Data(contentsOf: folder.appending(path: name)))
      return "\(name): \(HuggingFaceImport.outcome(ofBytes: bytes).text)\n"
    }
    try compare(lines.joined(), with: root.appending(path: "Fixtures/outcomes.txt"))
  }

  /// The table of docs/imports.md, which needs all configs.
  @Test(.enabled(if: references != nil && published != nil))
  func tableOfTheDocumentIsCurrent() throws {
    let document = root.deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "docs/imports.md")
    let text = try String(contentsOf: document, encoding: .utf8)
    let mark = "<!-- the rest is written by OutcomeTests -->\n"
    let head = try #require(text.range(of: mark))
    var table = "\n| config | outcome |\n| --- | --- |\n"
    for (root, title, all) in [
      (published, "published", publishedConfigs), (references, "references", referenceConfigs),
    ] {
      for path in all {
        let bytes = try [UInt8](Data(contentsOf: URL(fileURLWithPath: "\(root ?? "")/\(path)")))
        let outcome = HuggingFaceImport.outcome(ofBytes: bytes)
        table += "| \(title)/\(path) | \(outcome.text.replacing("|", with: "\\|")) |\n"
      }
    }
    try compare(text[..<head.upperBound] + table, with: document)
  }

  private func compare(_ text: String, with file: URL) throws {
    if updates { return try text.write(to: file, atomically: true, encoding: .utf8) }
    let kept = try String(contentsOf: file, encoding: .utf8)
    for (line, expected) in zip(text.split(separator: "\n"), kept.split(separator: "\n")) {
      #expect(line == expected)
    }
    #expect(text.count == kept.count)
  }
}
