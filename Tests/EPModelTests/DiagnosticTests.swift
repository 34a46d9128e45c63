import EPModel
import Foundation
import Testing

/// A mistake, what is said of it and the line it is blamed on. Modules that are to be blamed say
/// that they stand on line 7, models that they stand on line 9.
struct Mistake: Sendable, CustomTestStringConvertible {
  var id: String
  var message: String
  var line: Int
  var model: @Sendable () -> Model

  var testDescription: String { id + ": " + message }

  init(_ id: String, _ message: String, line: Int, model: @escaping @Sendable () -> Model) {
    self.id = id
    self.message = message
    self.line = line
    self.model = model
  }

  /// A mistake in the feed-forward of a layer.
  init(
    _ id: String, _ message: String, line: Int = 7, in module: @escaping @Sendable () -> any Module
  ) {
    self.init(id, message, line: line) {
      smallModel { Layers(0..<1, line: 7) { module() } }
    }
  }
}

private func bare(@ModelBuilder _ parts: () -> [Model.Part]) -> Model {
  Model("bare", vocabulary: 32, hidden: 64, line: 9, parts)
}

private func mixture(_ router: Router, experts: Int = 16) -> any Module {
  MixtureOfExperts(line: 1) {
    router
    RoutedExperts(experts, line: 7) { SwiGLU(32) }
  }
}

let mistakes: [Mistake] = [
  Mistake(
    "attention-heads",
    "6 query heads cannot share 4 key and value heads evenly; make the first a multiple of the "
      + "second"
  ) { MultiHeadAttention(heads: 6, keyValueHeads: 4, headSize: 16, rope: nil, line: 7) },
  Mistake(
    "attention-heads",
    "3 value heads cannot share 2 key heads evenly; make the first a multiple of the second"
  ) { GatedDeltaNet(keyHeads: 2, valueHeads: 3, keySize: 16, valueSize: 16, line: 7) },
  Mistake("constant-size", "constant 'slopes' has 3 elements for [heads:4@tensor]") {
    Custom { x in x * x.trace.constant("slopes", [.heads(4)], [1, 2, 3]) }
  },
  Mistake("draft-depth", "MTP of depth 0; the depth is 1 to 64", line: 7) {
    smallModel {
      Layers(0..<1) { SwiGLU(32) }
      MultiTokenPrediction(depth: 0, line: 7) { SwiGLU(32) }
    }
  },
  Mistake("expert-count", "0 routed experts; a mixture has at least one") {
    mixture(Router(.softmax, topK: 1), experts: 0)
  },
  Mistake("expert-count", "-1 experts that return their input; 0 means none") {
    MixtureOfExperts(line: 1) {
      Router(.softmax, topK: 1)
      RoutedExperts(4, identity: -1, line: 7) { SwiGLU(32) }
    }
  },
  Mistake(
    "invalid-operation", "rope rotates 7 elements, an even number of at most 16 is possible"
  ) {
    MultiHeadAttention(
      heads: 4, headSize: 16, rope: RotaryEmbedding(theta: 10_000, rotated: 7), line: 7)
  },
  Mistake("invalid-operation", "16 experts do not fall into 3 equal groups") {
    mixture(
      Router(.sigmoid, topK: 2, limit: GroupLimit(3, kept: 1, score: .max), line: 7))
  },
  Mistake("invalid-operation", "a router's temperature is positive, not 0.0") {
    mixture(Router(.gumbelSoftmax(temperature: 0), topK: 1, line: 7))
  },
  Mistake("invalid-operation", "a window of 0 tokens; a row sees at least itself") {
    MultiHeadAttention(heads: 4, headSize: 16, rope: nil, window: 0, line: 7)
  },
  Mistake("invalid-operation", "logits are capped at -30.0, which is not positive") {
    MultiHeadAttention(heads: 4, headSize: 16, rope: nil, softcap: -30, line: 7)
  },
  Mistake("invalid-operation", "top-32 of 16 experts") {
    mixture(Router(.softmax, topK: 32, line: 7))
  },
  Mistake("invalid-operation", "softmax runs along 'nowhere', no fixed axis of [tokens, hidden:64]")
  {
    Custom { x in x.softmax(along: "nowhere") }
  },
  Mistake("invalid-operation", "'unary' cannot have 'function' = \"swish\"") {
    FeedForward(32, activation: "swish", line: 7)
  },
  Mistake("layer-missing", "layer 1 is missing; 2 layers are numbered 0 to 1", line: 9) {
    bare {
      Embedding()
      Layers([0, 2]) { SwiGLU(32) }
      LanguageModelHead()
    }
  },
  Mistake("model-name", "the name of a model has no control characters", line: 9) {
    Model("a\nrm -r b", vocabulary: 32, hidden: 64, line: 9) { Layers(0..<1) { SwiGLU(32) } }
  },
  Mistake("layer-number", "layer 100000; layers are numbered from 0", line: 7) {
    smallModel { Layers(0..<(1 << 40), line: 7) { SwiGLU(32) } }
  },
  Mistake("layer-number", "layer -1; layers are numbered from 0", line: 7) {
    smallModel { Layers(-1..<1, line: 7) { SwiGLU(32) } }
  },
  Mistake(
    "layer-shape",
    "layer 0 makes [tokens, intermediate:32@tensor] of [tokens, hidden:64]; a layer keeps the shape"
  ) { Custom { x in x.linear("up", to: [.intermediate(32)]) } },
  Mistake("layer-twice", "layer 1 is declared twice", line: 7) {
    smallModel {
      Layers(0..<2) { SwiGLU(32) }
      Layers(1..<3, line: 7) { SwiGLU(32) }
    }
  },
  Mistake(
    "mixture-parts",
    "a mixture has one router and one set of routed experts, this one has 0 and 1"
  ) { MixtureOfExperts(line: 7) { RoutedExperts(4) { SwiGLU(32) } } },
  Mistake("model-size", "'hidden' is 0; it is between 1 and 2^32", line: 9) {
    Model("empty", vocabulary: 32, hidden: 0, line: 9) {}
  },
  Mistake(
    "nested-mixture",
    "an expert cannot hold a mixture of experts; use HierarchicalRouter for two levels"
  ) {
    MixtureOfExperts(line: 1) {
      Router(.softmax, topK: 1)
      RoutedExperts(4) {
        MixtureOfExperts(line: 7) {
          Router(.softmax, topK: 1)
          RoutedExperts(4) { SwiGLU(32) }
        }
      }
    }
  },
  Mistake("no-embedding", "the model does not begin with 'Embedding()'", line: 9) {
    bare {
      Layers(0..<1) { SwiGLU(32) }
      LanguageModelHead()
    }
  },
  Mistake("no-head", "the model does not end with 'LanguageModelHead()'", line: 9) {
    bare {
      Embedding()
      Layers(0..<1) { SwiGLU(32) }
      RMSNorm()
    }
  },
  Mistake("no-layers", "the model has no layers; add 'Layers(0..<n) { ... }'", line: 9) {
    bare {
      Embedding()
      LanguageModelHead()
    }
  },
  Mistake("no-result", "'embed' makes no 'x'", line: 9) {
    bare {
      Embedding()
      Custom { x in x.trace.void }
      Layers(0..<1) { SwiGLU(32) }
      LanguageModelHead()
    }
  },
  Mistake(
    "shared-experts",
    "2 shared experts stand side by side only if each is one SwiGLU or GeGLU; write several "
      + "SharedExperts(1) with names of their own"
  ) {
    MixtureOfExperts(line: 1) {
      Router(.softmax, topK: 1)
      SharedExperts(2, line: 7) { FeedForward(32, activation: "relu") }
      RoutedExperts(4) { SwiGLU(32) }
    }
  },
  Mistake(
    "weight-conflict",
    "weight 'model.layers.{layer}.up_proj.weight' is used as [intermediate:32@tensor, hidden:64] "
      + "and as [intermediate:48@tensor, hidden:64]; give one another name with '.named'"
  ) {
    Custom { x in
      x.through(FeedForward(32, activation: "relu"), named: "")
        .through(FeedForward(48, activation: "relu", line: 7), named: "")
    }
  },
  Mistake(
    "weight-size",
    "weight 'model.layers.{layer}.up_proj.weight' has the axis intermediate:0@tensor; sizes are "
      + "positive"
  ) { FeedForward(0, activation: "relu", line: 7) },
]

