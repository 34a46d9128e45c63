internal import EPModel

/// The buffer that DeepEP's low-latency kernels keep on every rank.
///
/// Two halves, used in turn, each with room for a message from every token to every expert in both
/// directions: bf16 values and an fp32 scale for 128 of them (DeepEP, `LowLatencyLayout` of
/// csrc/config.hpp).
public struct LowLatencyBuffer: Hashable, Sendable {
  /// The most tokens of a rank and step: a message's tag is its count, and 1024 ends a message.
  public static let mostTokens: Int = 1024
  /// Hidden sizes that the kernels are built for.
  public static let hiddenSizes: [Int] = [2048, 2560, 3072, 4096, 5120, 6144, 7168, 8192]
  /// What buffers for tokens come in, so that they divide evenly among a rank's peers.
  static let tokenStep = 32

  /// Slots of all expert ranks.
  public var experts: Int
  /// Tokens that a rank can dispatch in a step.
  public var tokens: Int
  /// The hidden size.
  public var hidden: Int

  /// Makes a buffer's sizes.
  public init(experts: Int, tokens: Int, hidden: Int) {
    self.experts = experts
    self.tokens = tokens
    self.hidden = hidden
  }

  /// The buffer for a pool's decode steps.
  init(_ shape: PoolShape, for engine: Engine) {
    self.init(
      experts: shape.slots,
      tokens: LowLatencyBuffer.rounded(LowLatencyBuffer.tokens(of: shape, in: engine)),
      hidden: shape.hidden)
  }

  /// Tokens that an engine has a rank dispatch in a decode step: its share of its data group's, or in
  /// vLLM, which sizes buffers by what it schedules, all of them.
  static func tokens(of shape: PoolShape, in engine: Engine) -> Int {
    let all = shape.sequences.saturatingProduct(1 + shape.drafts)
    return engine == .vllm ? all : (all + shape.tp - 1) / shape.tp
  }

  /// A count of tokens, rounded up to what buffers come in.
  static func rounded(_ tokens: Int) -> Int {
    (tokens.saturatingSum(tokenStep - 1)) / tokenStep * tokenStep
  }

  /// Bytes on a rank.
  public var bytes: Int {
    let message = hidden.saturatingProduct(2).saturatingSum(hidden.saturatingProduct(4) / 128)
    let messages = experts.saturatingProduct(4).saturatingProduct(tokens)
    let flags = (experts.saturatingProduct(4).saturatingSum(127)) / 128 * 128
    return messages.saturatingProduct(message).saturatingSum(flags.saturatingProduct(2))
      .saturatingSum(128)
  }

  /// The most tokens for which the buffer takes no more than so many bytes.
  func mostTokens(in room: Int) -> Int {
    let message = hidden * 2 + hidden * 4 / 128
    let fixed = (experts * 4 + 127) / 128 * 128 * 2 + 128
    return max(room - fixed, 0) / max(experts.saturatingProduct(4).saturatingProduct(message), 1)
      / LowLatencyBuffer.tokenStep * LowLatencyBuffer.tokenStep
  }
}
