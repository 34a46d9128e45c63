/// The operations. docs/ops.md gives each one's meaning; `specification` what it takes.
public enum OpKind: String, Hashable, Sendable, CaseIterable {
  // Tables and contractions.
  case embed
  case linear
  case contract
  // Element by element.
  case unary
  case binary
  case affine
  case glu
  case positionScale = "position_scale"
  /// One that the library does not know: its rules are attributes, its kernel comes from outside.
  case custom
  // Along axes.
  case norm
  case sumSquares = "sum_squares"
  case softmax
  case reduce
  case slice
  case concat
  case reshape
  case rope
  // Mixing tokens.
  case attention
  case latentAttention = "latent_attention"
  case index
  case shortConvolution = "short_convolution"
  case linearAttention = "linear_attention"
  // Experts.
  case route
  case dispatch
  case combine
  // Between ranks; the model has none of these, the compiler inserts them.
  case allReduce = "all_reduce"
  case allGather = "all_gather"
  case reduceScatter = "reduce_scatter"
  case scatterRows = "scatter_rows"
  case sampleRows = "sample_rows"
  case send
  case receive
}

/// What an operation takes: the roles of its operands and its attributes.
public struct OpSpecification: Sendable {
  /// A role that operands can stand in.
  public struct Role: Sendable {
    /// What may stand in a role.
    public enum Accepts: Sendable {
      case value, weight, valueOrWeight, cache
    }
    /// How many may stand there.
    public enum Presence: Sendable {
      case required, optional, repeated
    }
    /// The role's name.
    public var name: String
    /// What may stand in it.
    public var accepts: Accepts
    /// How many.
    public var presence: Presence
  }

  /// An attribute an operation may carry.
  public struct AttributeRule: Sendable {
    /// The kind of value.
    public enum Form: Sendable {
      case flag, int, real, texts, ints
      /// A text; the ones listed are allowed, none listed allows all.
      case text([String])
    }
    /// The attribute's name.
    public var name: String
    /// The kind of value.
    public var form: Form
    /// Whether it must be there.
    public var required: Bool
  }

  /// The roles, in the order operands are printed.
  public var roles: [Role]
  /// The attributes.
  public var attributes: [AttributeRule]
  /// How many values it defines.
  public var resultCount: Int
}

extension OpKind {
  /// Functions of one real that `unary` and `glu` know.
  public static let activations = [
    "identity", "silu", "gelu", "gelu_tanh", "relu", "relu2", "sigmoid", "tanh", "softplus", "exp",
    "negate", "square", "sqrt", "clamp",
  ]
  /// Functions of two reals that `binary` knows.
  public static let binaryFunctions = [
    "add", "subtract", "multiply", "divide", "maximum", "minimum",
  ]
  /// Ways a router turns logits into scores.
  public static let scorings = [
    "softmax", "sigmoid", "sqrt_softplus", "softmax_selected", "sparse_mixer", "gumbel_softmax",
    "none",
  ]
  /// Rules by which a router selects experts.
  public static let selections = ["top_k", "top_p", "hash"]

