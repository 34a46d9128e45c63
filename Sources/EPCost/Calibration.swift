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
  /// The table for hardware of families without one of their own, by operation.
  private var fallbacks: [String: Key]

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
      let known = fallbacks[key.operation].flatMap { tables[$0]?.rowCount } ?? 0
      if tables[key]?.rowCount ?? 0 > known { fallbacks[key.operation] = key }
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
    if let key = fallbacks[operation], let table = tables[key] { return (table, false) }
    return nil
  }
}

extension Hardware {
  /// The family whose measurements it shares.
  var family: String { like ?? name }
}
