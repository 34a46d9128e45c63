import EPBackendCPU
import EPCompiler
import EPCost
import EPIR
import EPModel
import EPPlan
import EPReference
import EPRuntime

/// A small deterministic generator.
struct SmallGenerator: RandomNumberGenerator {
  var state: UInt64
  init(_ seed: Int) { state = UInt64(seed) &* 0x9e37_79b9_7f4a_7c15 &+ 1 }
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    var x = state
    x = (x ^ (x >> 33)) &* 0xff51_afd7_ed55_8ccd
    return x ^ (x >> 29)
  }
}

/// Small models that together use everything the DSL has.
enum SmallModels {
  static let hidden = 24
  static let vocabulary = 48
  static let experts = 8

  static let attentions: [@Sendable () -> any Module] = [
    { MultiHeadAttention(heads: 4, headSize: 6, rope: RotaryEmbedding(theta: 1e4)) },
    {
      MultiHeadAttention(
        heads: 4, keyValueHeads: 2, headSize: 8,
        rope: RotaryEmbedding(theta: 1e4, rotated: 4, layout: .interleaved),
        norm: .perHead(), bias: .all, window: 5, sinks: true)
    },
    {
      MultiHeadAttention(
        heads: 4, keyValueHeads: 1, headSize: 8,
        rope: RotaryEmbedding(theta: 1e4, scaling: .linear(factor: 2)), norm: .full,
        gate: .inQuery, chunk: 6, softcap: 20, temperature: (floor: 4, scale: 0.1))
    },
    {
      MultiHeadAttention(
        heads: 4, keyValueHeads: 2, headSize: 8, valueSize: 4,
        rope: RotaryEmbedding(
          theta: 1e4,
          scaling: .llama3(
            factor: 4, originalContext: 16, lowFrequencyFactor: 1, highFrequencyFactor: 4)),
        norm: .unweightedAfterRope, bias: .queryKeyValue, gate: .projected)
    },
    {
      MultiHeadLatentAttention(
        heads: 4, queryRank: 12, keyValueRank: 10, nopeSize: 6, ropeSize: 4, valueSize: 5,
        rope: RotaryEmbedding(theta: 1e4, layout: .interleaved))
    },
    {
      MultiHeadLatentAttention(
        heads: 4, queryRank: nil, keyValueRank: 8, nopeSize: 4, ropeSize: 4, valueSize: 6,
        rope: RotaryEmbedding(
          theta: 1e4,
          scaling: .yarn(
            factor: 4, originalContext: 16, betaFast: 32, betaSlow: 1, truncate: true,
            attentionFactor: 1.1)), outputGate: true,
        indexer: .init(heads: 2, headSize: 8, topK: 4, rope: RotaryEmbedding(theta: 1e4)))
    },
    { GatedDeltaNet(keyHeads: 2, valueHeads: 4, keySize: 6, valueSize: 5) },
    {
      GatedDeltaNet(
        keyHeads: 4, valueHeads: 4, keySize: 4, valueSize: 6, taps: 3, projections: .separate)
    },
    { KimiDeltaAttention(heads: 4, headSize: 6) },
    { LightningAttention(heads: 4, headSize: 6) },
    { Mamba2(heads: 4, headSize: 6, groups: 4, stateSize: 5) },
  ]