  /// What the operation takes.
  public var specification: OpSpecification {
    switch self {
    case .embed:
      return OpSpecification(roles: [.value("ids"), .weight("table")], attributes: [])
    case .linear:
      return OpSpecification(
        roles: [.value("x"), .weight("weight"), .weight("bias", .optional)],
        attributes: [.texts("contract"), .texts("batch", false), .text("bias_on", ["first"])])
    case .contract:
      return OpSpecification(
        roles: [.value("a"), .value("b")], attributes: [.texts("contract")])
    case .unary:
      return OpSpecification(
        roles: [.valueOrWeight("x")],
        attributes: [
          .text("function", OpKind.activations, true), .real("low", false), .real("high", false),
        ])
    case .binary:
      return OpSpecification(
        roles: [.valueOrWeight("a"), .valueOrWeight("b")],
        attributes: [.text("function", OpKind.binaryFunctions, true)])
    case .affine:
      return OpSpecification(
        roles: [.valueOrWeight("x")], attributes: [.real("factor", false), .real("offset", false)])
    case .glu:
      return OpSpecification(
        roles: [.value("gate"), .value("up")],
        attributes: [
          .text("activation", OpKind.activations, true), .real("limit", false),
          .real("slope", false), .real("up_offset", false),
        ])
    case .positionScale:
      return OpSpecification(
        roles: [.value("x")], attributes: [.real("floor", true), .real("scale", true)])
    case .custom:
      return OpSpecification(
        roles: [.valueOrWeight("x", .repeated)],
        attributes: [
          .text("name", [], true), .texts("shape"), .texts("split", false),
          .real("operations", true),
        ])
    case .norm:
      return OpSpecification(
        roles: [
          .value("x"), .weight("weight", .optional), .weight("bias", .optional),
          .value("squares", .optional),
        ],
        attributes: [
          .text("form", ["rms", "layer", "l2"], true), .texts("axes"), .real("epsilon", true),
          .real("weight_offset", false), .int("count", false),
        ])
    case .sumSquares:
      return OpSpecification(
        roles: [.value("x")], attributes: [.texts("axes"), .real("factor", false)])
    case .softmax:
      return OpSpecification(roles: [.value("x")], attributes: [.text("axis", [], true)])
    case .reduce:
      return OpSpecification(
        roles: [.value("x")],
        attributes: [.text("function", ["sum", "mean", "max"], true), .texts("axes")])
    case .slice:
      return OpSpecification(
        roles: [.value("x")],
        attributes: [.text("axis", [], true), .int("start", true), .int("count", true)])
    case .concat:
      return OpSpecification(
        roles: [.value("x", .repeated)], attributes: [.text("axis", [], true)])
    case .reshape:
      return OpSpecification(
        roles: [.value("x")], attributes: [.texts("from"), .texts("to")])
    case .rope:
      return OpSpecification(
        roles: [.value("x")],
        attributes: [
          .real("theta", true), .int("rotated", true),
          .text("layout", ["half", "interleaved"], true),
          .text("scaling", ["none", "linear", "yarn", "llama3"]), .real("factor", false),
          .int("original_context", false), .real("beta_fast", false), .real("beta_slow", false),
          .real("low_frequency_factor", false), .real("high_frequency_factor", false),
          .flag("truncate"), .real("attention_factor", false),
        ])
    case .attention:
      return OpSpecification(
        roles: [
          .value("query"), .value("key"), .value("value"), .cache("cache"),
          .weight("sinks", .optional), .value("selection", .optional),
        ],
        attributes: [
          .real("scale", true), .int("window", false), .int("chunk", false),
          .real("softcap", false),
        ])
    case .latentAttention:
      return OpSpecification(
        roles: [
          .value("query"), .value("query_rope"), .value("latent"), .value("key_rope"),
          .weight("kv_up"), .cache("cache"), .value("selection", .optional),
        ],
        attributes: [.real("scale", true), .int("value_size", true)])
    case .index:
      return OpSpecification(
        roles: [.value("query"), .value("key"), .value("head_weights"), .cache("cache")],
        attributes: [.int("top_k", true), .real("scale", true)])
    case .shortConvolution:
      return OpSpecification(
        roles: [.value("x"), .weight("weight"), .weight("bias", .optional), .cache("cache")],
        attributes: [.text("activation", OpKind.activations, true)])
    case .linearAttention:
      return OpSpecification(
        roles: [
          .value("query"), .value("key"), .value("value"), .valueOrWeight("decay", .optional),
          .value("beta", .optional), .cache("cache"),
        ],
        attributes: [.text("rule", ["sum", "delta"], true), .real("scale", true)])
    case .route:
      return OpSpecification(
        roles: [
          .value("logits", .optional), .weight("bias", .optional), .value("ids", .optional),
          .weight("table", .optional), .value("modality", .optional),
          .value("outer_indices", .optional), .value("outer_weights", .optional),
        ],
        attributes: [
          .text("scoring", OpKind.scorings, true), .text("selection", OpKind.selections, true),
          .int("experts", true), .int("top_k", true), .real("top_p", false),
          .int("groups", false), .int("groups_kept", false),
          .text("group_score", ["max", "top2_sum"]), .flag("normalize"),
          .real("normalize_epsilon", false), .real("normalize_minimum", false),
          .real("scale", false), .real("capacity_factor", false), .real("temperature", false),
          .int("seed", false), .real("jitter", false), .ints("partitions"),
          .real("balance_loss", false), .int("identity_experts", false),
        ], resultCount: 2)
    case .dispatch:
      return OpSpecification(
        roles: [.value("x"), .value("indices"), .value("weights", .optional)],
        attributes: [
          .int("experts", true), .text("group", []), .text("algorithm", OpKind.algorithms),
          .text("format", []),
        ])
    case .combine:
      return OpSpecification(
        roles: [
          .value("x"), .value("indices"), .value("weights"), .value("identity", .optional),
        ],
        attributes: [
          .int("experts", true), .text("group", []), .text("algorithm", OpKind.algorithms),
          .text("format", []), .flag("unweighted"), .text("identity_on", ["first"]),
        ])
    case .allReduce:
      return OpSpecification(roles: [.value("x")], attributes: [.text("group", [], true)])
    case .allGather, .reduceScatter:
      return OpSpecification(
        roles: [.value("x")],
        attributes: [.text("group", [], true), .text("axis", [], true), .int("parts", true)])
    case .sampleRows:
      return OpSpecification(roles: [.value("x")], attributes: [])
    case .scatterRows:
      return OpSpecification(roles: [.value("x")], attributes: [.text("group", [], true)])
    case .send:
      return OpSpecification(
        roles: [.value("x")], attributes: [.text("group", [], true)], resultCount: 0)
    case .receive:
      return OpSpecification(
        roles: [], attributes: [.text("group", [], true), .texts("axes")])
    }
  }

