internal import EPModel

// MARK: Along axes

extension OperationVariant {
  private static func norm(
    _ name: String, _ form: String, weight: Bool = false, bias: Bool = false,
    offset: Double? = nil, squares: Bool = false
  ) -> OperationVariant {
    OperationVariant("norm, \(name)") { random in
      let (outer, inner) = (random.axis("a", upTo: 8), random.axis("b"))
      let size = inner.size ?? 1
      var made = OperationCase(
        .norm,
        Attributes([
          "form": .text(form), "axes": .list([.text("b")]), "epsilon": 1e-5,
          "weight_offset": offset.map(Attribute.real), "count": squares ? .int(3 * size) : nil,
        ]), sequences: random.sequences())
      let count = made.tokens * [outer].elements
      made.value("x", [.tokens, outer, inner], .reals(random.reals(count * size)))
      if weight { made.weight("weight", [inner], random.reals(size)) }
      if bias { made.weight("bias", [inner], random.reals(size)) }
      // The sum of squares over all ranks that share the axis.
      if squares {
        made.value("squares", [.tokens, outer], .reals(random.reals(count, in: 1...50)))
      }
      return made
    }
  }

  static let norms: [OperationVariant] = [
    norm("rms", "rms"), norm("rms, weight", "rms", weight: true),
    norm("rms, weight with offset", "rms", weight: true, offset: 1),
    norm("rms, given squares", "rms", weight: true, squares: true),
    norm("layer, weight and bias", "layer", weight: true, bias: true), norm("l2", "l2"),
    OperationVariant("sum_squares") { random in
      let axes = [random.axis("a", upTo: 8), random.axis("b")]
      var made = OperationCase(
        .sumSquares, Attributes(["axes": .list([.text("b")]), "factor": 0.5]),
        sequences: random.sequences())
      made.value("x", [.tokens] + axes, .reals(random.reals(made.tokens * axes.elements)))
      return made
    },
    OperationVariant("softmax") { random in
      let axes = [random.axis("a", upTo: 8), random.axis("b"), random.axis("c", upTo: 8)]
      var made = OperationCase(
        .softmax, Attributes(["axis": "b"]), sequences: random.sequences())
      let count = made.tokens * axes.elements
      made.value("x", [.tokens] + axes, .reals(random.reals(count, in: -8...8)))
      return made
    },
  ]

  static let movements: [OperationVariant] =
    ["sum", "mean", "max"].map { function in
      OperationVariant("reduce, \(function)") { random in
        let axes = [
          random.axis("a", upTo: 8), random.axis("b", upTo: 16), random.axis("c", upTo: 8),
        ]
        let names: [Attribute] = random.number(in: 0...1) == 0 ? ["b"] : ["a", "c"]
        var made = OperationCase(
          .reduce, Attributes(["function": .text(function), "axes": .list(names)]),
          sequences: random.sequences())
        made.value("x", [.tokens] + axes, .reals(random.reals(made.tokens * axes.elements)))
        return made
      }
    } + [
      OperationVariant("slice") { random in
        let axes = [random.axis("a", upTo: 8), random.axis("b"), random.axis("c", upTo: 8)]
        let size = axes[1].size ?? 1
        let start = random.number(in: 0...(size - 1))
        var made = OperationCase(
          .slice,
          Attributes([
            "axis": "b", "start": .int(start), "count": .int(random.number(in: 1...(size - start))),
          ]), sequences: random.sequences())
        made.value("x", [.tokens] + axes, .reals(random.reals(made.tokens * axes.elements)))
        return made
      },
      OperationVariant("slice, indices") { random in
        let axes = [Axis("a", 5)]
        var made = OperationCase(
          .slice, Attributes(["axis": "a", "start": 1, "count": 3]),
          sequences: random.sequences())
        made.value("x", [.tokens] + axes, .indices(random.indices(made.tokens * 5, below: 99)))
        return made
      },
      OperationVariant("concat") { random in
        let (outer, inner) = (random.axis("a", upTo: 8), random.axis("c", upTo: 8))
        var made = OperationCase(
          .concat, Attributes(["axis": "b"]), sequences: random.sequences())
        for _ in 0..<random.number(in: 1...4) {
          let axes = [outer, random.axis("b", upTo: 16), inner]
          made.value("x", [.tokens] + axes, .reals(random.reals(made.tokens * axes.elements)))
        }
        return made
      },
      OperationVariant("reshape") { random in
        let (a, b) = (random.size(upTo: 8), random.size(upTo: 16))
        var made = OperationCase(
          .reshape,
          Attributes([
            "from": .list([.text("ab")]), "to": .list([.text("a:\(a)"), .text("b:\(b)")]),
          ]),
          sequences: random.sequences())
        made.value("x", [.tokens, Axis("ab", a * b)], .reals(random.reals(made.tokens * a * b)))
        return made
      },
    ]

  static let rotations: [OperationVariant] = [
    ("half", "half", [:]), ("interleaved", "interleaved", [:]),
    ("factor of sine and cosine", "half", ["attention_factor": 1.25]),
    ("linear scaling", "half", ["scaling": "linear", "factor": 4.0]),
    (
      "yarn", "interleaved",
      [
        "scaling": "yarn", "factor": 40.0, "original_context": 4096, "beta_fast": 32.0,
        "beta_slow": 1.0, "truncate": true,
      ]
    ),
    (
      "yarn, not truncated", "half",
      [
        "scaling": "yarn", "factor": 32.0, "original_context": 4096, "beta_fast": 32.0,
        "beta_slow": 1.0,
      ]
    ),
    (
      "llama3", "half",
      [
        "scaling": "llama3", "factor": 8.0, "original_context": 8192, "low_frequency_factor": 1.0,
        "high_frequency_factor": 4.0,
      ]
    ),
  ].map { (name: String, layout: String, more: [String: Attribute]) in
    OperationVariant("rope, \(name)") { random in
      let heads = random.axis("heads", upTo: 8)
      let rotated = 2 * random.size(upTo: 16)
      let size = rotated + random.number(in: 0...5)
      var attributes = Attributes([
        "theta": 10_000.0, "rotated": .int(rotated), "layout": .text(layout),
      ])
      for (name, value) in more { attributes[name] = value }
      var made = OperationCase(.rope, attributes, sequences: random.sequences(at: 100))
      let axes = [heads, Axis("size", size)]
      made.value("x", [.tokens] + axes, .reals(random.reals(made.tokens * axes.elements)))
      return made
    }
  }
}
