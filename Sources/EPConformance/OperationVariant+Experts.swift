internal import EPModel

// MARK: Routers

extension OperationVariant {
  private static let experts = 12

  private static func router(
    _ name: String, _ more: [String: Attribute], bias: Bool = false,
    finish: @escaping @Sendable (inout OperationCase, inout ConformanceRandom) -> Void = { _, _ in }
  ) -> OperationVariant {
    OperationVariant("route, \(name)") { random in
      var attributes = Attributes([
        "scoring": "softmax", "selection": "top_k", "experts": .int(experts), "top_k": 3,
      ])
      for (name, value) in more { attributes[name] = value }
      var made = OperationCase(.route, attributes, sequences: random.sequences(at: 20))
      let all = experts + attributes.int("identity_experts")
      let logits = random.reals(made.tokens * all, in: -3...3)
      made.value("logits", [.tokens, Axis("experts", all)], .reals(logits))
      if bias { made.weight("bias", [Axis("experts", all)], random.reals(all, in: -0.2...0.2)) }
      finish(&made, &random)
      return made
    }
  }

  static let routers: [OperationVariant] =
    ["softmax", "sigmoid", "sqrt_softplus", "softmax_selected", "none"].map { scoring in
      router(scoring, ["scoring": .text(scoring)])
    } + [
      router("gumbel_softmax", ["scoring": "gumbel_softmax", "temperature": 0.7, "seed": 11]),
      router("sparse_mixer", ["scoring": "sparse_mixer", "top_k": 2, "jitter": 0.1]),
      router(
        "bias and normalised weights",
        [
          "scoring": "sigmoid", "normalize": true, "normalize_epsilon": 1e-20, "scale": 2.5,
        ], bias: true),
      router("least sum", ["normalize": true, "normalize_minimum": 0.9]),
      router(
        "groups by their best", ["groups": 4, "groups_kept": 2, "group_score": "max"], bias: true),
      router(
        "groups by their best two",
        ["scoring": "sigmoid", "groups": 4, "groups_kept": 2, "group_score": "top2_sum"],
        bias: true),
      router("identity experts", ["identity_experts": 4]),
      router("top_p", ["selection": "top_p", "top_p": 0.5, "top_k": 5]),
    ]

  static let choices: [OperationVariant] = [
    router("capacity", ["capacity_factor": 1.0]),
    router("hash", ["selection": "hash"]) { made, random in
      made.value("ids", [.tokens], .indices(random.indices(made.tokens, below: 1000)))
    },
    router("hash, table", ["selection": "hash"]) { made, random in
      made.value("ids", [.tokens], .indices(random.indices(made.tokens, below: 30)))
      let table = random.indices(30 * 3, below: experts).map { Float($0) }
      made.weight("table", [.vocabulary(30), Axis("top_k", 3)], table)
    },
    router("modalities", ["partitions": [0, 5, 4, 8]]) { made, random in
      made.value("modality", [.tokens], .indices(random.indices(made.tokens, below: 3)))
    },
    router("two levels", ["groups": 4, "top_k": 2]) { made, random in
      var groups: [Int32] = []
      for row in 0..<Int32(made.tokens) {
        groups.append(row % 4)
        groups.append(row % 5 == 0 ? -1 : (row + 1 + row % 3) % 4)
      }
      let chosen = [Axis.tokens, Axis("outer", 2)]
      made.value("outer_indices", chosen, .indices(groups))
      made.value("outer_weights", chosen, .reals(random.reals(made.tokens * 2, in: 0...1)))
    },
  ]
}
