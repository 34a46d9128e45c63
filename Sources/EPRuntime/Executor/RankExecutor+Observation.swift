public import EPBackend
public import EPModel
internal import EPPlan

extension RankExecutor {
  /// What an operation of a rank has just made.
  public struct Observation {
    /// The layer, or -1 for embedding and head.
    public var layer: Int
    /// The function, as an index into the pool's.
    public var function: Int
    /// Which MTP depth it is, or nil.
    public var draft: Int?
    /// The operation, or nil when the whole function is done.
    public var operation: Int?
    /// The values made, each with its type, its rows filled.
    public var values: [(name: String, place: Memory, type: TensorType)]
    /// The rank's rows among the tokens of the step.
    public var own: Range<Int>
    /// The rows among them whose logits are made.
    public var sampled: [Int]
    /// The sequences of the step.
    public var parts: [StepInput.Part]

    /// The sequence and position of each row of a kind; none for rows that are no tokens.
    public func places(_ kind: RowKind) -> [(sequence: Int, position: Int)] {
      let all = parts.flatMap { part in
        (0..<part.rows).map { (part.sequence, part.position + $0) }
      }
      switch kind {
      case .tokens: return all
      case .own: return Array(all[own])
      case .sampled: return sampled.map { all[$0] }
      case .routed, .none: return []
      }
    }
  }

  func observation(
    _ call: Call, _ operation: Int?, _ values: [(String, Int)]
  ) -> Observation {
    let function = variants[call.function].function.function
    return Observation(
      layer: call.layer, function: call.function, draft: call.draft, operation: operation,
      values: values.map { name, value in
        let type = function.values[value]
        return (name, filled(place(of: value, in: call.function), type), type)
      }, own: step.own, sampled: step.sampled, parts: input.parts)
  }
}
