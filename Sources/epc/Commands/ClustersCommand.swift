import ArgumentParser
import EPCost
import EPIR

struct ClustersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "clusters",
    abstract: "List the hardware that '--cluster NAME:COUNT' knows.",
    discussion: """
      Each is a JSON file in plugins/hardware or in a folder of EPC_HARDWARE_PATH; a new file \
      adds one.
      """)

  func run() throws {
    try reporting { () throws(Diagnostics) in
      let catalog = HardwareCatalog.standard(
        environment: Terminal.environment, executable: Terminal.executable)
      Terminal.print("NAME      DEVICE           A NODE  MEMORY    BANDWIDTH  SOURCE\n")
      for name in catalog.names {
        let hardware = try catalog.hardware(named: name)
        Terminal.print(
          pad(name, 10) + pad(hardware.label, 17) + pad("\(hardware.devicesPerNode)", 8)
            + pad("\(Int(hardware.memoryBytes / 1_000_000_000)) GB", 10)
            + pad("\(hardware.memoryBandwidth / 1e12) TB/s", 11) + hardware.source + "\n")
      }
    }
  }

  private func pad(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(width - text.count, 1))
  }
}
