internal import Glibc

extension OperationTable {
  /// What the table says of a kernel.
  struct Estimate {
    var seconds: Double
    var provenance: Figure.Provenance
    /// The half-width of the 90 % interval, in logarithms.
    var halfWidth: Double
    var source: String
  }

  /// How many curves a shape that was not measured is blended from.
  private static let neighbours = 4
  /// The distance, in octaves, at which measurements of like hardware count.
  private static let otherHardware = 0.5

  /// The time of a kernel.
  ///
  /// The time at each load of the nearest curves is the fit's, times the blended residual; lowered,
  /// from the right, to what a larger load takes (a smaller one can always be padded); joined by
  /// straight lines in logarithms, and beyond both ends continued in proportion to the fit. So it
  /// never falls with the load, has no step where a table ends, and equals a table's own rows.
  func estimate(_ kernel: Kernel, on hardware: Hardware) -> Estimate {
    let coordinates = kernel.coordinates.map { log2($0) }
    let load = log(kernel.load)
    var near: [(index: Int, distance: Double)] = []
    near.reserveCapacity(Self.neighbours + 1)
    for (index, curve) in curves.enumerated() {
      var square =
        curve.hardware.name == hardware.name ? 0 : Self.otherHardware * Self.otherHardware
      for axis in coordinates.indices {
        let difference = coordinates[axis] - curve.coordinates[axis]
        square += difference * difference
      }
      let distance = square.squareRoot()
      let place = near.firstIndex { $0.distance > distance } ?? near.count
      if place < Self.neighbours {
        near.insert((index, distance), at: place)
        if near.count > Self.neighbours { near.removeLast() }
      }
    }
    guard let nearest = near.first else {
      return Estimate(
        seconds: fit.seconds(for: kernel.work(on: hardware)), provenance: .derived, halfWidth: 0.5,
        source: "")
    }
    if nearest.distance < 1e-9 { near = [nearest] }
    let weights = near.map { pow(max($0.distance, 1e-9), -4) }
    let total = weights.reduce(0, +)
    // Far from every curve the fit alone is left.
    let trust = 1 / (1 + nearest.distance * nearest.distance / 16)

    func fitted(_ load: Double) -> Double {
      fit.seconds(for: kernel.scaled(toLoad: exp(load)).work(on: hardware))
    }
    var knots: [Double] = []
    for (index, _) in near { knots += curves[index].loads }
    knots = Array(Set(knots)).sorted()
    var times = knots.map { knot in
      let residual = zip(near, weights).reduce(0) {
        $0 + $1.1 * curves[$1.0.index].residual(at: knot)
      }
      return fitted(knot) * exp(trust * residual / total)
    }
    for index in times.indices.dropLast().reversed() {
      times[index] = min(times[index], times[index + 1])
    }

    let last = knots.count - 1
    let seconds: Double
    var beyond = 0.0
    if load <= knots[0] {
      seconds = times[0] * fitted(load) / fitted(knots[0])
      beyond = knots[0] - load
    } else if load >= knots[last] {
      seconds = times[last] * fitted(load) / fitted(knots[last])
      beyond = load - knots[last]
    } else {
      let above = knots.firstIndex { $0 >= load } ?? last
      let share = (load - knots[above - 1]) / (knots[above] - knots[above - 1])
      seconds = times[above - 1] * pow(times[above] / times[above - 1], share)
    }

    let curve = curves[nearest.index]
    let isOwn = nearest.distance < 1e-9
    let hit = curve.loads.firstIndex { abs($0 - load) < 1e-5 }
    let provenance: Figure.Provenance
    if isOwn && hit != nil {
      provenance = .measured
    } else if nearest.distance <= 1 && beyond < 1e-5 && curve.hardware.name == hardware.name {
      provenance = .interpolated
    } else {
      provenance = .extrapolated
    }
    let noise = hit.map { curve.noises[$0] } ?? 0
    let off = 1.64 * fit.deviation * min(1, nearest.distance + (hit == nil ? 0.25 : 0))
    return Estimate(
      seconds: seconds, provenance: provenance,
      halfWidth: max(0.05, noise) + off + 0.1 * min(beyond / log(2), 3),
      source: curve.source)
  }
}

extension Kernel {
  /// The same shape at another load.
  func scaled(toLoad load: Double) -> Kernel {
    switch self {
    case .gemm(var gemm):
      gemm.rows = load
      return .gemm(gemm)
    case .grouped(var gemm):
      gemm.rows = load
      return .grouped(gemm)
    case .decodeAttention(var attention):
      attention.context = load
      return .decodeAttention(attention)
    case .prefillAttention(var attention):
      let factor = load / self.load
      attention.queries *= factor
      attention.context *= factor
      return .prefillAttention(attention)
    case .stream(var stream):
      stream.bytes = load
      return .stream(stream)
    case .exchange(var exchange):
      exchange.rows *= load / self.load
      return .exchange(exchange)
    case .collective(var collective):
      collective.bytes = load
      return .collective(collective)
    }
  }
}
