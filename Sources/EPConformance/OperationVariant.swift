internal import EPModel

/// A kind of case: an operation and one way of using it.
struct OperationVariant: Sendable {
  /// `attention, window`.
  var name: String
  /// Makes a random case.
  var make: @Sendable (inout ConformanceRandom) -> OperationCase

  init(_ name: String, _ make: @escaping @Sendable (inout ConformanceRandom) -> OperationCase) {
    self.name = name
    self.make = make
  }

  /// All of them, in the order of docs/ops.md.
  static let all: [OperationVariant] =
    tables + contractions + elements + norms + movements + rotations + attentions + states
    + routers + choices
}

extension ConformanceRandom {
  /// Sequences of a step, each at the start.
  mutating func sequences(at most: Int = 0) -> [(rows: Int, position: Int)] {
    (0..<Int.random(in: 1...3, using: &self)).map { _ in
      (Int.random(in: 1...7, using: &self), Int.random(in: 0...most, using: &self))
    }
  }

  mutating func axis(_ name: String, upTo most: Int = 64) -> Axis { Axis(name, size(upTo: most)) }

  mutating func number(in range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
}

extension [Axis] {
  /// The product of the sizes.
  var elements: Int { reduce(1) { $0 * ($1.size ?? 1) } }
}

// MARK: Tables and contractions

extension OperationVariant {
  static let tables = [
    OperationVariant("embed") { random in
      let (rows, width) = (random.size(), random.axis("hidden"))
      var made = OperationCase(.embed, Attributes(), sequences: random.sequences())
      // Of a table split over ranks, this one has some rows in the middle.
      made.firstRow = random.number(in: 0...20)
      let ids = random.indices(made.tokens, below: made.firstRow + rows + 10)
      made.value("ids", [.tokens], .indices(ids))
      made.weight(
        "table", [.vocabulary(rows), width], random.reals(rows * [width].elements), as: .embedding)
      return made
    }
  ]

  private static func linear(
    _ name: String, hasBias: Bool = false, batch: Int = 0, isPermuted: Bool = false,
    usesExperts: Bool = false
  ) -> OperationVariant {
    OperationVariant("linear, \(name)") { random in
      let batches = (0..<batch).map { random.axis("b\($0)", upTo: 8) }
      let contracted =
        isPermuted
        ? [random.axis("c", upTo: 12), random.axis("d", upTo: 12)] : [random.axis("c")]
      let out = [random.axis("o")]
      let rows: Axis = usesExperts ? .routed : .tokens
      var made = OperationCase(
        .linear,
        Attributes([
          "contract": .list(contracted.map { .text($0.name) }),
          "batch": batches.isEmpty ? nil : .list(batches.map { .text($0.name) }),
        ]), sequences: random.sequences())
      var experts: [Axis] = []
      var count = made.tokens
      if usesExperts {
        made.slots = (0..<random.number(in: 1...5)).map { _ in random.number(in: 0...5) }
        made.slots[0] += 1
        experts = [.experts(made.slots.count)]
        count = made.slots.reduce(0, +)
      }
      let x = batches + (isPermuted ? contracted.reversed() : contracted)
      made.value("x", [rows] + x, .reals(random.reals(count * x.elements)))
      let weight = experts + batches + out + contracted
      made.weight(
        "weight", weight, random.reals(weight.elements), as: usesExperts ? .expert : .linear)
      let bias = experts + batches + out
      if hasBias { made.weight("bias", bias, random.reals(bias.elements)) }
      return made
    }
  }

  static let contractions = [
    linear("one axis"), linear("bias", hasBias: true), linear("heads", hasBias: true, batch: 1),
    linear("axes in another order", isPermuted: true),
    linear("experts", hasBias: true, usesExperts: true),
    OperationVariant("contract") { random in
      let (joined, left) = (random.axis("j", upTo: 8), random.axis("a", upTo: 12))
      let (contracted, right) = (random.axis("c", upTo: 16), random.axis("b", upTo: 12))
      var made = OperationCase(
        .contract, Attributes(["contract": .list([.text("c")])]), sequences: random.sequences())
      let (a, b) = ([joined, left, contracted], [contracted, right, joined])
      made.value("a", [.tokens] + a, .reals(random.reals(made.tokens * a.elements)))
      made.value("b", [.tokens] + b, .reals(random.reals(made.tokens * b.elements)))
      return made
    },
  ]
}

// MARK: Element by element

extension OperationVariant {
  static let elements: [OperationVariant] =
    OpKind.activations.map { function in
      OperationVariant("unary, \(function)") { random in
        let axes = [random.axis("a", upTo: 8), random.axis("b")]
        var made = OperationCase(
          .unary,
          Attributes([
            "function": .text(function), "low": function == "clamp" ? .real(-0.5) : nil,
            "high": function == "clamp" ? .real(0.75) : nil,
          ]), sequences: random.sequences())
        let count = made.tokens * axes.elements
        let range: ClosedRange<Float> = function == "sqrt" ? 0...4 : -4...4
        made.value("x", [.tokens] + axes, .reals(random.reals(count, in: range)))
        return made
      }
    }
    + OpKind.binaryFunctions.flatMap { function in
      ["same axes", "fewer on the right", "fewer on the left", "weight"].map { form in
        OperationVariant("binary, \(function), \(form)") { random in
          let wide = [random.axis("a", upTo: 8), random.axis("b")]
          let narrow = form == "same axes" ? wide : [wide[form == "weight" ? 0 : 1]]
          var made = OperationCase(
            .binary, Attributes(["function": .text(function)]), sequences: random.sequences())
          let isLeft = form == "fewer on the left"
          let (large, small) = isLeft ? ("b", "a") : ("a", "b")
          made.value(large, [.tokens] + wide, .reals(random.reals(made.tokens * wide.elements)))
          let rows = form == "weight" ? 1 : made.tokens
          let numbers = random.reals(rows * narrow.elements, in: 0.5...2)
          if form == "weight" {
            made.weight(small, narrow, numbers)
          } else {
            made.value(small, [.tokens] + narrow, .reals(numbers))
          }
          return made
        }
      }
    } + [
      OperationVariant("affine") { random in
        let axes = [random.axis("a")]
        var made = OperationCase(
          .affine, Attributes(["factor": 2.5, "offset": -0.75]), sequences: random.sequences())
        made.value("x", [.tokens] + axes, .reals(random.reals(made.tokens * axes.elements)))
        return made
      },
      OperationVariant("position_scale") { random in
        let axes = [random.axis("a")]
        var made = OperationCase(
          .positionScale, Attributes(["floor": 7, "scale": 0.1]),
          sequences: random.sequences(at: 40))
        made.value("x", [.tokens] + axes, .reals(random.reals(made.tokens * axes.elements)))
        return made
      },
    ]
    + [
      ("silu", Attributes(["activation": "silu"])),
      ("gelu", Attributes(["activation": "gelu"])),
      ("gelu_tanh", Attributes(["activation": "gelu_tanh"])),
      (
        "limit, slope and offset",
        Attributes(["activation": "silu", "limit": 0.7, "slope": 1.702, "up_offset": 1.0])
      ),
    ].map { name, attributes in
      OperationVariant("glu, \(name)") { random in
        let axes = [random.axis("a")]
        var made = OperationCase(.glu, attributes, sequences: random.sequences())
        for role in ["gate", "up"] {
          made.value(role, [.tokens] + axes, .reals(random.reals(made.tokens * axes.elements)))
        }
        return made
      }
    }
}
