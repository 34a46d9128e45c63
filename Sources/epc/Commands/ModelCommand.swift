import ArgumentParser
import EPHuggingFace
import EPIR
import EPJSON
import EPModel
import EPPlan

struct ModelCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "model",
    abstract: "Look at models.",
    subcommands: [Dump.self, Parameters.self, Outcome.self, Synthesize.self])

  struct Dump: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Write a model as JSON, which 'epc compile' reads without a Swift compiler.")

    @Argument(help: "The model.")
    var model: String

    @Option(name: .shortAndLong, help: "Where to write it.")
    var output: String = "-"

    func run() throws {
      try reporting { () throws(Diagnostics) in
        let loaded = try LoadedModel.load(model)
        let bytes: [UInt8]
        do throws(JSONError) {
          bytes = try loaded.program.document.jsonValue.serialized(style: .pretty)
        } catch { throw Diagnostics("model-json", error.description) }
        try Terminal.save(bytes, to: output)
      }
    }
  }

  struct Parameters: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Count a model's weights, all of them and those a token uses.")

    @Argument(help: "The models.")
    var models: [String]

    func run() throws {
      try reporting { () throws(Diagnostics) in
        for path in models {
          let program = try LoadedModel.load(path).program
          let count = program.parameterCount
          let moe = program.calls.reduce(0) { sum, call in
            let hasExperts = program.functions[call.function].operations.contains {
              $0.kind == .dispatch
            }
            return hasExperts ? sum + call.layers.count : sum
          }
          Terminal.print(
            "\(program.name): total \(count.total), activated \(count.activated) "
              + "(token table \(count.table)), MTP \(count.drafts), layers \(program.layerCount) "
              + "(\(moe) MoE)\n")
        }
      }
    }
  }

  struct Outcome: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Say for config.json files whether they import, or which field they cannot.")

    @Argument(help: "The files.")
    var configs: [String]

    func run() throws {
      try reporting { () throws(Diagnostics) in
        for path in configs {
          let bytes = try Terminal.read(path, maxBytes: 64 << 20)
          Terminal.print("\(path): \(HuggingFaceImport.outcome(ofBytes: bytes))\n")
        }
      }
    }
  }
}
