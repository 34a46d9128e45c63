import EPModel
import Glibc
import Testing

private let a3 = Axis("a", 3)
private let b4 = Axis("b", 4)
private let c5 = Axis("c", 5)

/// Kernels of tables, contractions and element-wise operations against formulas written down again.
@Suite struct KernelTests {
  @Test func embedReadsTheRowsOfItsPart() throws {
    var harness = KernelHarness(sequences: [(4, 0)])
    harness.value("ids", [.tokens], indices: [7, 2, 5, 3])
    let table = numbers(3 * 4)
    harness.weight("table", [.vocabulary(3), b4], table)
    // Rows 3 to 5 of a larger table; others are zero.
    let expected: [Float] =
      [0, 0, 0, 0, 0, 0, 0, 0] + Array(table[8..<12]) + Array(table[0..<4])
    #expect(try harness.run(.embed, firstRow: 3) == [expected])
  }

  @Test func linearContractsAxesInTheWeightsOrder() throws {
    let x = numbers(2 * 60)
    let weight = numbers(4 * 2 * 15, 2)
    let bias = numbers(8, 3)
    var harness = KernelHarness(sequences: [(2, 0)])
    // x is [a, b, c], the weight [b, out, c, a]: b stays, c and a are contracted.
    harness.value("x", [.tokens, a3, b4, c5], x)
    harness.weight("weight", [b4, Axis("out", 2), c5, a3], weight)
    harness.weight("bias", [b4, Axis("out", 2)], bias)
    let made = try harness.run(.linear, ["contract": ["c", "a"], "batch": ["b"]])
    var expected: [Double] = []
    for t in 0..<2 {
      for b in 0..<4 {
        for o in 0..<2 {
          var sum = Double(bias[b * 2 + o])
          for c in 0..<5 {
            for a in 0..<3 {
              let factor = Double(weight[((b * 2 + o) * 5 + c) * 3 + a])
              sum += Double(x[t * 60 + a * 20 + b * 5 + c]) * factor
            }
          }
          expected.append(sum)
        }
      }
    }
    #expect(near(made[0], expected))
  }

  @Test func linearOfExpertsUsesTheSlotOfEachRow() throws {
    let x = numbers(6 * 5)
    let weight = numbers(4 * 2 * 5, 2)
    let bias = numbers(4 * 2, 3)
    var harness = KernelHarness(sequences: [(0, 0)])
    harness.slots = [2, 0, 3, 1]
    harness.value("x", [.routed, c5], x)
    harness.weight("weight", [.experts(4), Axis("out", 2), c5], weight)
    harness.weight("bias", [.experts(4), Axis("out", 2)], bias)
    let made = try harness.run(.linear, ["contract": ["c"]])
    var expected: [Double] = []
    for (row, slot) in [0, 0, 2, 2, 2, 3].enumerated() {
      for o in 0..<2 {
        var sum = Double(bias[slot * 2 + o])
        for k in 0..<5 { sum += Double(x[row * 5 + k]) * Double(weight[(slot * 2 + o) * 5 + k]) }
        expected.append(sum)
      }
    }
    #expect(near(made[0], expected))
  }

  @Test func contractJoinsByNames() throws {
    let a = numbers(2 * 12)
    let b = numbers(2 * 60, 2)
    var harness = KernelHarness(sequences: [(2, 0)])
    harness.value("a", [.tokens, a3, b4], a)
    harness.value("b", [.tokens, b4, c5, a3], b)
    let made = try harness.run(.contract, ["contract": ["b"]])
    var expected: [Double] = []
    for t in 0..<2 {
      for i in 0..<3 {
        for j in 0..<5 {
          var sum = 0.0
          for k in 0..<4 {
            sum += Double(a[t * 12 + i * 4 + k]) * Double(b[t * 60 + (k * 5 + j) * 3 + i])
          }
          expected.append(sum)
        }
      }
    }
    #expect(near(made[0], expected))
  }

