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

    @Option(help: "What to print: text or json.")
    var format: OutputFormat = .text

    func run() throws {
      try reporting { () throws(Diagnostics) in
        var documents: [Document] = []
        for path in models {
          let program = try LoadedModel.load(path).program
          if format == .json {
            documents.append(program.sizes)
            continue
          }
          let count = program.parameterCount
          Terminal.print(
            "\(program.name): total \(count.total), activated \(count.activated) "
              + "(token table \(count.table)), MTP \(count.drafts), layers \(program.layerCount) "
              + "(\(program.expertLayerCount) MoE)\n")
        }
        if format == .json { try Terminal.print(.object(["models": .list(documents)])) }
      }
    }
  }

  struct Outcome: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Say for config.json files whether they import, or which field they cannot.")

    @Argument(help: "The files.")
    var configs: [String]

    @Option(help: "What to print: text or json.")
    var format: OutputFormat = .text

    func run() throws {
      try reporting { () throws(Diagnostics) in
        var documents: [Document] = []
        for path in configs {
          let bytes = try Terminal.read(path, maxBytes: 64 << 20)
          let outcome = HuggingFaceImport.outcome(ofBytes: bytes)
          if format == .json {
            documents.append(.object(["file": .text(path), "outcome": outcome.document]))
          } else {
            Terminal.print("\(path): \(outcome.text)\n")
          }
        }
        if format == .json { try Terminal.print(.object(["configs": .list(documents)])) }
      }
    }
  }
}
