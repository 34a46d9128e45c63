internal import EPModel
internal import EPPlan

extension PlanGraph {
  /// The graph as an SVG picture that needs no other file.
  public var svg: String {
    let legend = legendItems
    let legendWidth = legend.reduce(0) { $0 + $1.width }
    let heading = max(
      GraphMetrics.width(title, GraphMetrics.Size.heading),
      GraphMetrics.width(subtitle, GraphMetrics.Size.detail))
    let layout = GraphLayout(
      self,
      minimumWidth: max(heading, min(legendWidth, 760)) + 2 * GraphLayout.Space.margin,
      footer: 64)
    let (width, height) = (number(layout.size.width), number(layout.size.height))
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(width)\" height=\"\(height)\" "
        + "viewBox=\"0 0 \(width) \(height)\" "
        + "font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\">",
      "<title>\(Escaping.xml(title))</title>",
      "<defs>",
      marker("data", "#64748b"), marker("exchange", "#db2777"),
      "</defs>",
      "<rect width=\"\(width)\" height=\"\(height)\" fill=\"#ffffff\"/>",
      text(title, x: 28, y: 34, GraphMetrics.Size.heading, "#0f172a", "font-weight=\"bold\""),
      text(subtitle, x: 28, y: 52, GraphMetrics.Size.detail, "#475569"),
    ]
    writeLane(layout, to: &lines)
    writeClusters(layout, to: &lines)
    writeStretches(layout, to: &lines)
    writeLabels(layout, to: &lines)
    for (index, node) in nodes.enumerated() { write(node, in: layout.boxes[index], to: &lines) }
    writeLegend(legend, layout, to: &lines)
    lines.append("</svg>")
    return lines.map { $0 + "\n" }.joined()
  }

  private func number(_ value: Double) -> String {
    let text = Units.decimal(value, digits: 1)
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  private func text(
    _ text: String, x: Double, y: Double, _ size: Double, _ colour: String, _ more: String = ""
  ) -> String {
    "<text x=\"\(number(x))\" y=\"\(number(y))\" font-size=\"\(number(size))\" fill=\"\(colour)\""
      + (more.isEmpty ? "" : " " + more) + ">\(Escaping.xml(text))</text>"
  }

  private func rectangle(_ box: GraphLayout.Box, _ style: String) -> String {
    "<rect x=\"\(number(box.x))\" y=\"\(number(box.y))\" width=\"\(number(box.width))\" "
      + "height=\"\(number(box.height))\" \(style)/>"
  }

  private func marker(_ name: String, _ colour: String) -> String {
    "<marker id=\"\(name)\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" "
      + "markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0.5 L8 4 L0 7.5 z\" fill=\"\(colour)\"/>"
      + "</marker>"
  }

  private func writeLane(_ layout: GraphLayout, to lines: inout [String]) {
    guard let lane = layout.lane else { return }
    lines.append(
      rectangle(
        lane, "rx=\"10\" fill=\"#fdf4ff\" stroke=\"#f0abfc\" stroke-dasharray=\"6 4\""))
    lines.append(
      text(
        "communication stream", x: lane.middle, y: lane.y + 17, GraphMetrics.Size.detail, "#a21caf",
        "text-anchor=\"middle\""))
  }

  private func writeClusters(_ layout: GraphLayout, to lines: inout [String]) {
    for cluster in layout.clusters {
      let fill = cluster.depth == 1 ? "#f8fafc" : "#ffffff"
      lines.append(rectangle(cluster.box, "rx=\"8\" fill=\"\(fill)\" stroke=\"#cbd5e1\""))
    }
    for cluster in layout.clusters {
      lines.append(
        text(
          Escaping.shortened(Escaping.printable(cluster.name), to: 40), x: cluster.box.x + 8,
          y: cluster.box.y + 12, GraphMetrics.Size.label, "#64748b"))
    }
  }

  private func writeStretches(_ layout: GraphLayout, to lines: inout [String]) {
    for stretch in layout.stretches {
      let (from, to) = (stretch.from, stretch.to)
      let middle = (from.y + to.y) / 2
      var path =
        "M\(number(from.x)) \(number(from.y - stretch.stem)) V\(number(from.y)) "
        + "C\(number(from.x)) \(number(middle)) \(number(to.x)) \(number(middle)) "
        + "\(number(to.x)) \(number(to.y))"
      if let end = stretch.passesTo { path += " V\(number(end))" }
      let colour = stretch.isCommunication ? "#db2777" : "#64748b"
      let isIndex = types[stretch.value].element == .index
      lines.append(
        "<path d=\"\(path)\" fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.3\""
          + (isIndex ? " stroke-dasharray=\"5 3\"" : "")
          + (stretch.isLast
            ? " marker-end=\"url(#\(stretch.isCommunication ? "exchange" : "data"))\"" : "") + "/>")
    }
  }

  private func writeLabels(_ layout: GraphLayout, to lines: inout [String]) {
    for label in layout.labels {
      lines.append(
        rectangle(
          GraphLayout.Box(
            x: label.x - label.width / 2, y: label.y - 9, width: label.width, height: 12),
          "rx=\"3\" fill=\"#ffffff\" fill-opacity=\"0.9\""))
      lines.append(
        text(
          label.text, x: label.x, y: label.y, GraphMetrics.Size.label, "#475569",
          "text-anchor=\"middle\""))
    }
  }

  private func write(_ node: Node, in box: GraphLayout.Box, to lines: inout [String]) {
    let (fill, line) = node.family.colours
    let isThick = node.stream == .communication
    let radius = node.operation == nil ? box.height / 2 : 6
    lines.append(
      rectangle(
        box,
        "rx=\"\(number(radius))\" fill=\"\(fill)\" stroke=\"\(line)\" "
          + "stroke-width=\"\(isThick ? "2.2" : "1.2")\""))
    let numberWidth =
      node.operation.map { GraphMetrics.width("  \($0)", GraphMetrics.Size.label) } ?? 0
    let middle = "text-anchor=\"middle\""
    lines.append(
      text(
        node.title, x: box.middle - numberWidth / 2, y: box.y + 18, GraphMetrics.Size.title,
        "#0f172a", middle + " font-weight=\"bold\""))
    if let operation = node.operation {
      lines.append(
        text(
          "\(operation)", x: box.right - 6, y: box.y + 13, GraphMetrics.Size.label, line,
          "text-anchor=\"end\""))
    }
    var y = box.y + 33
    for (text, colour) in [(node.detail, "#334155"), (node.note, "#be123c")] where !text.isEmpty {
      lines.append(
        self.text(text, x: box.middle, y: y, GraphMetrics.Size.detail, colour, middle))
      y += 15
    }
  }

  // MARK: Legend

  private struct LegendItem {
    var text: String
    var family: OpFamily?
    var dashed = false
    var width: Double { GraphMetrics.width(text, GraphMetrics.Size.label) + 44 }
  }

  private var legendItems: [LegendItem] {
    var items = OpFamily.allCases.filter { family in nodes.contains { $0.family == family } }
      .map { LegendItem(text: $0.rawValue, family: $0) }
    items.append(LegendItem(text: "values"))
    if edges.contains(where: { types[$0.value].element == .index }) {
      items.append(LegendItem(text: "indices", dashed: true))
    }
    return items
  }

  private func writeLegend(
    _ items: [LegendItem], _ layout: GraphLayout, to lines: inout [String]
  ) {
    var (x, y) = (GraphLayout.Space.margin, layout.size.height - 48)
    for item in items {
      if x + item.width > layout.size.width - GraphLayout.Space.margin
        && x > GraphLayout.Space.margin
      {
        x = GraphLayout.Space.margin
        y += 20
      }
      if let family = item.family {
        let (fill, line) = family.colours
        lines.append(
          rectangle(
            GraphLayout.Box(x: x, y: y - 9, width: 18, height: 12),
            "rx=\"3\" fill=\"\(fill)\" stroke=\"\(line)\""))
      } else {
        lines.append(
          "<path d=\"M\(number(x)) \(number(y - 3)) H\(number(x + 18))\" stroke=\"#64748b\" "
            + "stroke-width=\"1.3\"" + (item.dashed ? " stroke-dasharray=\"5 3\"" : "") + "/>")
      }
      lines.append(text(item.text, x: x + 24, y: y + 1, GraphMetrics.Size.label, "#334155"))
      x += item.width
    }
  }
}
