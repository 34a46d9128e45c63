import EPIR
import EPModel
import Foundation
import Testing

@testable import EPExport

/// Folders are written whole or not at all, and manifests are YAML.
@Suite struct FolderTests {
  private let place = FileManager.default.temporaryDirectory
    .appending(path: "epc-export-\(UUID().uuidString)")

  @Test func aFolderIsReplacedByTheSameExportAlone() throws {
    defer { try? FileManager.default.removeItem(at: place) }
    try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
    let target = place.appending(path: "launch").path()
    try ExportFolder.write([.init("run.sh", "one"), .init("export.json", "{}")], to: target + "/")
    #expect(FileManager.default.isExecutableFile(atPath: target + "/run.sh"))
    try ExportFolder.write([.init("run.sh", "two"), .init("export.json", "{}")], to: target)
    #expect(try String(contentsOfFile: target + "/run.sh", encoding: .utf8) == "two")
    try "mine".write(toFile: target + "/notes.txt", atomically: true, encoding: .utf8)
    #expect(throws: Diagnostics.self) {
      try ExportFolder.write([.init("run.sh", "three"), .init("export.json", "{}")], to: target)
    }
    #expect(try String(contentsOfFile: target + "/run.sh", encoding: .utf8) == "two")
    #expect(try FileManager.default.contentsOfDirectory(atPath: place.path()) == ["launch"])
  }

  @Test func whatCannotBeWrittenLeavesNothing() throws {
    defer { try? FileManager.default.removeItem(at: place) }
    try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
    for target in [place.path() + "/no/such", "", "/"] {
      #expect(throws: Diagnostics.self) {
        try ExportFolder.write([.init("run.sh", "one")], to: target)
      }
    }
    // A file's name that is no name in the folder.
    #expect(throws: Diagnostics.self) {
      try ExportFolder.write(
        [.init("run.sh", "one"), .init("no/run.sh", "two")], to: place.path() + "/launch")
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: place.path()) == [])
  }

  @Test func yamlSaysWhatTheTreeSays() {
    let tree = Document.object([
      "name": .text("a: b"), "no": .flag(true), "empty": .list([]), "none": .object([]),
      "list": .list([.int(1), .object(["x": .int(2), "y": .texts(["z"])]), .list([.real(0.5)])]),
      "text": .text("one\n  two\n"), "odd": .text(" one\n"), "-flag": .text("\t"),
    ])
    #expect(
      tree.yaml == """
        name: "a: b"
        "no": true
        empty: []
        none: {}
        list:
          - 1
          - x: 2
            y:
              - "z"
          -
            - 0.5
        text: |
          one
            two
        odd: " one\\n"
        "-flag": "\\u0009"

        """)
  }

  @Test func prefillAndDecodeAreRolesOfOneSet() throws {
    let plan = try LargeModels.v3Plan.get()
    for engine in [Engine.sglang, .vllm] {
      let bundle = try plan.exported(to: .kubernetes, engine: engine)
      let text = String(decoding: try #require(bundle.files.first).bytes, as: UTF8.self)
      #expect(text.contains("apiVersion: \"disaggregatedset.x-k8s.io/v1\""))
      #expect(text.contains("size: 4\n") && text.contains("size: 18\n"))
      #expect(text.contains("$(LWS_LEADER_ADDRESS)") && text.contains("\"$(LWS_WORKER_INDEX)\""))
      #expect(text.contains("nvidia.com/gpu: \"8\""))
      #expect(text.contains("kind: \"ConfigMap\"") == (engine == .sglang))
      #expect(!text.contains("node0"))
      #expect(
        bundle.commands.prefix(4).map(\.name) == [
          "prefill-leader", "prefill-worker", "decode-leader", "decode-worker",
        ])
    }
    let single = try LargeModels.k2Plan.get().exported(to: .kubernetes, engine: .vllm)
    let text = String(decoding: try #require(single.files.first).bytes, as: UTF8.self)
    #expect(text.contains("kind: \"LeaderWorkerSet\""))
    #expect(text.contains("image: \"vllm/vllm-openai:v0.33.0\""))
  }
}
