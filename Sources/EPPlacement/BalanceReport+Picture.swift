extension BalanceReport {
  /// An SVG picture: a row of cells for each layer, a cell for each rank from the fullest on, its
  /// colour the rank's load over the mean; experts in order on the left, as placed on the right.
  public var picture: String {
    let cell = max(2.0, min(48, 420 / Double(shape.ranks)))
    let row = max(3.0, min(12, 600 / Double(max(layers.count, 1))))
    let width = cell * Double(shape.ranks)
    // As wide as what stands above it, at least.
    let panel = max(width, 220)
    let height = row * Double(layers.count)
    let (left, top, gap) = (56.0, 70.0, 90.0)
    let right = left + panel + gap
    var svg = SVGText(width: right + panel + 80, height: top + height + 60)
    svg.text("Load of each rank over the mean, fullest first", x: left, y: 22, size: 15)
    svg.text("experts in order: balance \(fixed(mean(\.before), 3))", x: left, y: 58, size: 12)
    svg.text(
      "placed: balance \(fixed(mean(\.balance), 3)), at most \(fixed(mean(\.bound), 3))", x: right,
      y: 58, size: 12)
    svg.text("balance", x: right + panel + 8, y: top - 4, size: 10)
    for (index, layer) in layers.enumerated() {
      let y = top + row * Double(index)
      if index % max(1, Int(14 / row)) == 0 {
        svg.text("\(layer.layer)", x: left - 6, y: y + min(row, 11), size: 10, anchor: "end")
        svg.text(
          fixed(layer.balance, 3), x: right + panel + 8, y: y + min(row, 11), size: 10)
      }
      for (start, loads) in [(left, loadsInOrder[index]), (right, placements[index].rankLoads)] {
        let mean = max(loads.reduce(0, +) / Double(shape.ranks), 1e-300)
        for (rank, load) in loads.sorted(by: >).enumerated() {
          svg.rectangle(
            x: start + cell * Double(rank), y: y, width: cell, height: row,
            colour: BalanceReport.colour(load / mean))
        }
      }
    }
    let below = top + height + 24
    for (index, value) in [0, 0.5, 1, 1.5, 2, 3].enumerated() {
      let x = left + Double(index) * 56
      svg.rectangle(x: x, y: below, width: 14, height: 14, colour: BalanceReport.colour(value))
      svg.text(
        (value == 3 ? "3+" : fixed(value, 1)) + "x", x: x + 19, y: below + 11, size: 11)
    }
    return svg.text
  }

  /// White at the mean, blue below it, red above it, dark from three times on.
  private static func colour(_ value: Double) -> String {
    func mix(_ a: (Double, Double, Double), _ b: (Double, Double, Double), _ t: Double) -> String {
      let parts = [a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t, a.2 + (b.2 - a.2) * t]
      return "rgb(" + parts.map { "\(Int($0.rounded()))" }.joined(separator: ",") + ")"
    }
    let (cool, even, warm, hot) = (
      (60.0, 110.0, 190.0), (245.0, 245.0, 240.0), (215.0, 95.0, 60.0), (95.0, 10.0, 30.0)
    )
    if value <= 1 { return mix(cool, even, max(value, 0)) }
    if value <= 2 { return mix(even, warm, value - 1) }
    return mix(warm, hot, min(value - 2, 1))
  }
}

/// An SVG document in the making.
private struct SVGText {
  private var body: String
  private let width: Double
  private let height: Double

  init(width: Double, height: Double) {
    self.width = width
    self.height = height
    body = ""
  }

  /// The document.
  var text: String {
    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(fixed(width, 0))\" "
      + "height=\"\(fixed(height, 0))\" font-family=\"sans-serif\">\n"
      + "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n" + body + "</svg>\n"
  }

  mutating func text(
    _ text: String, x: Double, y: Double, size: Int, anchor: String = "start"
  ) {
    body +=
      "<text x=\"\(fixed(x, 1))\" y=\"\(fixed(y, 1))\" font-size=\"\(size)\" "
      + "text-anchor=\"\(anchor)\">\(text)</text>\n"
  }

  mutating func rectangle(
    x: Double, y: Double, width: Double, height: Double, colour: String
  ) {
    body +=
      "<rect x=\"\(fixed(x, 2))\" y=\"\(fixed(y, 2))\" width=\"\(fixed(width, 2))\" "
      + "height=\"\(fixed(height, 2))\" fill=\"\(colour)\"/>\n"
  }
}
