internal import EPModel

/// Kinds of operations that a picture shows alike.
enum OpFamily: String, CaseIterable {
  case port = "input, output"
  case contraction = "contraction"
  case elementwise = "element by element"
  case normalisation = "norm, softmax, reduce"
  case shape = "slice, reshape, position"
  case mixing = "attention"
  case routing = "routing"
  case exchange = "All-to-All"
  case collective = "other collective"

  /// The family of a kind.
  init(_ kind: OpKind) {
    switch kind {
    case .embed, .linear, .contract: self = .contraction
    case .unary, .binary, .affine, .glu, .custom: self = .elementwise
    case .norm, .sumSquares, .softmax, .reduce: self = .normalisation
    case .slice, .concat, .reshape, .rope, .positionScale, .scatterRows, .sampleRows: self = .shape
    case .attention, .latentAttention, .index, .shortConvolution, .linearAttention: self = .mixing
    case .route: self = .routing
    case .dispatch, .combine: self = .exchange
    case .allReduce, .allGather, .reduceScatter, .send, .receive: self = .collective
    }
  }

  /// Colours of a box: what fills it and what outlines it.
  var colours: (fill: String, line: String) {
    switch self {
    case .port: return ("#ffffff", "#475569")
    case .contraction: return ("#dbeafe", "#2563eb")
    case .elementwise: return ("#f1f5f9", "#64748b")
    case .normalisation: return ("#dcfce7", "#16a34a")
    case .shape: return ("#fef9c3", "#a16207")
    case .mixing: return ("#ede9fe", "#7c3aed")
    case .routing: return ("#ffedd5", "#ea580c")
    case .exchange: return ("#fce7f3", "#db2777")
    case .collective: return ("#ccfbf1", "#0d9488")
    }
  }
}
