/// What a model file amounts to: functions, and which layers call them in which order.
public struct ModelProgram: Hashable, Sendable {
  /// Consecutive calls of one function, one for each layer.
  public struct Call: Hashable, Sendable {
    /// The function, as an index into the program's functions.
    public var function: Int
    /// The layers, ascending; empty for the embedding and the head, which belong to none.
    public var layers: [Int]

    /// Makes a call.
    public init(_ function: Int, layers: [Int] = []) {
      self.function = function
      self.layers = layers
    }
  }

  /// The model's name.
  public var name: String
  /// Tokens in the vocabulary.
  public var vocabulary: Int
  /// The hidden size.
  public var hidden: Int
  /// How weights are kept in memory.
  public var precision: Precision
  /// The functions.
  public var functions: [Function]
  /// Embedding, layers and head, in order.
  public var calls: [Call]
  /// The MTP depths, in order; each takes the hidden state and the next token.
  public var drafts: [Call]
  /// Checkpoint tensors that may be there and are not read, with `{layer}` and `*` left open.
  public var ignoredTensors: [String]
  /// Places in the model file that operations refer to.
  public var locations: [SourceLocation]

  /// Makes an empty program.
  public init(name: String, vocabulary: Int, hidden: Int, precision: Precision) {
    self.name = name
    self.vocabulary = vocabulary
    self.hidden = hidden
    self.precision = precision
    functions = []
    calls = []
    drafts = []
    ignoredTensors = []
    locations = []
  }

  /// The number of decoder layers, MTP depths not counted.
  public var layerCount: Int { calls.reduce(0) { $0 + $1.layers.count } }
}

/// The number formats in which weights are kept.
public struct Precision: Hashable, Sendable {
  /// A number format of weights.
  public enum Format: String, Hashable, Sendable, CaseIterable {
    case fp32, bf16, fp16, fp8, int8, int4, mxfp4, nvfp4

    /// Bits an element takes, block scales included: fp8 has an fp32 scale for 128 x 128 elements,
    /// mxfp4 an 8-bit one for 32, nvfp4 an 8-bit one for 16, int4 a bf16 one for 32.
    public var bitsPerElement: Double {
      switch self {
      case .fp32: return 32
      case .bf16, .fp16: return 16
      case .fp8: return 8 + 32.0 / (128 * 128)
      case .int8: return 8
      case .int4: return 4 + 16.0 / 32
      case .mxfp4: return 4 + 8.0 / 32
      case .nvfp4: return 4 + 8.0 / 16
      }
    }
  }

  /// Matrices outside routed experts.
  public var linear: Format
  /// Matrices of routed experts.
  public var experts: Format
  /// Everything else: embeddings, routers, norms.
  public var other: Format

  /// Makes a precision.
  public init(linear: Format, experts: Format, other: Format = .bf16) {
    self.linear = linear
    self.experts = experts
    self.other = other
  }

  /// 16-bit brain floats throughout.
  public static let bf16 = Precision(linear: .bf16, experts: .bf16)
  /// 32-bit floats throughout.
  public static let fp32 = Precision(linear: .fp32, experts: .fp32, other: .fp32)
  /// Block-scaled fp8 matrices, as DeepSeek-V3 is published.
  public static let fp8 = Precision(linear: .fp8, experts: .fp8)
  /// MXFP4 experts, the rest bf16, as gpt-oss is published.
  public static let mxfp4Experts = Precision(linear: .bf16, experts: .mxfp4)
  /// INT4 experts, the rest bf16, as Kimi K2 Thinking is published.
  public static let int4Experts = Precision(linear: .bf16, experts: .int4)

  /// The format of a weight with that role.
  public func format(of role: WeightDeclaration.Role) -> Format {
    switch role {
    case .linear: return linear
    case .expert: return experts
    case .embedding, .router, .vector: return other
    case .constant: return .fp32
    }
  }
}

/// A place in a model file.
public struct SourceLocation: Hashable, Sendable {
  /// The file as the compiler was given it.
  public var file: String
  /// The line, from 1.
  public var line: Int
  /// The column, from 1.
  public var column: Int

  /// Makes a location.
  public init(file: String, line: Int, column: Int) {
    self.file = file
    self.line = line
    self.column = column
  }
}

extension SourceLocation: CustomStringConvertible {
  /// `k2.swift:12:5`.
  public var description: String { "\(file):\(line):\(column)" }
}
