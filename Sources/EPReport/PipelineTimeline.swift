internal import EPModel
internal import EPPlan

/// How the lots of a step pass the stages of a pool's pipeline: two steps, from the first start to the
/// last end.
struct PipelineTimeline: Sendable, SVGDrawing {
  private let title: String
  private let subtitle: String
  private let pipeline: PipelineSchedule

  /// The pipeline of a pool of a verified plan; nil where it has none.
  init?(_ plan: Plan, pool index: Int) {
    guard plan.pools.indices.contains(index), let pipeline = plan.pools[index].pipeline else {
      return nil
    }
    let pool = plan.pools[index]
    self.pipeline = pipeline
    title = Escaping.shortened(
      Escaping.printable("\(plan.model.name), \(pool.role.rawValue): the pipeline"), to: 100)
    subtitle = PipelineTimeline.phrase(pipeline, of: pool)
  }

  /// A pipeline in words.
  static func phrase(_ pipeline: PipelineSchedule, of pool: Pool) -> String {
    let tokens = (pool.load.tokens + pipeline.lots - 1) / pipeline.lots
    return "\(Units.plural(pipeline.lots, "lot")) of at most \(Units.plural(tokens, "token")), "
      + "\(Units.nanoseconds(pipeline.interval)) apart; steps follow after "
      + "\(Units.nanoseconds(pipeline.period)), of which stages have "
      + "\(Units.decimal(pipeline.bubble * 100, digits: 1)) % nothing to do"
  }

  /// A lot of a step in a stage.
  private struct Visit {
    var stage: Int
    var lot: Int
    var step: Int
    var start: Int
    var duration: Int
  }

  private var visits: [Visit] {
    (0..<2).flatMap { step in
      (0..<pipeline.lots).flatMap { lot in
        zip(pipeline.starts, pipeline.stages).enumerated().map { stage, place in
          Visit(
            stage: stage, lot: lot, step: step,
            start: place.0 + lot * pipeline.interval + step * pipeline.period, duration: place.1)
        }
      }
    }
  }

  private var end: Int { pipeline.period + pipeline.span }

  // MARK: Picture

  private static let left = 150.0
  private static let width = 1100.0
  private static let fills = ["#1d4ed8", "#c2410c", "#15803d", "#7e22ce"]
  private static let laterFills = ["#93c5fd", "#fdba74", "#86efac", "#d8b4fe"]
  private static let mostLanes = 64

  private static let top = 92.0

  private var lanes: Int { min(pipeline.stages.count, Self.mostLanes) }

  private var lane: Double { lanes > 16 ? 20 : 34 }

  private var bottom: Double { Self.top + Double(lanes) * (lane + 6) }

  /// Pixels from top to bottom.
  var height: Double { bottom + 76 }

