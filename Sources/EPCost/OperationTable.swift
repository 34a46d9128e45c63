internal import Glibc

/// What is known of one operation in one format on one family of hardware: a fit, and how far the
/// measurements lie off it.
public struct OperationTable: Hashable, Sendable {
  /// Measured times of one shape over its load: tokens, context or bytes.
  struct Curve: Hashable, Sendable {
    /// The hardware that was measured.
    var hardware: Hardware
    /// The kernels, one for each load.
    var kernels: [Kernel]
    /// The shape, in binary logarithms.
    var coordinates: [Double]
    /// Ascending loads, in natural logarithms.
    var loads: [Double]
    /// Logarithms of measured over fitted time at these loads.
    var residuals: [Double]
    /// The half-widths of measurements of the same point, in logarithms.
    var noises: [Double]
    /// Where it was published.
    var source: String
  }

  /// The fit.
  public var fit: RooflineFit
  /// Rows it rests on.
  public var rowCount: Int
  /// The sources of those rows, in the order they appear.
  public var sources: [String]
  var curves: [Curve]

  /// A row: a kernel, where it ran, and how long it took.
  struct Row {
    var kernel: Kernel
    var hardware: Hardware
    var seconds: Double
    var source: String
  }

  /// Fits rows of one operation and format.
  init(_ rows: [Row]) {
    fit = RooflineFit.fit(
      rows.map { ($0.kernel.work(on: $0.hardware), $0.seconds) },
      prior: rows.first.map { CostModel.Assumptions().fit(for: $0.kernel) })
    rowCount = rows.count
    sources = []
    curves = []
    for row in rows where !sources.contains(row.source) { sources.append(row.source) }
    var groups: [[Double]: [String: [Row]]] = [:]
    for row in rows {
      groups[row.kernel.coordinates.map { log2($0) }, default: [:]][row.hardware.name, default: []]
        .append(row)
    }
    for (coordinates, byHardware) in groups {
      for (_, rows) in byHardware {
        var curve = Curve(
          hardware: rows[0].hardware, kernels: [], coordinates: coordinates, loads: [],
          residuals: [], noises: [],
          source: rows[0].source)
        let byLoad = Dictionary(grouping: rows) { (log($0.kernel.load) * 1e6).rounded() }
        for key in byLoad.keys.sorted() {
          let points = byLoad[key] ?? []
          let residuals = points.map {
            log($0.seconds / fit.seconds(for: $0.kernel.work(on: $0.hardware)))
          }
          let mean = residuals.reduce(0, +) / Double(residuals.count)
          curve.kernels.append(points[0].kernel)
          curve.loads.append(log(points[0].kernel.load))
          curve.residuals.append(mean)
          curve.noises.append(residuals.reduce(0) { max($0, abs($1 - mean)) })
        }
        curves.append(curve)
      }
    }
    curves.sort { ($0.coordinates, $0.hardware.name) < ($1.coordinates, $1.hardware.name) }
  }
}

private func < (
  first: (coordinates: [Double], hardware: String),
  second: (coordinates: [Double], hardware: String)
) -> Bool {
  if first.coordinates != second.coordinates {
    return first.coordinates.lexicographicallyPrecedes(second.coordinates)
  }
  return first.hardware < second.hardware
}

extension OperationTable.Curve {
  /// The residual at a load: linear between measured ones, and that of the end beyond.
  func residual(at load: Double) -> Double {
    guard let above = loads.firstIndex(where: { $0 >= load }) else { return residuals.last ?? 0 }
    if above == 0 { return residuals[0] }
    let share = (load - loads[above - 1]) / (loads[above] - loads[above - 1])
    return residuals[above - 1] + share * (residuals[above] - residuals[above - 1])
  }
}
