public import EPModel
public import EPPlan

/// When things run by a plan: one period of a repeated layer, and how lots pass the stages of a
/// pipeline.
public struct PlanTimeline: Sendable {
  private let layer: Timeline?
  private let pipeline: PipelineTimeline?

  /// The schedules of a pool of a verified plan. The layer is the scheduled function that most layers
  /// call, or the one of that name, without the pipeline. Nil where there is nothing to show.
  public init?(_ plan: Plan, pool: Int = 0, function: String? = nil) {
    layer = Timeline(plan, pool: pool, function: function)
    pipeline = function == nil ? PipelineTimeline(plan, pool: pool) : nil
    if layer == nil && pipeline == nil { return nil }
  }

  /// The schedules as an SVG picture that needs no other file.
  public var svg: String {
    guard let layer else { return pipeline?.svg ?? "" }
    guard let pipeline else { return layer.svg }
    let height = layer.number(layer.height + pipeline.height)
    return "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1294\" height=\"\(height)\" "
      + "viewBox=\"0 0 1294 \(height)\">\n" + layer.svg
      + "<g transform=\"translate(0 \(layer.number(layer.height)))\">\n" + pipeline.svg
      + "</g>\n</svg>\n"
  }

  /// The same as trace events, which Perfetto and Chrome's tracing page show.
  public var trace: Document {
    .object([
      "displayTimeUnit": .text("ns"),
      "traceEvents": .list((layer?.events ?? []) + (pipeline?.events ?? [])),
    ])
  }
}