  static let functions: [(String, @Sendable (Double) -> Double)] = [
    ("identity", { $0 }), ("negate", { -$0 }), ("square", { $0 * $0 }), ("exp", { exp($0) }),
    ("tanh", { tanh($0) }), ("sigmoid", { 1 / (1 + exp(-$0)) }),
    ("softplus", { log(1 + exp($0)) }), ("silu", { $0 / (1 + exp(-$0)) }),
    ("gelu", { $0 / 2 * (1 + erf($0 / 2.0.squareRoot())) }),
    (
      "gelu_tanh",
      { $0 / 2 * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) }
    ),
    ("relu", { max($0, 0) }), ("relu2", { max($0, 0) * max($0, 0) }),
    ("clamp", { min(max($0, -0.5), 0.75) }),
  ]

  @Test func unaryFunctionsAreWhatTheySay() throws {
    let x = numbers(24)
    for (name, function) in KernelTests.functions {
      var harness = KernelHarness(sequences: [(2, 0)])
      harness.value("x", [.tokens, a3, b4], x)
      let bounds: Attribute? = name == "clamp" ? .real(-0.5) : nil
      let made = try harness.run(
        .unary,
        [
          "function": .text(name), "low": bounds, "high": name == "clamp" ? .real(0.75) : nil,
        ])
      #expect(near(made[0], x.map { function(Double($0)) }), "\(name)")
    }
    var harness = KernelHarness(sequences: [(2, 0)])
    harness.value("x", [.tokens, a3, b4], x.map { abs($0) })
    #expect(
      near(
        try harness.run(.unary, ["function": "sqrt"])[0], x.map { Double(abs($0)).squareRoot() }))
    #expect(Set(KernelTests.functions.map(\.0) + ["sqrt"]) == Set(OpKind.activations))
  }

  @Test(arguments: OpKind.binaryFunctions, [false, true])
  func binaryRepeatsTheSmallerOperand(name: String, isSwapped: Bool) throws {
    let wide = numbers(24)
    let narrow = numbers(8, 2).map { $0 + 2 }
    var harness = KernelHarness(sequences: [(2, 0)])
    let roles = isSwapped ? ("b", "a") : ("a", "b")
    harness.value(roles.0, [.tokens, a3, b4], wide)
    harness.value(roles.1, [.tokens, b4], narrow)
    let made = try harness.run(.binary, ["function": .text(name)])
    func join(_ x: Double, _ y: Double) -> Double {
      switch name {
      case "add": return x + y
      case "subtract": return x - y
      case "multiply": return x * y
      case "divide": return x / y
      case "maximum": return max(x, y)
      default: return min(x, y)
      }
    }
    let expected = (0..<24).map { index -> Double in
      let other = Double(narrow[index / 12 * 4 + index % 4])
      return isSwapped ? join(other, Double(wide[index])) : join(Double(wide[index]), other)
    }
    #expect(near(made[0], expected))
  }

  @Test func binaryTakesWeightsWithoutRows() throws {
    let x = numbers(24)
    let weight = numbers(3, 2)
    var harness = KernelHarness(sequences: [(2, 0)])
    harness.value("a", [.tokens, a3, b4], x)
    harness.weight("b", [a3], weight)
    let made = try harness.run(.binary, ["function": "multiply"])
    #expect(near(made[0], (0..<24).map { Double(x[$0]) * Double(weight[$0 % 12 / 4]) }))
  }

  @Test func affineAndGatesAndPositions() throws {
    let x = numbers(12)
    let up = numbers(12, 2)
    var harness = KernelHarness(sequences: [(1, 2), (2, 7)])
    harness.value("x", [.tokens, b4], x)
    #expect(
      near(
        try harness.run(.affine, ["factor": 2.5, "offset": -1])[0],
        x.map { 2.5 * Double($0) - 1 }))
    let scaled = try harness.run(.positionScale, ["floor": 3, "scale": 0.2])
    let factors = [2, 7, 8].map { 1 + 0.2 * log(1 + (Double($0 + 1) / 3).rounded(.down)) }
    #expect(near(scaled[0], x.enumerated().map { Double($1) * factors[$0 / 4] }))
    var gate = KernelHarness(sequences: [(3, 0)])
    gate.value("gate", [.tokens, b4], x)
    gate.value("up", [.tokens, b4], up)
    #expect(
      near(
        try gate.run(.glu, ["activation": "gelu"])[0],
        zip(x, up).map { KernelTests.functions[8].1(Double($0)) * Double($1) }))
    let varied = try gate.run(
      .glu, ["activation": "silu", "limit": 0.5, "slope": 1.7, "up_offset": 1])
    #expect(
      near(
        varied[0],
        zip(x, up).map { gate, up in
          let g = min(Double(gate), 0.5)
          return g / (1 + exp(-1.7 * g)) * (min(max(Double(up), -0.5), 0.5) + 1)
        }))
  }
}
