import ArgumentParser
import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan
import EPSearch

struct ValidateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "validate",
    abstract: "Compare the cost model with measured throughputs and layers.",
    discussion: """
      CASES is a CSV file with a row for each measured configuration, such as \
      benchmarks/cases.csv; docs/validation.md says what its columns mean. Paths of models are \
      taken from the file's own folder.

        epc validate benchmarks/cases.csv
        epc validate benchmarks/cases.csv --layers benchmarks/layers.csv --explain
        epc validate benchmarks/cases.csv --layers benchmarks/layers.csv --simulate \\
          --update docs/validation.md
      """)

  @Argument(help: "The cases.")
  var cases: String

  @Flag(help: "Run each case on simulated devices too.")
  var simulate = false

  @Option(
    help: "A CSV file of profiled layers, whose parts are compared one by one.")
  var layers: String?

  @Flag(help: "Print the kernels of each layer beside its measured parts.")
  var explain = false

  @Option(help: "A Markdown file whose marked tables are made anew.")
  var update: String?

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      if layers == nil {
        try GivenFlags.refuse(["explain"], "is of '--layers', which is not given")
      }
      if update != nil && format == .json {
        throw Diagnostics("flag", "'--update' writes tables, not JSON; leave out '--format json'")
      }
      let measured = try MeasuredCase.read(
        csv: try Terminal.read(cases, maxBytes: 16 << 20), named: cases)
      let report = try self.report(measured)
      if format == .json { return try Terminal.print(report.document) }
      for (layer, estimate) in report.kernels {
        Terminal.print("\(layer), one micro-batch\n\n\(estimate.explanation)\n")
      }
      guard let update else {
        for section in report.sections { Terminal.print("\(section.name)\n\n\(section.text)\n") }
        return
      }
      var text = String(decoding: try Terminal.read(update, maxBytes: 16 << 20), as: UTF8.self)
      for section in report.sections {
        let mark = "<!-- \(section.name) -->\n"
        let parts = text.split(separator: mark, omittingEmptySubsequences: false)
        guard parts.count == 3 else {
          throw Diagnostics(
            "validate-update", "'\(update)' has no two lines '<!-- \(section.name) -->'")
        }
        text = "\(parts[0])\(mark)\(section.text)\(mark)\(parts[2])"
      }
      try Terminal.save(Array(text.utf8), to: update)
    }
  }

  private func report(_ measured: [MeasuredCase]) throws(Diagnostics) -> ValidationReport {
    let catalog = HardwareCatalog.standard(
      environment: Terminal.environment, executable: Terminal.executable)
    let calibration = try Calibration(catalog: catalog)
    let folder = cases.lastIndex(of: "/").map { String(cases[...$0]) } ?? ""
    var programs: [String: ModelProgram] = [:]
    func predicted(
      _ one: MeasuredCase, _ calibration: Calibration, _ assumptions: CostModel.Assumptions
    ) throws(Diagnostics) -> MeasuredCase.Prediction {
      let known = programs[one.model]
      let program = if let known { known } else { try LoadedModel.load(folder + one.model).program }
      programs[one.model] = program
      let hardware = try catalog.hardware(named: one.hardware.isEmpty ? "h800" : one.hardware)
      return try one.predicted(
        program, on: CostModel(hardware, calibration: calibration, assumptions: assumptions))
    }
    var rows: [ValidationReport.Row] = []
    var simulation = CaseSimulation()
    for one in measured where one.excluded.isEmpty && one.phase != nil {
      let prediction = try predicted(one, calibration, CostModel.Assumptions())
      rows.append(
        ValidationReport.Row(
          measured: one, predicted: prediction.figure,
          simulated: simulate ? try simulation.run(prediction) : nil))
    }
    var report = ValidationReport(rows: rows, excluded: measured.filter { !$0.excluded.isEmpty })
    try compareLayers(catalog, calibration, in: &report)
    if report.layers.isEmpty { return report }
    report.leftOut = LeftOut.all(
      measured, try Measurement.read(folders: catalog.calibrationFolders))
    for index in report.leftOut.indices {
      let assumptions = report.leftOut[index].assumptions(measured, report.layers)
      let without = try Calibration(catalog: catalog, without: report.leftOut[index].publisher)
      for one in measured where report.leftOut[index].holds(one) {
        let figure = try predicted(one, without, assumptions).figure
        report.leftOut[index].rows.append(
          ValidationReport.Row(measured: one, predicted: figure))
      }
    }
    return report
  }

  /// The parts of profiled layers beside what the cost model says of a compiled plan's.
  private func compareLayers(
    _ catalog: HardwareCatalog, _ calibration: Calibration, in report: inout ValidationReport
  ) throws(Diagnostics) {
    guard let layers else { return }
    let measured = try MeasuredLayer.read(
      csv: try Terminal.read(layers, maxBytes: 1 << 20), named: layers)
    let folder = layers.lastIndex(of: "/").map { String(layers[...$0]) } ?? ""
    var programs: [String: ModelProgram] = [:]
    for layer in measured {
      let program: ModelProgram
      if let known = programs[layer.model] {
        program = known
      } else {
        program = try LoadedModel.load(folder + layer.model).program
        programs[layer.model] = program
      }
      let hardware = try catalog.hardware(named: layer.hardware)
      var pool = CompileRequest.PoolRequest(layer.role)
      (pool.dp, pool.tp, pool.ep, pool.pp) = (layer.expertRanks, 1, layer.expertRanks, 1)
      let isDecode = layer.role == .decode
      pool.batch = isDecode ? max(1, Int(layer.sequences) / layer.microBatches) : nil
      pool.tokensPerDevice = isDecode ? nil : max(1, Int(layer.tokens) / layer.microBatches)
      pool.redundantExperts = layer.redundantExperts
      var request = CompileRequest(hardware: hardware, pools: [pool])
      request.cluster = Cluster(hardware, devices: layer.expertRanks)
      request.context = Int(layer.context)
      let plan = try Compiler.compile(Compilation(program, request))
      let model = CostModel(hardware, calibration: calibration)
      guard let made = plan.pools.first,
        let estimate = layer.estimate(of: made, precision: program.precision, on: model)
      else { continue }
      if explain { report.kernels.append((layer.name, estimate)) }
      report.layers += LayerComparison.all(layer, estimate)
    }
  }
}
