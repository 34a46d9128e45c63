public import EPIR
public import EPModel
internal import Glibc

/// Measurements, fitted: what operations take on hardware that was measured, and on the rest by the
/// fit of the best-measured kind.
public struct Calibration: Sendable {
  /// What tables are told apart by.
  public struct Key: Hashable, Sendable, Comparable {
    /// The operation.
    public var operation: String
    /// The family of hardware: the kind that others are `like`.
    public var family: String
    /// The number format.
    public var format: Precision.Format

    /// Orders by operation, then family, then format.
    public static func < (first: Key, second: Key) -> Bool {
      (first.operation, first.family, first.format.rawValue)
        < (second.operation, second.family, second.format.rawValue)
    }
  }

  /// The tables.
  public private(set) var tables: [Key: OperationTable]
  /// The tables for hardware of families without one of their own, by operation: what theirs computes for
  /// a byte (`Hardware.balance`), and how many rows there are.
  private var fallbacks: [String: [(key: Key, balance: Double, rows: Int)]]

  /// Fits measurements; each row's hardware must be in `hardware`.
  public init(
    _ measurements: [Measurement], hardware: [String: Hardware]
  ) throws(Diagnostics) {
    var rows: [Key: [OperationTable.Row]] = [:]
    for measurement in measurements {
      guard let device = hardware[measurement.hardware] else {
        throw Diagnostics(
          "calibration-hardware",
          "a row of '\(measurement.operation)' was measured on '\(measurement.hardware)', which no "
            + "file describes; add one to a folder of EPC_HARDWARE_PATH")
      }
      guard let kernel = try measurement.kernel() else {
        throw Diagnostics(
          "calibration-row", "no operation is called '\(measurement.operation)'")
      }
      let key = Key(
        operation: kernel.operation, family: device.family,
        format: Precision.Format(rawValue: measurement.format) ?? .bf16)
      rows[key, default: []].append(
        OperationTable.Row(
          kernel: kernel, hardware: device, seconds: measurement.seconds,
          source: measurement.source))
    }
    tables = rows.mapValues { OperationTable($0) }
    fallbacks = [:]
    for key in tables.keys.sorted() {
      let balance = hardware[key.family]?.balance ?? rows[key]?.first?.hardware.balance ?? 0
      fallbacks[key.operation, default: []].append((key, balance, rows[key]?.count ?? 0))
    }
  }

  /// Reads and fits the calibration files that lie beside the catalog's descriptions, less the rows of
  /// one publisher.
  public init(
    catalog: HardwareCatalog, without publisher: String? = nil
  ) throws(Diagnostics) {
    let measurements = try Measurement.read(folders: catalog.calibrationFolders)
      .filter { $0.source.publisher != publisher }
    var hardware: [String: Hardware] = [:]
    for name in Set(measurements.map(\.hardware)).sorted() {
      hardware[name] = try catalog.hardware(named: name)
    }
    try self.init(measurements, hardware: hardware)
  }

  /// Nothing measured: all times come from peaks and stated efficiencies.
  public static let none = Calibration()

  private init() {
    tables = [:]
    fallbacks = [:]
  }

  /// The table that holds for an operation on some hardware, and whether it is of its own family
  /// and format.
  func table(
    _ operation: String, _ format: Precision.Format, on hardware: Hardware
  ) -> (table: OperationTable, isOwn: Bool)? {
    let own = Key(operation: operation, family: hardware.family, format: format)
    if let table = tables[own] { return (table, true) }
    for other in Precision.Format.allCases {
      let key = Key(operation: operation, family: hardware.family, format: other)
      if let table = tables[key] { return (table, false) }
    }
    return fallback(operation, on: hardware).flatMap { tables[$0] }.map { ($0, false) }
  }

  /// The family whose shares of its peaks hold elsewhere too. What is bound by links: the best-measured
  /// one. What computes and reads memory: of those measured nearly as well, the one most alike in how
  /// much it computes for what it reads, since that decides which peak is in the way.
  private func fallback(_ operation: String, on hardware: Hardware) -> Key? {
    let all = fallbacks[operation] ?? []
    let most = all.reduce(0) { max($0, $1.rows) }
    if operation.hasPrefix("dispatch") || operation.hasPrefix("combine") {
      return all.first { $0.rows == most }?.key
    }
    return all.filter { $0.rows * 4 >= most }.min {
      abs($0.balance - hardware.balance) < abs($1.balance - hardware.balance)
    }?.key
  }
}

extension Hardware {
  /// The family whose measurements it shares.
  var family: String { like ?? name }

  /// Operations of bf16 for each byte of memory traffic at the peaks, in binary logarithms.
  var balance: Double { log2(peak(for: .bf16) / memoryBandwidth) }
}