  static let mixtures: [@Sendable () -> any Module] = [
    {
      MixtureOfExperts {
        Router(.softmax, topK: 2)
        RoutedExperts(experts) { SwiGLU(8) }
      }
    },
    {
      MixtureOfExperts {
        Router(
          .sigmoid, topK: 3, correctionBias: true, normalized: true, normalizeEpsilon: 1e-20,
          scale: 2.5, limit: GroupLimit(4, kept: 2, score: .topTwoSum))
        SharedExperts(1) { SwiGLU(8) }
        RoutedExperts(experts) { SwiGLU(8) }
      }
    },
    {
      MixtureOfExperts {
        Router(.softmaxOverSelected, topK: 2, bias: true)
        SharedExperts(2, gated: true) { SwiGLU(4) }
        RoutedExperts(experts) { SwiGLU(8, limit: 1, slope: 1.7, upOffset: 1, bias: true) }
      }
    },
    {
      MixtureOfExperts {
        Router(.sigmoid, topK: 1)
        RoutedExperts(experts, weighting: .input) { GeGLU(8, tanh: true) }
      }
    },
    {
      MixtureOfExperts {
        Router(.softmax, topK: 4, scale: 6)
        RoutedExperts(experts, identity: 4) { SwiGLU(8) }
      }
    },
    {
      MixtureOfExperts {
        Router(.sqrtSoftplus, topK: 2, normalized: true)
        RoutedExperts(experts, latent: 12, latentNorm: true) { FeedForward(8, activation: "relu2") }
      }
    },
    {
      MixtureOfExperts {
        Router(.softmax, .topP(0.6, atMost: 4))
        RoutedExperts(experts) { SwiGLU(8) }
      }
    },
    {
      MixtureOfExperts {
        Router(.softmax, .hash(2), normalized: true)
        RoutedExperts(experts) { SwiGLU(8) }
      }
    },
    {
      MixtureOfExperts {
        Router(.sigmoid, .hash(2, table: true))
        RoutedExperts(experts) { SwiGLU(8) }
      }
    },
    {
      MixtureOfExperts {
        Router(.gumbelSoftmax(temperature: 0.7, seed: 3), topK: 2)
        RoutedExperts(experts) { SwiGLU(8) }
      }
    },
    {
      MixtureOfExperts {
        Router(.sparseMixer(jitter: 0.01), topK: 2)
        RoutedExperts(experts) { SwiGLU(8) }
      }
    },
    {
      MixtureOfExperts {
        Router(.softmax, topK: 2, capacityFactor: 1.25)
        RoutedExperts(experts) { SwiGLU(8) }
      }
    },
    {
      MixtureOfExperts {
        Router(.softmax, topK: 2, modalities: [.init(0..<6), .init(2..<8)])
        RoutedExperts(experts) { SwiGLU(8) }
      }
    },
    {
      MixtureOfExperts {
        HierarchicalRouter(
          groups: 4, outer: Router(.softmax, topK: 2), inner: Router(.softmax, topK: 1))
        RoutedExperts(experts) { SwiGLU(8) }
      }
    },
    {
      MixtureOfExperts {
        Router(.softmax, topK: 3, normalized: true, limit: GroupLimit(2, kept: 1, score: .max))
        RoutedExperts(experts) { FeedForward(8, activation: "gelu", bias: true) }
      }
    },
    { SwiGLU(12, bias: true) },
  ]

  /// A model of two kinds of layers and up to two MTP depths.
  static func program(_ number: Int, drafts: Int? = nil) -> ModelProgram {
    let first = attentions[number % attentions.count]
    let second = attentions[(number / 3 + 4) % attentions.count]
    let mixture = mixtures[number % mixtures.count]
    let other = mixtures[(number * 7 + 5) % mixtures.count]
    let depth = drafts ?? number % 3
    let model = Model(
      "Small \(number)", vocabulary: vocabulary, hidden: hidden, precision: .fp32
    ) {
      Embedding()
      Layers(0..<2) {
        Block {
          first()
        } feedForward: {
          mixture()
        }
      }
      Layers(2..<4) {
        Block(norm: LayerNorm(), residual: .preNorm(scale: 0.5)) {
          second()
        } feedForward: {
          other()
        }
      }
      RMSNorm()
      LanguageModelHead(tied: number % 2 == 1, scale: number % 5 == 2 ? 0.5 : 1)
      if depth > 0 {
        MultiTokenPrediction(depth: depth) {
          Block {
            MultiHeadAttention(heads: 4, headSize: 6, rope: RotaryEmbedding(theta: 1e4))
          } feedForward: {
            mixture()
          }
        }
      }
    }
    let traced = model.traced()
    precondition(traced.diagnostics.isEmpty, "\(traced.diagnostics)")
    return traced.program
  }

  static func prompts(_ seed: Int, count: Int = 3) -> [[Int32]] {
    var random = SmallGenerator(seed)
    return (0..<count).map { _ in
      (0..<Int.random(in: 1...13, using: &random)).map { _ in
        Int32.random(in: 0..<Int32(vocabulary), using: &random)
      }
    }
  }

  static func session(
    _ program: ModelProgram, _ mesh: Mesh, tokens: Int = 40,
    overlap: CompileRequest.Overlap = .none
  ) throws -> PlanSession<CPUDevice> {
    let plan = try ReferenceCase.plan(of: program, mesh: mesh, tokens: tokens, overlap: overlap)
    return try PlanSession(
      plan, weights: try WeightStore(.synthetic(seed: 7), for: plan), device: CPUDevice())
  }
}

/// The largest difference of two lists; infinite where they differ in length.
func difference(_ a: [Float], _ b: [Float]) -> Float {
  a.count == b.count ? zip(a, b).reduce(0) { max($0, abs($1.0 - $1.1)) } : .infinity
}

/// A plan with a prefill and a decode pool.
func disaggregatedPlan(of program: ModelProgram, prefill: Mesh, decode: Mesh) throws -> Plan {
  try ReferenceCase.plan(of: program, prefill: prefill, decode: decode, tokens: 40)
}
