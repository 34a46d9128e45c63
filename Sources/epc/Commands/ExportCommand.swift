import ArgumentParser
import EPExport
import EPIR
import EPModel
import EPPlan

struct ExportCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write a plan for the engines people deploy.",
    discussion: """
      A script for every pool and node, the files they read, the router's command or Kubernetes \
      manifests; and a list of what the target cannot be told. Written for vLLM \
      \(Engine.vllm.version), SGLang \(Engine.sglang.version) and TensorRT-LLM \
      \(Engine.trtllm.version). What an engine would fail on later is refused: see 'epc verify --for'.

        epc export plan.json --to sglang -o launch/ --model deepseek-ai/DeepSeek-V3
        epc export plan.json --to kubernetes --engine vllm -o manifests/
      """)

  @Argument(help: "The plan.")
  var plan: String

  @Option(
    name: .customLong("to"),
    help: ArgumentHelp(
      "The target: vllm, sglang, trtllm, kubernetes, or a program such as ./exporter.",
      discussion: "A program writes what it likes; docs/plugins.md says how it is called."))
  var destination: ExportDestination

  @Option(name: .shortAndLong, help: "The folder to write; without it the commands are printed.")
  var output: String?

  @Option(help: "The checkpoint, as the engine is to be given it.")
  var model: String?

  @Option(help: "The nodes' names or addresses in order: a,b,c.")
  var hosts: String?

  @Option(help: "For kubernetes: the engine in the pods, sglang or vllm.")
  var engine: Engine = .sglang

  @Option(help: "For kubernetes: the container image.")
  var image: String?

  @Option(help: "How keys and values move from prefill to decode: nixl or mooncake.")
  var transfer: ExportRequest.Transfer = .nixl

  @Flag(
    inversion: .prefixedNo,
    help: "Overlap two micro-batches, or do not; as the plan does unless given.")
  var twoBatchOverlap: Bool?

  @Flag(help: "Let the checkpoint's own code run, which some models need.")
  var trustRemoteCode = false

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      let plan = try Plan.load(plan)
      let target: ExportTarget
      switch destination {
      case .target(let known): target = known
      case .program(let path):
        try Terminal.save(try plan.exported(by: path), to: output ?? "-")
        if let output, output != "-", format == .text { Terminal.print("wrote \(output)\n") }
        return
      }
      var request = ExportRequest(
        model: model, transfer: transfer, trustsRemoteCode: trustRemoteCode, image: image)
      if let hosts {
        request.hosts = hosts.split(separator: ",", omittingEmptySubsequences: false)
          .map(String.init)
      }
      request.twoBatches = twoBatchOverlap
      let bundle = try plan.exported(to: target, engine: engine, request)
      if let output { try ExportFolder.write(try bundle.folder(), to: output) }
      switch format {
      case .json: Terminal.print(bundle.document.json + "\n")
      case .text:
        Terminal.print(bundle.text(showsCommands: output == nil))
        if let output { Terminal.print("wrote \(output)\n") }
      }
    }
  }
}

/// What a plan is exported to.
enum ExportDestination: ExpressibleByArgument {
  case target(ExportTarget)
  /// Somebody else's exporter, named by a path with a slash.
  case program(String)

  init?(argument: String) {
    if argument.contains("/") {
      self = .program(argument)
    } else if let target = ExportTarget(rawValue: argument) {
      self = .target(target)
    } else {
      return nil
    }
  }

  static var allValueStrings: [String] { ExportTarget.allCases.map(\.rawValue) + ["./program"] }
}
