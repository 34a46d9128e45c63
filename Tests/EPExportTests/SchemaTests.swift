import EPModel
import EPPlan
import Foundation
import Testing

@testable import EPExport

/// The flags that are written are flags the engines have.
@Suite(
  .enabled(
    if: EngineFlags.areThere,
    "the engines' flag dumps are not beside this checkout; the schema in the sources is used alone")
)
struct EngineFlagTests {
  @Test(arguments: [
    (FlagSchema.sglang, "sglang_flags.json"), (.vllm, "vllm_flags.json"),
    (.router, "sgl_router_flags.json"),
  ])
  func theSchemaIsTheParsers(schema: FlagSchema, file: String) throws {
    let parser = try EngineFlags(file)
    for flag in schema.flags {
      let action = try #require(parser[flag.name], "\(schema.name) has no \(flag.name)")
      switch flag.kind {
      case .toggle: #expect(action.nargs == .number(0), "\(flag.name)")
      case .choice(let choices): #expect(action.choices == choices, "\(flag.name)")
      case .int:
        #expect(
          ["int", "human_readable_int", nil].contains(action.type) && action.nargs == nil,
          "\(flag.name)")
      case .real: #expect(action.type == "float", "\(flag.name)")
      case .text: #expect(action.nargs == nil && action.choices == nil, "\(flag.name)")
      case .texts: #expect(action.nargs != nil && action.nargs != .number(0), "\(flag.name)")
      case .json(let keys):
        #expect(action.nargs == nil, "\(flag.name)")
        // Where the default is a configuration, its printed form names all fields.
        if action.default.contains("(") {
          for key in keys { #expect(action.default.contains("\(key.name)="), "\(key.name)") }
        }
      }
    }
  }

  @Test func theLargeExportsPassTheParsersFlagByFlag() throws {
    for plan in [try LargeModels.v3Plan.get(), try LargeModels.k2Plan.get()] {
      for overlap in [nil, true] {
        for (target, file) in [
          (ExportTarget.sglang, "sglang_flags.json"), (.vllm, "vllm_flags.json"),
        ] {
          let bundle = try plan.exported(to: target, ExportRequest(twoBatches: overlap))
          for command in bundle.commands {
            // Of vLLM's router there is no dump; the exporter checks its own table.
            if command.name == "router" && target == .vllm { continue }
            let parser = try EngineFlags(command.name == "router" ? "sgl_router_flags.json" : file)
            #expect(parser.problems(of: command) == [], "\(target) \(command.name)")
          }
        }
      }
    }
  }
}

/// What the schema refuses.
@Suite struct FlagSchemaTests {
  private func problems(_ arguments: [(String, [String])]) throws -> [String] {
    // Any command will do; its flags are replaced.
    let plan = try LargeModels.k2Plan.get()
    var command = try #require(try plan.exported(to: .vllm).commands.first)
    command.arguments = arguments.map { LaunchCommand.Argument(flag: $0.0, values: $0.1) }
    return FlagSchema.vllm.problems(of: command)
  }

  @Test func everyKindOfMistakeIsNamed() throws {
    #expect(try problems([("--enable-dbo", []), ("--port", ["80"])]) == [])
    for (flag, values, words) in [
      ("--enable-tbo", [], "no flag"), ("--enable-dbo", ["true"], "takes no value"),
      ("--port", ["http"], "an integer"), ("--port", ["0"], "at least 1"),
      ("--port", [], "one value"), ("--all2all-backend", ["deepep"], "one of"),
      ("--gpu-memory-utilization", ["1.5"], "a number"), ("--host", [""], "a text"),
      ("--eplb-config", ["{\"redundant\":1}"], "no key 'redundant'"),
      ("--eplb-config", ["{\"num_redundant_experts\":-1}"], "at least 0"),
      ("--eplb-config", ["{"], "$"),
      ("--speculative-config", ["{\"num_speculative_tokens\":[1]}"], "neither number nor text"),
    ] as [(String, [String], String)] {
      let found = try problems([(flag, values)])
      #expect(found.count == 1 && found[0].contains(words), "\(flag) \(values): \(found)")
    }
    #expect(
      try problems([("--port", ["80"]), ("--port", ["81"])]).first?.contains("twice") == true)
  }
}

/// What the schemas of YAML files refuse; that exports pass them, exporters check themselves.
@Suite struct DocumentSchemaTests {
  @Test(arguments: [
    (DocumentSchema.text, Document.text(""), "$ is empty"),
    (.text, .int(1), "$ is something else"),
    (.choice(["a"]), .text("b"), "$ is one of"), (.flag, .text("true"), "$ is something else"),
    (.label(most: 5), .text("Upper"), "$ is no name"), (.label(most: 5), .text("-a"), "no name"),
    (.label(most: 3), .text("long"), "$ is no name"), (.int(least: 1), .int(0), "at least 1"),
    (.real(0...1), .real(1.5), "$ is in"), (.list(.text), .list([]), "items, not 0"),
    (.list(.text), .list([.text("a"), .text("")]), "$[1] is empty"),
    (.object([.init("a", .flag, isRequired: true)]), .object([]), "$ needs 'a'"),
    (.object([.init("a", .flag)]), .object([.init(name: "b", value: .flag(true))]), "no key 'b'"),
    (.map(.text), .object([.init(name: "b", value: .int(1))]), "$.b is something else"),
  ])
  func everyKindOfMistakeIsNamed(schema: DocumentSchema, document: Document, words: String) {
    let problems = schema.problems(of: document)
    #expect(problems.count == 1 && problems[0].contains(words), "\(problems)")
  }

  @Test func overlapIsThePlansUnlessAskedFor() throws {
    for (count, expected) in [(1, false), (2, true), (3, true)] {
      var plan = try LargeModels.v3Plan.get()
      plan.pools[1].microBatches = count
      for (target, flag) in [
        (ExportTarget.sglang, "--enable-two-batch-overlap"), (.vllm, "--enable-dbo"),
      ] {
        func written(_ request: ExportRequest) throws -> (decode: Bool, bundle: ExportBundle) {
          let bundle = try plan.exported(to: target, request)
          let decode = try #require(bundle.commands.first { $0.name.hasPrefix("decode") })
          return (decode.values(of: flag) != nil, bundle)
        }
        let own = try written(ExportRequest())
        #expect(own.decode == expected)
        #expect(own.bundle.remarks.contains { $0.text.contains("3 micro-batches") } == (count == 3))
        #expect(try written(ExportRequest(twoBatches: true)).decode)
        #expect(try !written(ExportRequest(twoBatches: false)).decode)
      }
    }
  }
}
