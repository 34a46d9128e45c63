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

  /// The distance, in octaves, at which measurements of like hardware count.
  static let otherHardware = 0.5

  /// The nearest curve to a shape and how far it is, in octaves.
  private func nearest(_ kernel: Kernel, on hardware: Hardware) -> (index: Int, distance: Double)? {
    let coordinates = kernel.coordinates.map { log2($0) }
    return curves.indices.lazy.map {
      ($0, self.curves[$0].distance(to: coordinates, on: hardware))
    }.min { $0.1 < $1.1 }
  }

  /// The time of a kernel, by its shape's surface, and how far that can be trusted.
  func estimate(_ kernel: Kernel, by surface: TimeSurface, on hardware: Hardware) -> Estimate {
    let seconds = surface.seconds(of: kernel, on: hardware)
    guard let (index, distance) = nearest(kernel, on: hardware) else {
      return Estimate(seconds: seconds, provenance: .derived, halfWidth: 0.5, source: "")
    }
    let load = log(kernel.load)
    let beyond = surface.beyond(load)
    let curve = curves[index]
    let hit = curve.loads.firstIndex { abs($0 - load) < 1e-5 }
    let provenance: Figure.Provenance
    if distance < 1e-9 && hit != nil {
      provenance = .measured
    } else if distance <= 1 && beyond < 1e-5 && curve.hardware.name == hardware.name {
      provenance = .interpolated
    } else {
      provenance = .extrapolated
    }
    let noise = hit.map { curve.noises[$0] } ?? 0
    let off = 1.64 * fit.deviation * min(1, distance + (hit == nil ? 0.25 : 0))
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

  /// What a shape has so many of, beside its load: groups of rows, or sequences; nil for others.
  var count: Double? {
    switch self {
    case .grouped(let gemm): return gemm.groups
    case .decodeAttention(let attention), .prefillAttention(let attention):
      return attention.sequences
    case .gemm, .stream, .exchange, .collective: return nil
    }
  }

  /// The same shape with so many groups or sequences.
  func scaled(toCount count: Double) -> Kernel {
    switch self {
    case .grouped(var gemm):
      gemm.groups = count
      return .grouped(gemm)
    case .decodeAttention(var attention):
      attention.sequences = count
      return .decodeAttention(attention)
    case .prefillAttention(var attention):
      attention.sequences = count
      return .prefillAttention(attention)
    case .gemm, .stream, .exchange, .collective: return self
    }
  }

  /// The shape alone: one of what it counts, at the least load; prompts all new.
  var unit: Kernel {
    switch scaled(toCount: 1) {
    case .prefillAttention(var attention):
      (attention.queries, attention.context) = (1, 1)
      return .prefillAttention(attention)
    case .exchange(var exchange):
      exchange.rows = 1
      return .exchange(exchange)
    case .stream(var stream):
      (stream.bytes, stream.operations) = (1, 0)
      return .stream(stream)
    case let other: return other.scaled(toLoad: 1)
    }
  }
}
