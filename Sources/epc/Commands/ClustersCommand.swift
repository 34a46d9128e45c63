import ArgumentParser
import EPCost
import EPIR
import EPModel

struct ClustersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "clusters",
    abstract: "List the hardware that '--cluster NAME:COUNT' knows.",
    discussion: """
      Each is a JSON file in plugins/hardware or in a folder of EPC_HARDWARE_PATH; a new file \
      adds one.
      """)

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      let catalog = HardwareCatalog.standard(
        environment: Terminal.environment, executable: Terminal.executable)
      let all = try catalog.names.map { name throws(Diagnostics) in
        try catalog.hardware(named: name)
      }
      let table = all.table([
        .words("NAME", "name") { .text($0.name) }, .words("DEVICE", "device") { .text($0.label) },
        .words("A NODE", "devices_per_node") { .count($0.devicesPerNode) },
        .words("MEMORY", "memory_bytes") {
          .init("\(Int($0.memoryBytes / 1_000_000_000)) GB", .int($0.memoryBytes))
        },
        .words("BANDWIDTH", "memory_bytes_per_second") {
          .init("\($0.memoryBandwidth / 1e12) TB/s", .real($0.memoryBandwidth))
        },
        .words("SOURCE", "source") { .text($0.source) },
      ])
      try format.print(table.aligned, .object(["hardware": table.document]))
    }
  }
}