@Suite struct DiagnosticTests {
  @Test(arguments: mistakes)
  func mistakeIsLocatedAndExplained(mistake: Mistake) throws {
    let diagnostics = mistake.model().traced().diagnostics
    let found = try #require(diagnostics.first, "nothing was diagnosed")
    #expect(found.id == mistake.id)
    #expect(found.message == mistake.message)
    #expect(found.location?.line == mistake.line)
    #expect(found.location?.file.hasSuffix("Tests/EPModelTests/DiagnosticTests.swift") == true)
  }

  @Test func everyDiagnosticHasATest() throws {
    let sources = URL(filePath: #filePath).deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().appending(path: "Sources/EPModel")
    let files = try #require(FileManager.default.enumerator(atPath: sources.path))
    var ids: Set<String> = []
    for case let file as String in files where file.hasSuffix(".swift") {
      let text = try String(contentsOf: sources.appending(path: file), encoding: .utf8)
      for match in text.matches(of: /diagnose\(\s*"([a-z0-9-]+)"/) { ids.insert(String(match.1)) }
    }
    #expect(ids == Set(mistakes.map(\.id)))
  }

  @Test func oneTraceReportsAllMistakesOnce() {
    let model = smallModel {
      Layers(0..<8) {
        Block {
          MultiHeadAttention(heads: 3, keyValueHeads: 2, headSize: 16, rope: nil)
        } feedForward: {
          FeedForward(0, activation: "relu")
        }
      }
      MultiTokenPrediction(depth: 65) { SwiGLU(32) }
    }
    #expect(
      model.traced().diagnostics.map(\.id) == ["attention-heads", "draft-depth"],
      "what follows from a mistake is no mistake of its own")
  }
}
