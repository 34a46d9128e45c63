public import EPIR
public import EPModel
public import EPPlan

/// A layer that somebody profiled: what ran, and the time of its parts.
public struct MeasuredLayer: Sendable {
  /// A part of it.
  public struct Part: Sendable {
    /// Which.
    public var part: OpEstimate.Part
    /// Seconds, over all micro-batches.
    public var seconds: Double
    /// Whether a constant of the model was fitted to it.
    public var isFitted: Bool
  }

  /// Its name.
  public var name: String
  /// The model's file, as the layer file names it.
  public var model: String
  /// The kind of device.
  public var hardware: String
  /// Where it was published.
  public var source: String
  /// Prefill or decode.
  public var role: Pool.Role
  /// Ranks that experts are spread over.
  public var expertRanks: Int
  /// Slots beyond the logical experts.
  public var redundantExperts: Int
  /// Sequences of a device, over all micro-batches.
  public var sequences: Double
  /// Tokens of a device, over all micro-batches.
  public var tokens: Double
  /// Tokens that each attends to.
  public var context: Double
  /// Micro-batches of the step.
  public var microBatches: Int
  /// Whether they ran beside each other.
  public var isOverlapped: Bool
  /// The parts.
  public var parts: [Part] = []
  /// Seconds of the whole layer.
  public var elapsed = 0.0

  /// Reads a file with a row for each part of each layer; those of a layer follow one another, and one
  /// of them is `elapsed`. Times are in microseconds.
  public static func read(
    csv bytes: [UInt8], named name: String
  ) throws(Diagnostics) -> [MeasuredLayer] {
    let lines = CSV.rows(bytes)
    let columns = [
      "layer", "model", "hardware", "phase", "ep", "redundant", "sequences", "tokens", "context",
      "micro_batches", "overlapped", "part", "us", "fit", "source",
    ]
    guard lines.first == columns else {
      throw Diagnostics(
        "layer-file", "the columns are \(columns.joined(separator: ","))", at: name)
    }
    var layers: [MeasuredLayer] = []
    for (index, line) in lines.enumerated().dropFirst() where line != [""] {
      let place = "\(name):\(index + 1)"
      guard line.count == columns.count else {
        throw Diagnostics(
          "layer-file", "\(line.count) fields under \(columns.count) columns", at: place)
      }
      func number(_ column: Int) throws(Diagnostics) -> Double {
        guard let number = Double(line[column]), number >= 0, number <= 1e9 else {
          throw Diagnostics(
            "layer-file", "'\(line[column])' under '\(columns[column])' is no number", at: place)
        }
        return number
      }
      guard let role = Pool.Role(rawValue: line[3]), role != .unified else {
        throw Diagnostics(
          "layer-file", "'\(line[3])' under 'phase'; it is prefill or decode", at: place)
      }
      if layers.last?.name != line[0] {
        layers.append(
          MeasuredLayer(
            name: line[0], model: line[1], hardware: line[2], source: line[14], role: role,
            expertRanks: Int(try number(4)), redundantExperts: Int(try number(5)),
            sequences: try number(6), tokens: try number(7), context: try number(8),
            microBatches: max(1, Int(try number(9))), isOverlapped: line[10] == "yes"))
      }
      let seconds = try number(12) * 1e-6
      if line[11] == "elapsed" {
        layers[layers.count - 1].elapsed = seconds
      } else if let part = OpEstimate.Part(rawValue: line[11]) {
        layers[layers.count - 1].parts.append(
          Part(part: part, seconds: seconds, isFitted: line[13] == "yes"))
      } else {
        let known = OpEstimate.Part.allCases.map(\.rawValue).joined(separator: ", ")
        throw Diagnostics(
          "layer-file", "'\(line[11])' under 'part'; it is elapsed or one of \(known)", at: place)
      }
    }
    return layers
  }

  /// What the cost model says of one micro-batch of the layer that a pool has most of; nil where it
  /// has none.
  public func estimate(
    of pool: Pool, precision: Precision, on model: CostModel
  ) -> FunctionEstimate? {
    var estimator = StepEstimator(pool, precision: precision, model: model)
    estimator.step = StepShape(
      isPrefill: role == .prefill, sequences: sequences, tokens: tokens, context: context)
    estimator.microBatches = microBatches
    let layer = estimator.estimate().stages.joined().max { $0.layers.count < $1.layers.count }
    return isOverlapped ? layer?.contended(Contention(), on: model.hardware) : layer
  }
}

/// A measured part of a layer beside what the cost model says of it.
public struct LayerComparison: Sendable {
  /// The layer.
  public var layer: String
  /// Where that was published.
  public var source: String
  /// The part, or what stands for the whole.
  public var part: String
  /// What the cost model says.
  public var predicted: Figure
  /// Seconds as measured.
  public var measured: Double
  /// Whether a constant of the model was fitted to it.
  public var isFitted: Bool

  /// Predicted over measured, less one.
  public var error: Double { predicted.value / measured - 1 }

  /// The parts of a layer, and last the whole of it.
  public static func all(
    _ layer: MeasuredLayer, _ estimate: FunctionEstimate
  ) -> [LayerComparison] {
    let count = Double(layer.microBatches)
    let parts = layer.parts.map { part in
      LayerComparison(
        layer: layer.name, source: layer.source, part: part.part.rawValue,
        predicted: estimate.time(of: part.part).scaled(by: count), measured: part.seconds,
        isFitted: part.isFitted)
    }
    let whole = layer.isOverlapped ? estimate.overlapped : estimate.serial
    return parts + [
      LayerComparison(
        layer: layer.name, source: layer.source,
        part: layer.isOverlapped ? "busier stream / elapsed" : "sum / elapsed",
        predicted: whole.scaled(by: count), measured: layer.elapsed, isFitted: false)
    ]
  }

  /// A line for each.
  package static func table(_ rows: [LayerComparison]) -> ReportTable {
    rows.table([
      .words("layer", "layer") { .text($0.layer) },
      .words("part", "part") { .text($0.part) },
      .figure("predicted (us)", "predicted_seconds") { .number($0.predicted.value, by: 1e6) },
      .figure("90 %", "interval") { .interval($0.predicted, by: 1e6) },
      .figure("measured (us)", "measured_seconds") { .number($0.measured, by: 1e6) },
      .figure("error", "error") { .error($0.error) },
      .words("used in the fit", "fitted") { .flag($0.isFitted) },
    ])
  }
}
