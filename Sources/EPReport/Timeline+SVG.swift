internal import EPPlan

extension Timeline: SVGDrawing {
  /// Where things are, in pixels.
  private enum Place {
    static let left = 150.0
    static let width = 1100.0
    static let right = 44.0
    static let top = 92.0
    static let lane = 74.0
    static let gap = 26.0
    static let strip = 12.0
  }

  /// Fills and text colours of a micro-batch's parts.
  private struct Palette {
    var strong: String
    var middle: String
    var light: String
    var pale: String
    var text: String
  }

  private static let palettes = [
    Palette(
      strong: "#1d4ed8", middle: "#3b82f6", light: "#93c5fd", pale: "#dbeafe", text: "#1e3a8a"),
    Palette(
      strong: "#c2410c", middle: "#f97316", light: "#fdba74", pale: "#ffedd5", text: "#7c2d12"),
    Palette(
      strong: "#15803d", middle: "#22c55e", light: "#86efac", pale: "#dcfce7", text: "#14532d"),
    Palette(
      strong: "#7e22ce", middle: "#a855f7", light: "#d8b4fe", pale: "#f3e8ff", text: "#581c87"),
  ]

  /// The period as an SVG picture that needs no other file.
  var svg: String {
    let width = Place.left + Place.width + Place.right
    let (bottom, height) = (bottom, height)
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(number(width))\" "
        + "height=\"\(number(height))\" viewBox=\"0 0 \(number(width)) \(number(height))\" "
        + "font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">",
      "<title>\(Escaping.xml(title))</title>",
      "<defs><pattern id=\"idle\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" "
        + "patternTransform=\"rotate(45)\"><rect width=\"7\" height=\"7\" fill=\"#fef2f2\"/>"
        + "<rect width=\"2.2\" height=\"7\" fill=\"#f87171\"/></pattern></defs>",
      "<rect width=\"\(number(width))\" height=\"\(number(height))\" fill=\"#ffffff\"/>",
      text(title, 24, 34, 17, "#0f172a", "font-weight=\"bold\""),
      text(subtitle, 24, 56, 12.5, "#475569"),
    ]
    writeAxis(bottom, to: &lines)
    for stream in ShardedFunction.Stream.allCases { write(stream, to: &lines) }
    writeExposed(bottom, to: &lines)
    writeLegend(bottom + Place.strip + 52, to: &lines)
    lines.append("</svg>")
    return lines.map { $0 + "\n" }.joined()
  }

  private var bottom: Double {
    Place.top + Double(ShardedFunction.Stream.allCases.count) * (Place.lane + Place.gap)
  }

  /// Pixels from top to bottom.
  var height: Double { bottom + Place.strip + 118 }

  private func x(_ time: Int) -> Double {
    Place.left + Place.width * Double(time) / Double(max(schedule.period, 1))
  }

  private func y(_ stream: ShardedFunction.Stream) -> Double {
    Place.top + Double(stream.rawValue) * (Place.lane + Place.gap)
  }

  // MARK: Lanes

  private func write(_ stream: ShardedFunction.Stream, to lines: inout [String]) {
    let top = y(stream)
    let name = stream == .compute ? "compute" : "communication"
    lines.append(
      text(
        name, Place.left - 14, top + 31, 13, "#0f172a", "text-anchor=\"end\" font-weight=\"bold\"")
    )
    lines.append(
      text(
        "busy \(Units.decimal(schedule.utilisation(stream) * 100, digits: 1)) %", Place.left - 14,
        top + 49, 11.5, "#64748b", "text-anchor=\"end\""))
    lines.append(
      rectangle(Place.left, top, Place.width, Place.lane, "fill=\"#f8fafc\" stroke=\"#e2e8f0\""))
    if stream == .compute {
      for range in exposed {
        lines.append(
          rectangle(
            x(range.lowerBound), top, x(range.upperBound) - x(range.lowerBound), Place.lane,
            "fill=\"url(#idle)\""))
      }
    }
    for segment in segments where segment.stream == stream { write(segment, top, to: &lines) }
  }

  private func write(_ segment: Segment, _ top: Double, to lines: inout [String]) {
    let end = segment.start + segment.duration
    let parts =
      end > schedule.period
      ? [(segment.start, schedule.period), (0, end - schedule.period)] : [(segment.start, end)]
    let widest = parts.max { $0.1 - $0.0 < $1.1 - $1.0 }
    lines.append("<g><title>\(Escaping.xml(hint(segment)))</title>")
    let (fill, ink) = colours(segment)
    for (from, to) in parts {
      let (left, right) = (x(from), x(to))
      lines.append(
        rectangle(
          left, top + 3, max(right - left, 0.6), Place.lane - 6,
          "rx=\"\(right - left > 8 ? "3" : "0")\" fill=\"\(fill)\" stroke=\"#ffffff\" "
            + "stroke-width=\"\(right - left > 3 ? "0.8" : "0")\""))
      writeKernels(segment, from: from, to: to, top, ink, to: &lines)
      if let widest, (from, to) == widest {
        writeLabel(segment, left, right, top, ink, to: &lines)
      }
    }
    lines.append("</g>")
  }

  /// Fine lines where one kernel ends and the next begins.
  private func writeKernels(
    _ segment: Segment, from: Int, to: Int, _ top: Double, _ ink: String, to lines: inout [String]
  ) {
    for kernel in segment.kernels.dropFirst() {
      let time = (segment.start + kernel.start) % schedule.period
      if time <= from || time >= to { continue }
      lines.append(
        "<path d=\"M\(number(x(time))) \(number(top + Place.lane - 14)) v9\" stroke=\"\(ink)\" "
          + "stroke-opacity=\"0.55\" stroke-width=\"0.7\"/>")
    }
  }

  private func writeLabel(
    _ segment: Segment, _ left: Double, _ right: Double, _ top: Double, _ ink: String,
    to lines: inout [String]
  ) {
    let room = right - left
    let middle = (left + right) / 2
    let name = segment.phase.rawValue
    let time = Units.nanoseconds(segment.duration)
    // About 6.6 pixels a letter at this size.
    func fits(_ text: String, _ size: Double) -> Bool {
      Double(text.count) * size * 0.6 + 6 <= room
    }
    if fits(name, 12) {
      lines.append(
        text(
          name, middle, top + 32, 12, ink, "text-anchor=\"middle\" font-weight=\"bold\""))
      if fits(time, 10.5) {
        lines.append(text(time, middle, top + 48, 10.5, ink, "text-anchor=\"middle\""))
      }
    } else if room >= 12 {
      let short = name == Phase.shared.rawValue ? "shared" : name
      lines.append(
        text(
          short, 0, 0, 10, ink,
          "text-anchor=\"middle\" transform=\"translate(\(number(middle + 3.5)) "
            + "\(number(top + Place.lane / 2 - 3))) rotate(-90)\""))
    }
  }

  private func colours(_ segment: Segment) -> (fill: String, ink: String) {
    let palette = Timeline.palettes[segment.batch % Timeline.palettes.count]
    switch segment.phase {
    case .attention, .combine: return (palette.strong, "#ffffff")
    case .experts, .dispatch, .feedForward, .collective: return (palette.middle, "#ffffff")
    case .shared, .router: return (palette.light, palette.text)
    case .send, .receive: return (palette.pale, palette.text)
    }
  }

  private func hint(_ segment: Segment) -> String {
    let layer =
      segment.layersBefore == 0
      ? "" : ", \(Units.plural(segment.layersBefore, "layer")) behind the first"
    let kernels = segment.kernels.map { "\($0.name) \(Units.nanoseconds($0.duration))" }
    return "\(segment.phase.rawValue), micro-batch \(segment.batch)\(layer): "
      + "\(Units.nanoseconds(segment.duration)) from \(Units.nanoseconds(segment.start)); "
      + kernels.joined(separator: ", ")
  }

  // MARK: Axis and notes

  private func writeAxis(_ bottom: Double, to lines: inout [String]) {
    let period = Double(max(schedule.period, 1))
    var step = 1.0
    while period / step > 12 {
      for factor in [2.0, 2.5, 2.0] where period / step > 12 { step *= factor }
    }
    var time = 0.0
    while time <= period * 1.000001 {
      let place = x(Int(time))
      lines.append(
        "<path d=\"M\(number(place)) \(number(Place.top - 8)) V\(number(bottom - Place.gap + 4))\" "
          + "stroke=\"#e2e8f0\"/>")
      if period - time > period * 0.045 || period - time < 1 {
        lines.append(
          text(
            time == 0 ? "0" : Units.nanoseconds(Int(time)), place, Place.top - 13, 10.5,
            "#64748b", "text-anchor=\"middle\""))
      }
      time += step
    }
    for edge in [0, schedule.period] {
      lines.append(
        "<path d=\"M\(number(x(edge))) \(number(Place.top - 8)) "
          + "V\(number(bottom + Place.strip + 6))\" stroke=\"#334155\" stroke-dasharray=\"4 3\"/>")
    }
    lines.append(
      text(
        Units.nanoseconds(schedule.period), x(schedule.period), Place.top - 13, 10.5, "#0f172a",
        "text-anchor=\"middle\" font-weight=\"bold\""))
  }

  private func writeExposed(_ bottom: Double, to lines: inout [String]) {
    let top = bottom - 4
    lines.append(
      text(
        "exposed", Place.left - 14, top + 10, 11.5, "#b91c1c", "text-anchor=\"end\""))
    lines.append(
      rectangle(Place.left, top, Place.width, Place.strip, "fill=\"#f1f5f9\""))
    for range in exposed {
      lines.append(
        rectangle(
          x(range.lowerBound), top, max(x(range.upperBound) - x(range.lowerBound), 1),
          Place.strip, "fill=\"#dc2626\""))
    }
    lines.append(
      text(
        "\(Units.decimal(schedule.exposed * 100, digits: 1)) % of the layer: nothing computes",
        Place.left, top + Place.strip + 15, 11, "#b91c1c"))
  }

  private func writeLegend(_ top: Double, to lines: inout [String]) {
    var left = Place.left
    for batch in 0..<schedule.microBatches {
      let palette = Timeline.palettes[batch % Timeline.palettes.count]
      for (index, fill) in [palette.strong, palette.middle, palette.light, palette.pale]
        .enumerated()
      {
        lines.append(
          rectangle(left + Double(index) * 15, top - 10, 15, 12, "fill=\"\(fill)\""))
      }
      let name = schedule.microBatches == 1 ? "the batch" : "micro-batch \(batch)"
      lines.append(text(name, left + 68, top, 11.5, "#334155"))
      left += 190
    }
    lines.append(rectangle(left, top - 10, 24, 12, "fill=\"url(#idle)\" stroke=\"#fca5a5\""))
    lines.append(text("compute idle", left + 32, top, 11.5, "#334155"))
    let bound = schedule.lowerBound
    let reason =
      bound == schedule.recurrence && bound > schedule.busy(.compute)
        && bound > schedule.busy(.communication)
      ? "the way through one micro-batch's layer"
      : bound == schedule.busy(.compute)
        ? "the compute stream is busy all the time"
        : bound == schedule.busy(.communication)
          ? "the communication stream is busy all the time" : "all shorter ones are refuted"
    lines.append(
      text(
        "no schedule of this layer is shorter than \(Units.nanoseconds(bound)): \(reason)"
          + (schedule.multiprocessors.map { "; exchanges take \($0) multiprocessors" } ?? ""),
        Place.left, top + 26, 11.5, "#475569"))
  }

}

/// A picture made of SVG elements.
protocol SVGDrawing {}

extension SVGDrawing {
  func number(_ value: Double) -> String {
    let text = Units.decimal(value, digits: 2)
    return text.hasSuffix(".00") ? String(text.dropLast(3)) : text
  }

  func text(
    _ text: String, _ x: Double, _ y: Double, _ size: Double, _ colour: String, _ more: String = ""
  ) -> String {
    "<text x=\"\(number(x))\" y=\"\(number(y))\" font-size=\"\(number(size))\" fill=\"\(colour)\""
      + (more.isEmpty ? "" : " " + more) + ">\(Escaping.xml(text))</text>"
  }

  func rectangle(
    _ x: Double, _ y: Double, _ width: Double, _ height: Double, _ style: String
  ) -> String {
    "<rect x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(width))\" "
      + "height=\"\(number(height))\" \(style)/>"
  }
}
