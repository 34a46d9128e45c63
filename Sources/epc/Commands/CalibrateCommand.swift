import ArgumentParser
import EPCost
import EPIR

struct CalibrateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calibrate",
    abstract: "Fit measurements and print how well the fits meet them.",
    discussion: """
      FILES are tables as docs/cost.md describes them; without any, those that epc uses are \
      fitted. To use a file, put it into plugins/calibration or beside a folder of \
      EPC_HARDWARE_PATH.

        epc calibrate my-gpu.csv
      """)

  @Argument(help: "Files of measurements.")
  var files: [String] = []

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      let catalog = HardwareCatalog.standard(
        environment: Terminal.environment, executable: Terminal.executable)
      if files.isEmpty { return try show(Calibration(catalog: catalog)) }
      var measurements: [Measurement] = []
      for file in files {
        measurements += try Measurement.read(
          csv: try Terminal.read(file, maxBytes: 1 << 26), named: file)
      }
      var hardware: [String: Hardware] = [:]
      for name in Set(measurements.map(\.hardware)).sorted() {
        hardware[name] = try catalog.hardware(named: name)
      }
      try show(Calibration(measurements, hardware: hardware))
    }
  }

  private func show(_ calibration: Calibration) throws(Diagnostics) {
    try format.print(calibration.report, calibration.document)
  }
}
