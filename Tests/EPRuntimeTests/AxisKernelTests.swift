import EPModel
import Glibc
import Testing

private let a3 = Axis("a", 3)
private let b4 = Axis("b", 4)

/// Kernels along axes against formulas written down again.
@Suite struct AxisKernelTests {
  private func harness(_ x: [Float], rows: Int = 2) -> KernelHarness {
    var harness = KernelHarness(sequences: [(rows, 0)])
    harness.value("x", [.tokens, a3, b4], x)
    return harness
  }

  @Test(arguments: ["rms", "layer", "l2"], [1, 2])
  func normsRunAlongTheLastAxes(form: String, axes: Int) throws {
    let x = numbers(24)
    let shape = [a3, b4].suffix(axes)
    let size = axes == 1 ? 4 : 12
    let (weight, bias) = (numbers(size, 2), numbers(size, 3))
    var harness = self.harness(x)
    harness.weight("weight", Array(shape), weight)
    harness.weight("bias", Array(shape), bias)
    let made = try harness.run(
      .norm,
      [
        "form": .text(form), "axes": .list(shape.map { .text($0.name) }), "epsilon": 1e-3,
        "weight_offset": 1,
      ])
    var expected: [Double] = []
    for start in stride(from: 0, to: 24, by: size) {
      let vector = x[start..<(start + size)].map(Double.init)
      let mean = form == "layer" ? vector.reduce(0, +) / Double(size) : 0
      let squares = vector.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
      let length = (squares / (form == "l2" ? 1 : Double(size)) + 1e-3).squareRoot()
      for (index, element) in vector.enumerated() {
        expected.append(
          (element - mean) / length * (1 + Double(weight[index])) + Double(bias[index]))
      }
    }
    #expect(near(made[0], expected))
  }

  @Test func normsTakeSumsOfSquaresOfAllRanks() throws {
    let x = numbers(24)
    var harness = self.harness(x)
    let squares = try harness.run(.sumSquares, ["axes": ["b"], "factor": 0.5])[0]
    let rows = stride(from: 0, to: 24, by: 4).map { start in
      0.5 * x[start..<(start + 4)].reduce(0) { $0 + Double($1) * Double($1) }
    }
    #expect(near(squares, rows))
    harness.value("squares", [.tokens, a3], squares)
    let made = try harness.run(
      .norm, ["form": "rms", "axes": ["b"], "epsilon": 1e-3, "count": 9])
    let expected = (0..<24).map { Double(x[$0]) / (rows[$0 / 4] / 9 + 1e-3).squareRoot() }
    #expect(near(made[0], expected))
  }

  @Test func softmaxRunsAlongAnyAxis() throws {
    let x = numbers(24)
    let made = try harness(x).run(.softmax, ["axis": "a"])
    let expected = (0..<24).map { index -> Double in
      let base = index / 12 * 12 + index % 4
      let sum = (0..<3).reduce(0.0) { $0 + exp(Double(x[base + 4 * $1])) }
      return exp(Double(x[index])) / sum
    }
    #expect(near(made[0], expected))
  }

  @Test func reductionsDropTheirAxes() throws {
    let x = numbers(24)
    for name in ["sum", "mean", "max"] {
      let made = try harness(x).run(.reduce, ["function": .text(name), "axes": ["a"]])
      let expected = (0..<8).map { index -> Double in
        let column = (0..<3).map { Double(x[index / 4 * 12 + $0 * 4 + index % 4]) }
        if name == "max" { return column.max() ?? 0 }
        return column.reduce(0, +) / (name == "mean" ? 3 : 1)
      }
      #expect(near(made[0], expected), "\(name)")
    }
  }

