public import EPModel

/// Small models drawn at random from what the DSL can say.
public enum RandomModel {
  /// A model; the same for the same numbers.
  public static func make(_ random: inout SeededGenerator) -> ModelProgram {
    let hidden = random.pick([16, 24, 32, 64])
    let layers = 1 + random.below(4)
    let blocks = (0..<2).map { _ in block(&random) }
    let hasDraft = random.once(in: 3)
    let pattern = random.below(3)
    return Model("Random", vocabulary: random.pick([30, 64, 96]), hidden: hidden) {
      Embedding()
      Layers(0..<layers) { layer in
        blocks[pattern == 0 ? 0 : pattern == 1 ? layer % 2 : min(layer, 1)]
      }
      RMSNorm()
      LanguageModelHead()
      if hasDraft {
        MultiTokenPrediction { blocks[0] }
      }
    }.traced().program
  }

  private static func block(_ random: inout SeededGenerator) -> Block {
    let attention = self.attention(&random)
    let feedForward = self.feedForward(&random)
    return Block {
      attention
    } feedForward: {
      feedForward
    }
  }

  private static func attention(_ random: inout SeededGenerator) -> any Module {
    let heads = random.pick([2, 4, 6, 8])
    let rope: RotaryEmbedding? = random.once(in: 4) ? nil : RotaryEmbedding(theta: 1e4)
    switch random.below(6) {
    case 0:
      return MultiHeadLatentAttention(
        heads: heads, queryRank: random.once(in: 2) ? nil : 12, keyValueRank: 8, nopeSize: 8,
        ropeSize: 4, valueSize: 8, rope: RotaryEmbedding(theta: 1e4, layout: .interleaved))
    case 1: return LightningAttention(heads: heads, headSize: 8)
    case 2: return KimiDeltaAttention(heads: heads, headSize: 8)
    case 3:
      return GatedDeltaNet(
        keyHeads: random.pick([1, 2, heads].filter { heads % $0 == 0 }), valueHeads: heads,
        keySize: 8, valueSize: 8,
        projections: random.once(in: 2) ? .groupedByKeyHead : .separate)
    default:
      return MultiHeadAttention(
        heads: heads, keyValueHeads: random.pick([1, 2, heads].filter { heads % $0 == 0 }),
        headSize: 8, rope: rope,
        norm: random.pick([.none, .perHead(), .full, .perHeadAfterRope, .unweightedAfterRope]),
        bias: random.pick([.none, .queryKeyValue, .all]),
        gate: random.pick([.none, .inQuery, .projected]), window: random.once(in: 3) ? 4 : nil,
        sinks: random.once(in: 3), softcap: random.once(in: 4) ? 30 : nil)
    }
  }

  private static func feedForward(_ random: inout SeededGenerator) -> any Module {
    let size = random.pick([8, 12, 16])
    let bias = random.once(in: 3)
    if random.once(in: 3) {
      return GatedFeedForward(size, activation: GatedActivation("silu"), bias: bias)
    }
    let experts = random.pick([4, 6, 8, 12])
    let topK = 1 + random.below(3)
    let hasShared = random.once(in: 2)
    let isGated = random.once(in: 2)
    let identity = random.once(in: 3) ? 4 : 0
    let latent = random.once(in: 4) ? 8 : nil
    let weighting: RoutedExperts.Weighting = random.once(in: 4) ? .input : .output
    let router: any ExpertRouter =
      switch random.below(5) {
      case 0: Router(.softmax, .topP(0.8, atMost: topK))
      case 1: Router(.sigmoid, topK: topK, correctionBias: true, normalized: true, scale: 2)
      case 2: Router(.softmaxOverSelected, topK: topK, bias: true)
      case 3: Router(.softmax, .hash(topK))
      default: Router(.sqrtSoftplus, topK: topK, capacityFactor: 1.25)
      }
    return MixtureOfExperts {
      router
      if hasShared {
        SharedExperts(1, gated: isGated) { SwiGLU(size) }
      }
      RoutedExperts(experts, identity: identity, latent: latent, weighting: weighting) {
        GatedFeedForward(size, activation: GatedActivation("silu"), bias: bias)
      }
    }
  }

  /// A mesh of at most 32 ranks; not always one that can be.
  public static func sizes(_ random: inout SeededGenerator) -> (pp: Int, dp: Int, tp: Int, ep: Int)
  {
    (
      random.pick([1, 1, 1, 2, 3]), random.pick([1, 2, 3, 4]), random.pick([1, 1, 2, 3, 4, 8]),
      random.pick([1, 2, 3, 4, 6, 8, 12])
    )
  }
}
