import EPModel
import Foundation
import Testing

@Suite struct DocumentationTests {
  private static func page(_ name: String) throws -> String {
    let folder = URL(filePath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().appending(path: "docs")
    return try String(contentsOf: folder.appending(path: name), encoding: .utf8)
  }

  /// The text below each heading of an operation.
  private static func operations() throws -> [String: String] {
    var sections: [String: String] = [:]
    for part in try page("ops.md").split(separator: "\n## ").dropFirst(2) {
      let lines = part.split(separator: "\n", maxSplits: 1)
      sections[String(lines[0])] = String(lines[1])
    }
    return sections
  }

  @Test(arguments: OpKind.allCases)
  func operationIsDescribed(kind: OpKind) throws {
    let section = try #require(try Self.operations()[kind.rawValue])
    #expect(section.contains("**Semantics.**"))
    #expect(section.contains("**Inputs.**"))
    #expect(section.contains("C1 "))
    for role in kind.specification.roles {
      #expect(section.contains("`\(role.name)`"), "role '\(role.name)'")
    }
    for attribute in kind.specification.attributes {
      #expect(section.contains("*`\(attribute.name)`*"), "attribute '\(attribute.name)'")
    }
  }

  @Test func nothingElseIsDescribedAsAnOperation() throws {
    #expect(try Set(Self.operations().keys) == Set(OpKind.allCases.map(\.rawValue)))
  }

  @Test func namesOfFunctionsAreDescribed() throws {
    let page = try Self.page("ops.md")
    for name in OpKind.activations + OpKind.binaryFunctions + OpKind.scorings + OpKind.selections
      + OpKind.algorithms
    { #expect(page.contains("`\(name)`"), "'\(name)'") }
  }

  @Test(arguments: mistakes.map(\.id))
  func diagnosticIsDescribed(id: String) throws {
    #expect(try Self.page("dsl.md").contains("`\(id)`"))
  }
}
