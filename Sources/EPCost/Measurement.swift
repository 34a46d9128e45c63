public import EPIR
internal import EPJSON

/// A measured time of one operation: a row of a calibration file.
public struct Measurement: Hashable, Sendable {
  /// The operation: `gemm`, `grouped_masked`, `dispatch_normal`; see docs/cost.md.
  public var operation: String
  /// The hardware it ran on, by the name of its description.
  public var hardware: String
  /// The number format of the weights, the cache or the rows on the wire.
  public var format: String
  /// The shape: `rows`, `n`, `k`, ..., by column.
  public var sizes: [String: Double]
  /// Seconds.
  public var seconds: Double
  /// Where it was published, or what measured it.
  public var source: String

  /// Makes a measurement.
  public init(
    operation: String, hardware: String, format: String, sizes: [String: Double], seconds: Double,
    source: String
  ) {
    self.operation = operation
    self.hardware = hardware
    self.format = format
    self.sizes = sizes
    self.seconds = seconds
    self.source = source
  }

  /// A size by its column's name; throws when there is none.
  func size(_ name: String) throws(Diagnostics) -> Double {
    guard let size = sizes[name] else {
      throw Diagnostics("calibration-row", "a row of '\(operation)' has no column '\(name)'")
    }
    return size
  }

  /// Reads a calibration file: a header, then a row for each measurement. The columns `op`,
  /// `hardware`, `format`, `us` and `source` are text or the time in microseconds; all others are
  /// sizes.
  public static func read(
    csv bytes: [UInt8], named name: String
  ) throws(Diagnostics) -> [Measurement] {
    let lines = CSV.rows(bytes)
    guard let header = lines.first else { return [] }
    for column in ["op", "hardware", "format", "us", "source"] where !header.contains(column) {
      throw Diagnostics("calibration-file", "there is no column '\(column)'", at: name)
    }
    var measurements: [Measurement] = []
    for (index, line) in lines.enumerated().dropFirst() {
      if line == [""] { continue }
      let place = "\(name):\(index + 1)"
      guard line.count == header.count else {
        throw Diagnostics(
          "calibration-file", "\(line.count) fields under \(header.count) columns", at: place)
      }
      var row = Measurement(
        operation: "", hardware: "", format: "", sizes: [:], seconds: 0, source: "")
      for (column, field) in zip(header, line) {
        switch column {
        case "op": row.operation = field
        case "hardware": row.hardware = field
        case "format": row.format = field
        case "source": row.source = field
        default:
          guard let number = Double(field), number.isFinite, number > 0 else {
            throw Diagnostics(
              "calibration-file", "'\(field)' under '\(column)' is no positive number", at: place)
          }
          if column == "us" { row.seconds = number * 1e-6 } else { row.sizes[column] = number }
        }
      }
      measurements.append(row)
    }
    return measurements
  }

  /// Reads all calibration files (`.csv`) of the folders, in the order of their names.
  public static func read(folders: [String]) throws(Diagnostics) -> [Measurement] {
    var measurements: [Measurement] = []
    var seen: Set<String> = []
    for folder in folders {
      for name in HardwareCatalog.files(in: folder, ending: ".csv") where seen.insert(name).inserted
      {
        let path = "\(folder)/\(name)"
        let bytes: [UInt8]
        do { bytes = try JSONFile.read(path, maxBytes: 1 << 26) } catch {
          throw Diagnostics("calibration-file", error.description, at: path)
        }
        measurements += try read(csv: bytes, named: path)
      }
    }
    return measurements
  }
}

/// Comma-separated values with double-quoted fields (RFC 4180).
package enum CSV {
  package static func rows(_ bytes: [UInt8]) -> [[String]] {
    var rows: [[String]] = []
    var row: [String] = []
    var field: [UInt8] = []
    var isQuoted = false
    var index = 0
    func finish() { row.append(String(decoding: field, as: UTF8.self)) }
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      if isQuoted {
        if byte != UInt8(ascii: "\"") {
          field.append(byte)
        } else if index < bytes.count && bytes[index] == byte {
          field.append(byte)
          index += 1
        } else {
          isQuoted = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\"") where field.isEmpty: isQuoted = true
      case UInt8(ascii: ","):
        finish()
        field = []
      case UInt8(ascii: "\n"):
        finish()
        rows.append(row)
        (row, field) = ([], [])
      case UInt8(ascii: "\r"): break
      default: field.append(byte)
      }
    }
    if !field.isEmpty || !row.isEmpty {
      finish()
      rows.append(row)
    }
    return rows
  }
}

extension String {
  /// Who published a source: `deepseek-ai` of `deepseek-ai/DeepEP@ebfe47e README.md`.
  public var publisher: String { String(prefix { $0 != "/" && $0 != " " }) }
}