  /// A lane for each stage, as an SVG picture that needs no other file.
  var svg: String {
    let (top, width) = (Self.top, Self.left + Self.width + 44)
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(number(width))\" "
        + "height=\"\(number(height))\" viewBox=\"0 0 \(number(width)) \(number(height))\" "
        + "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">",
      "<title>\(Escaping.xml(title))</title>",
      "<defs><pattern id=\"idle\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" "
        + "patternTransform=\"rotate(45)\"><rect width=\"7\" height=\"7\" fill=\"#fef2f2\"/>"
        + "<rect width=\"2.2\" height=\"7\" fill=\"#fca5a5\"/></pattern></defs>",
      rectangle(0, 0, width, height, "fill=\"#ffffff\""),
      text(title, 24, 34, 17, "#0f172a", "font-weight=\"bold\""),
      text(subtitle, 24, 56, 12.5, "#475569"),
    ]
    for stage in 0..<lanes {
      let y = top + Double(stage) * (lane + 6)
      lines.append(
        text(
          "stage \(stage)", Self.left - 14, y + lane / 2 + 4, 12, "#0f172a",
          "text-anchor=\"end\" font-weight=\"bold\""))
      lines.append(rectangle(Self.left, y, Self.width, lane, "fill=\"url(#idle)\""))
    }
    for visit in visits where visit.stage < lanes && visit.duration > 0 {
      lines += draw(visit, y: top + Double(visit.stage) * (lane + 6), lane)
    }
    for (time, name) in [
      (0, "0"), (pipeline.period, Units.nanoseconds(pipeline.period)),
      (pipeline.span, Units.nanoseconds(pipeline.span)), (end, Units.nanoseconds(end)),
    ] {
      lines.append(
        "<path d=\"M\(number(x(time))) \(number(top - 8)) V\(number(bottom))\" stroke=\"#334155\" "
          + "stroke-dasharray=\"4 3\"/>")
      lines.append(text(name, x(time), top - 13, 10.5, "#0f172a", "text-anchor=\"middle\""))
    }
    lines.append(rectangle(Self.left, bottom + 22, 24, 12, "fill=\"\(Self.fills[0])\""))
    lines.append(text("a lot of a step", Self.left + 32, bottom + 32, 11.5, "#334155"))
    lines.append(rectangle(Self.left + 190, bottom + 22, 24, 12, "fill=\"\(Self.laterFills[0])\""))
    lines.append(text("of the next step", Self.left + 222, bottom + 32, 11.5, "#334155"))
    lines.append(
      rectangle(
        Self.left + 380, bottom + 22, 24, 12, "fill=\"url(#idle)\" stroke=\"#fca5a5\""))
    lines.append(
      text(
        "no lot to work on; steps before and after are left out", Self.left + 412, bottom + 32,
        11.5,
        "#334155"))
    lines.append("</svg>")
    return lines.map { $0 + "\n" }.joined()
  }

  private func x(_ time: Int) -> Double {
    Self.left + Self.width * Double(time) / Double(max(end, 1))
  }

  private func draw(_ visit: Visit, y: Double, _ lane: Double) -> [String] {
    let (from, to) = (x(visit.start), x(visit.start + visit.duration))
    let fills = visit.step == 0 ? Self.fills : Self.laterFills
    let hint =
      "lot \(visit.lot) of step \(visit.step) in stage \(visit.stage): "
      + "\(Units.nanoseconds(visit.duration)) from \(Units.nanoseconds(visit.start))"
    var lines = ["<g><title>\(hint)</title>"]
    lines.append(
      rectangle(
        from, y, max(to - from, 0.6), lane,
        "rx=\"2\" fill=\"\(fills[visit.lot % fills.count])\" stroke=\"#ffffff\" "
          + "stroke-width=\"\(to - from > 3 ? "0.8" : "0")\""))
    let name = to - from > 44 ? "lot \(visit.lot)" : to - from > 12 ? "\(visit.lot)" : ""
    if !name.isEmpty {
      lines.append(
        text(
          name, (from + to) / 2, y + lane / 2 + 4, 11, visit.step == 0 ? "#ffffff" : "#0f172a",
          "text-anchor=\"middle\""))
    }
    return lines + ["</g>"]
  }

  // MARK: Trace

  /// Two steps as trace events, a thread for each stage.
  var events: [Document] {
    var events = [Timeline.metadata("process_name", title, process: 1, thread: nil)]
    for stage in pipeline.stages.indices {
      events.append(Timeline.metadata("thread_name", "stage \(stage)", process: 1, thread: stage))
    }
    return events
      + visits.map { visit in
        .object([
          "name": .text("lot \(visit.lot)"), "cat": .text("step \(visit.step)"), "ph": .text("X"),
          "pid": .int(1), "tid": .int(visit.stage), "ts": .real(Double(visit.start) / 1e3),
          "dur": .real(Double(visit.duration) / 1e3),
          "args": .object(["lot": .int(visit.lot), "step": .int(visit.step)]),
        ])
      }
  }
}