  @Test func slicesJoinsAndViewsMoveElements() throws {
    let x = numbers(24)
    let middle = try harness(x).run(.slice, ["axis": "a", "start": 1, "count": 2])[0]
    #expect(middle == Array(x[4..<12]) + Array(x[16..<24]))
    let columns = try harness(x).run(.slice, ["axis": "b", "start": 3, "count": 1])[0]
    #expect(columns == stride(from: 3, to: 24, by: 4).map { x[$0] })
    var joined = harness(x)
    let other = numbers(8, 2)
    joined.value("x", [.tokens, Axis("a", 1), b4], other)
    #expect(
      try joined.run(.concat, ["axis": "a"])[0]
        == Array(x[..<12]) + Array(other[..<4]) + Array(x[12...]) + Array(other[4...]))
    #expect(try harness(x).run(.reshape, ["from": ["a", "b"], "to": ["c:6", "d:2"]])[0] == x)
  }

  private func rotated(
    _ x: [Float], _ positions: [Int], _ rates: [Double], _ isInterleaved: Bool, factor: Double = 1
  ) -> [Double] {
    var made = x.map(Double.init)
    let half = rates.count
    for (row, position) in positions.enumerated() {
      for vector in 0..<2 {
        let start = (row * 2 + vector) * 8
        for (pair, rate) in rates.enumerated() {
          let (i, j) = isInterleaved ? (2 * pair, 2 * pair + 1) : (pair, pair + half)
          let (a, b) = (Double(x[start + i]), Double(x[start + j]))
          let angle = Double(position) * rate
          made[start + i] = factor * (a * cos(angle) - b * sin(angle))
          made[start + j] = factor * (a * sin(angle) + b * cos(angle))
        }
      }
    }
    return made
  }

  @Test(arguments: ["half", "interleaved"], [8, 4])
  func ropeTurnsPairs(layout: String, turned: Int) throws {
    let x = numbers(3 * 16)
    var harness = KernelHarness(sequences: [(1, 3), (2, 10)])
    harness.value("x", [.tokens, .heads(2), Axis("d", 8)], x)
    let made = try harness.run(
      .rope, ["theta": 100, "rotated": .int(turned), "layout": .text(layout)])
    let rates = (0..<(turned / 2)).map { pow(100, -2 * Double($0) / Double(turned)) }
    #expect(near(made[0], rotated(x, [3, 10, 11], rates, layout == "interleaved")))
  }

  @Test func ropeScalesFrequencies() throws {
    let x = numbers(2 * 16)
    var harness = KernelHarness(sequences: [(2, 40)])
    harness.value("x", [.tokens, .heads(2), Axis("d", 8)], x)
    let plain = (0..<4).map { pow(1e4, -Double($0) / 4) }
    func check(_ attributes: Attributes, _ rates: [Double], factor: Double = 1) throws {
      var attributes = attributes
      attributes["theta"] = 1e4
      attributes["rotated"] = 8
      attributes["layout"] = "half"
      let made = try harness.run(.rope, attributes)
      #expect(near(made[0], rotated(x, [40, 41], rates, false, factor: factor)))
    }
    try check(["scaling": "linear", "factor": 4], plain.map { $0 / 4 })
    // Wavelengths 2 pi / rate: 6, 63, 628, 6283; short ones stay, long ones stretch by 8.
    let smooth = (100 / (2 * Double.pi / plain[1]) - 1) / (4 - 1)
    try check(
      [
        "scaling": "llama3", "factor": 8, "original_context": 100, "low_frequency_factor": 1,
        "high_frequency_factor": 4,
      ],
      [
        plain[0], (1 - smooth) * plain[1] / 8 + smooth * plain[1], plain[2] / 8, plain[3] / 8,
      ])
    for truncate in [true, false] {
      func pair(_ turns: Double) -> Double {
        8 * log(256 / (turns * 2 * .pi)) / (2 * log(1e4))
      }
      let low = max(truncate ? pair(32).rounded(.down) : pair(32), 0)
      let high = min(truncate ? pair(1).rounded(.up) : pair(1), 7)
      let rates = plain.enumerated().map { index, rate in
        let ramp = min(max((Double(index) - low) / (high - low), 0), 1)
        return rate * (1 - ramp) + rate / 4 * ramp
      }
      try check(
        [
          "scaling": "yarn", "factor": 4, "original_context": 256, "beta_fast": 32, "beta_slow": 1,
          "truncate": .flag(truncate), "attention_factor": 1.3,
        ], rates, factor: 1.3)
    }
  }
}
