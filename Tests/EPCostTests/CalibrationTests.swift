import EPCost
import EPIR
import EPModel
import Testing

@Suite struct CalibrationTests {
  private func read(_ text: String) throws -> [Measurement] {
    try Measurement.read(csv: Array(text.utf8), named: "rows.csv")
  }

  private func hardware() throws -> [String: Hardware] {
    ["h800": try Repository.catalog.hardware(named: "h800")]
  }

  @Test func aUsersOwnRowsAreFitted() throws {
    // 20 us and 70 % of the peak; memory does not matter at these sizes.
    var text = "op,hardware,format,rows,n,k,us,source\n"
    for rows in [1024, 4096, 16_384] {
      let seconds = 20e-6 + 2 * Double(rows) * 8192 * 8192 / (0.7 * 989e12)
      text += "gemm,h800,bf16,\(rows),8192,8192,\(seconds * 1e6),\"mine, own\"\n"
    }
    let calibration = try Calibration(try read(text), hardware: try hardware())
    let residuals = try #require(calibration.residuals.first)
    #expect(residuals.rows == 3 && residuals.key.operation == "gemm")
    #expect(residuals.medianError < 0.05)
    let model = CostModel(
      try Repository.catalog.hardware(named: "h800"), calibration: calibration)
    let hit = model.time(of: .gemm(Kernel.Gemm(rows: 4096, n: 8192, k: 8192, format: .bf16)))
    #expect(hit.provenance == .measured && hit.source == "mine, own")
    #expect(calibration.report.contains("| gemm | h800 | bf16 | 3 |"))
  }

  @Test(arguments: [
    ("op,hardware,format,us\n", "calibration-file"),
    ("op,hardware,format,us,source\ngemm,h800,fp8,1\n", "calibration-file"),
    ("op,hardware,format,us,source\ngemm,h800,fp8,-1,x\n", "calibration-file"),
    ("op,hardware,format,us,source\ngemm,h800,fp8,nan,x\n", "calibration-file"),
    ("op,hardware,format,us,source\ngemm,h800,fp8,1,x\n", "calibration-row"),
    ("op,hardware,format,us,source\ngemm,h800,fp5,1,x\n", "calibration-row"),
    ("op,hardware,format,us,source\nfoo,h800,fp8,1,x\n", "calibration-row"),
    ("op,hardware,format,us,source\ngemm,abacus,fp8,1,x\n", "calibration-hardware"),
  ])
  func badRowsAreRefused(text: String, id: String) throws {
    do {
      _ = try Calibration(try read(text), hardware: try hardware())
      Issue.record("\(text) was taken")
    } catch let problem as Diagnostics {
      #expect(problem.all.map(\.id) == [id])
    }
  }

  @Test func theFilesReadAndFitTheSameTwice() throws {
    let measurements = try Measurement.read(folders: Repository.catalog.calibrationFolders)
    #expect(measurements.count > 1000)
    #expect(measurements.allSatisfy { !$0.source.isEmpty && $0.seconds > 0 })
    let again = try Calibration(catalog: Repository.catalog)
    #expect(again.tables == (try Repository.calibration.get()).tables)
  }

  @Test func outsideTheTablesIntervalsCoverWhatIsLeftOut() throws {
    // Nine of ten is the promise; over all tables together it has to hold.
    var (covered, rows) = (0.0, 0.0)
    for line in try Repository.calibration.get().residuals {
      guard let coverage = line.leftOutCoverage else { continue }
      covered += coverage * Double(line.rows)
      rows += Double(line.rows)
    }
    #expect(covered / rows > 0.85)
  }

  /// Exchanges inside a node say nothing of links out of it.
  @Test func sharesThatNoRowTellsAreTheStatedOnes() throws {
    let tables = try Repository.calibration.get().tables
    for (operation, format) in [
      ("dispatch_low_latency", Precision.Format.fp8), ("combine_low_latency", .bf16),
    ] {
      let key = try #require(
        tables.keys.first {
          $0.operation == operation && $0.family == "b200" && $0.format == format
        })
      let stated = CostModel.Assumptions().exchange.firstEfficiency
      #expect(abs(try #require(tables[key]).fit.firstEfficiency / stated - 1) < 0.02)
    }
  }

  /// Hardware that nobody measured takes the shares of what is most like it, at its own peaks.
  @Test(arguments: ["h800", "h20"]) func unmeasuredHardwareTakesTheNearestFamily(name: String)
    throws
  {
    var hardware = try Repository.catalog.hardware(named: name)
    let calibration = try Repository.calibration.get()
    let table = try #require(
      calibration.tables.first { $0.key.operation == "gemm" && $0.key.family == name })
    let fit = table.value.fit
    (hardware.name, hardware.like) = ("new", nil)
    hardware.memoryBandwidth *= 1.1
    let model = CostModel(hardware, calibration: calibration)
    let kernel = Kernel.gemm(Kernel.Gemm(rows: 300, n: 5000, k: 3000, format: .fp8))
    let time = model.time(of: kernel)
    #expect(time.provenance == .extrapolated)
    #expect(abs(time.value / fit.seconds(for: kernel.work(on: hardware)) - 1) < 1e-9)
  }

  @Test func differencesOfMeasuredBlocksAreAttention() throws {
    let time = try Repository.model("b200").time(
      of: .decodeAttention(
        Kernel.Attention(
          sequences: 64, queries: 1, context: 4096, heads: 128, keyHeads: 1, keySize: 576,
          valueSize: 512, sharesKey: true, format: .fp8)))
    // 143.1 us of the block over 4,096 tokens, 88.3 over one.
    #expect(time.provenance == .measured && abs(time.value - 54.8e-6) < 1e-9)
  }
}
