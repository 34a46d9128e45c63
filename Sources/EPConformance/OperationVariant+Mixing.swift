internal import EPModel

// MARK: Mixing tokens

extension OperationVariant {
  private static func attention(
    _ name: String, _ more: [String: Attribute] = [:], sinks: Bool = false, selects: Bool = false
  ) -> OperationVariant {
    OperationVariant("attention, \(name)") { random in
      let keyHeads = random.number(in: 1...3)
      let heads = keyHeads * random.number(in: 1...3)
      let (keySize, valueSize) = (random.size(upTo: 33), random.size(upTo: 33))
      var attributes = Attributes([
        "scale": .real(1 / Double(keySize).squareRoot())
      ])
      for (name, value) in more { attributes[name] = value }
      var made = OperationCase(.attention, attributes, sequences: random.sequences(at: 12))
      let query = [Axis.heads(heads), Axis("key_size", keySize)]
      let key = [Axis.keyValueHeads(keyHeads), Axis("key_size", keySize)]
      let value = [Axis.keyValueHeads(keyHeads), Axis("value_size", valueSize)]
      for (role, axes) in [("query", query), ("key", key), ("value", value)] {
        made.value(role, [.tokens] + axes, .reals(random.reals(made.tokens * axes.elements)))
      }
      made.cache(.keyValue, [key, value], &random)
      if sinks { made.weight("sinks", [.heads(heads)], random.reals(heads)) }
      if selects { made.select(3, &random) }
      return made
    }
  }

  private static func latentAttention(_ name: String, selects: Bool) -> OperationVariant {
    OperationVariant("latent_attention, \(name)") { random in
      let heads = random.number(in: 1...4)
      let (nope, rope) = (random.size(upTo: 17), random.size(upTo: 16))
      let (rank, value) = (random.size(upTo: 33), random.size(upTo: 17))
      var made = OperationCase(
        .latentAttention,
        Attributes([
          "scale": .real(1 / Double(nope + rope).squareRoot()), "value_size": .int(value),
        ]), sequences: random.sequences(at: 12))
      let parts = [
        ("query", [Axis.heads(heads), Axis("nope", nope)]),
        ("query_rope", [Axis.heads(heads), Axis("rope", rope)]),
        ("latent", [Axis("rank", rank)]), ("key_rope", [Axis("rope", rope)]),
      ]
      for (role, axes) in parts {
        made.value(role, [.tokens] + axes, .reals(random.reals(made.tokens * axes.elements)))
      }
      let up = [Axis.heads(heads), Axis("up", nope + value), Axis("rank", rank)]
      made.weight("kv_up", up, random.reals(up.elements, in: -0.5...0.5))
      made.cache(.latent, [parts[2].1, parts[3].1], &random)
      if selects { made.select(4, &random) }
      return made
    }
  }

  static let attentions: [OperationVariant] = [
    attention("plain"), attention("window", ["window": 3]), attention("chunk", ["chunk": 4]),
    attention("capped logits", ["softcap": 1.5]), attention("sinks", sinks: true),
    attention("selection", selects: true), latentAttention("plain", selects: false),
    latentAttention("selection", selects: true),
    OperationVariant("index") { random in
      let (heads, size) = (random.axis("heads", upTo: 8), random.axis("size", upTo: 33))
      var made = OperationCase(
        .index, Attributes(["top_k": .int(random.number(in: 1...8)), "scale": 0.3]),
        sequences: random.sequences(at: 12))
      for (role, axes) in [("query", [heads, size]), ("key", [size]), ("head_weights", [heads])] {
        made.value(role, [.tokens] + axes, .reals(random.reals(made.tokens * axes.elements)))
      }
      made.cache(.indexKey, [[size]], &random)
      return made
    },
  ]

  static let states: [OperationVariant] =
    [("identity", false), ("silu", true)].map { activation, hasBias in
      OperationVariant("short_convolution, \(activation)\(hasBias ? " and bias" : "")") { random in
        let (channels, taps) = (random.axis("channels"), random.number(in: 2...5))
        var made = OperationCase(
          .shortConvolution, Attributes(["activation": .text(activation)]),
          sequences: random.sequences(at: 9))
        let size = [channels].elements
        made.value("x", [.tokens, channels], .reals(random.reals(made.tokens * size)))
        made.weight("weight", [channels, Axis("taps", taps)], random.reals(size * taps))
        if hasBias { made.weight("bias", [channels], random.reals(size)) }
        made.cache(.convolution, [[channels, Axis("past", taps - 1)]], &random)
        return made
      }
    }
    + ["sum", "delta"].flatMap { rule in
      ["no decay", "decay of heads", "decay of rows", "decay of elements"].map { decay in
        OperationVariant("linear_attention, \(rule), \(decay)") { random in
          let keyHeads = random.number(in: 1...2)
          let heads = keyHeads * random.number(in: 1...3)
          let (key, value) = (random.axis("key", upTo: 12), random.axis("value", upTo: 12))
          var made = OperationCase(
            .linearAttention, Attributes(["rule": .text(rule), "scale": 0.4]),
            sequences: random.sequences(at: 9))
          let rows = made.tokens
          let (few, many) = (Axis.keyValueHeads(keyHeads), Axis.heads(heads))
          for (role, axes) in [
            ("query", [few, key]), ("key", [few, key]), ("value", [many, value]),
          ] {
            let numbers = random.reals(rows * axes.elements, in: -0.5...0.5)
            made.value(role, [.tokens] + axes, .reals(numbers))
          }
          let rates = -2...Float(0)
          switch decay {
          case "decay of heads": made.weight("decay", [many], random.reals(heads, in: rates))
          case "decay of rows":
            made.value("decay", [.tokens, many], .reals(random.reals(rows * heads, in: rates)))
          case "decay of elements":
            let count = rows * [many, key].elements
            made.value("decay", [.tokens, many, key], .reals(random.reals(count, in: rates)))
          default: break
          }
          if rule == "delta" {
            made.value("beta", [.tokens, many], .reals(random.reals(rows * heads, in: 0...1)))
          }
          made.cache(.recurrent, [[many, key.named("state_key"), value]], &random)
          return made
        }
      }
    }
}

extension Axis {
  fileprivate func named(_ name: String) -> Axis {
    var copy = self
    copy.name = name
    return copy
  }
}

extension OperationCase {
  /// Lists for each row a few positions that it may see, its own among them.
  fileprivate mutating func select(_ count: Int, _ random: inout ConformanceRandom) {
    var selected: [Int32] = []
    for sequence in sequences {
      for row in 0..<sequence.rows {
        let own = Int32(sequence.position + row)
        selected.append(own)
        for other in random.indices(count - 1, below: Int(own) + 1) {
          // No position twice: what that would mean is nobody's business.
          selected.append(selected.suffix(count - 1).contains(other) ? -1 : other)
        }
      }
    }
    value("selection", [.tokens, Axis("selected", count)], .indices(selected))
  }
}