  /// All-to-All algorithms a plan can ask for.
  public static let algorithms = ["local", "normal", "low_latency", "hierarchical", "all_gather"]

  /// Whether ranks must meet in it: such operations run in the same order on all ranks of a group.
  public var isCollective: Bool {
    switch self {
    case .dispatch, .combine, .allReduce, .allGather, .reduceScatter, .send, .receive: return true
    default: return false
    }
  }
}

extension OpSpecification {
  init(roles: [Role], attributes: [AttributeRule]) {
    self.init(roles: roles, attributes: attributes, resultCount: 1)
  }
}

extension OpSpecification.Role {
  static func value(_ name: String, _ presence: Presence = .required) -> Self {
    Self(name: name, accepts: .value, presence: presence)
  }
  static func weight(_ name: String, _ presence: Presence = .required) -> Self {
    Self(name: name, accepts: .weight, presence: presence)
  }
  static func valueOrWeight(_ name: String, _ presence: Presence = .required) -> Self {
    Self(name: name, accepts: .valueOrWeight, presence: presence)
  }
  static func cache(_ name: String) -> Self {
    Self(name: name, accepts: .cache, presence: .required)
  }
}

extension OpSpecification.AttributeRule {
  static func flag(_ name: String) -> Self { Self(name: name, form: .flag, required: false) }
  static func int(_ name: String, _ required: Bool) -> Self {
    Self(name: name, form: .int, required: required)
  }
  static func real(_ name: String, _ required: Bool) -> Self {
    Self(name: name, form: .real, required: required)
  }
  static func text(_ name: String, _ allowed: [String], _ required: Bool = false) -> Self {
    Self(name: name, form: .text(allowed), required: required)
  }
  static func texts(_ name: String, _ required: Bool = true) -> Self {
    Self(name: name, form: .texts, required: required)
  }
  static func ints(_ name: String) -> Self { Self(name: name, form: .ints, required: false) }
}
