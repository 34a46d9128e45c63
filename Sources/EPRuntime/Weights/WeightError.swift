public import EPCheckpoint
import Glibc

/// Why weights cannot be loaded; each names the tensor.
public enum WeightError: Error, Hashable, Sendable {
  /// Synthetic weights are asked for without a seed.
  case seed(text: String)
  /// The checkpoint is broken, or does not hold a weight as the model needs it.
  case checkpoint(CheckpointError)
  /// None of the places where a weight may be is there.
  case missing(weight: String, places: [String])
  /// The checkpoint holds a tensor that the model does not read.
  case surplus(tensor: String, more: Int)
  /// A weight has an element that is no number.
  case notFinite(weight: String, tensor: String)
  /// A table of experts has an entry that is none.
  case table(tensor: String, problem: String)
  /// A weight that no checkpoint can be written of, since it shares its tensor or is not of reals.
  case unwritable(weight: String, tensor: String)
  /// The system gives no more memory or addresses; `code` is the value of `errno`.
  case memory(code: Int32)
  /// Experts of a layer do not fit into the memory that experts may take.
  case noRoom(layer: Int, bytes: Int, capacity: Int)
}

extension WeightError: CustomStringConvertible {
  /// One sentence that names the tensor.
  public var description: String {
    switch self {
    case .seed(let text): return "'\(text)' has no seed; write a whole number, as in synthetic:1"
    case .checkpoint(let error): return error.description
    case .missing(let weight, let places):
      let names = places.map { "'\($0)'" }.joined(separator: " nor ")
      return places.count == 1 && places[0] == weight
        ? "the checkpoint has no tensor '\(weight)'"
        : "the checkpoint has no tensor for '\(weight)': neither \(names)"
    case .surplus(let tensor, let more):
      let rest = more > 0 ? " and \(more) more" : ""
      return "the model does not read tensor '\(tensor)'\(rest); name it under 'ignoring' in the "
        + "model if that is right"
    case .notFinite(let weight, let tensor):
      return weight == tensor
        ? "tensor '\(tensor)' holds a NaN or an infinity"
        : "tensor '\(tensor)', read as '\(weight)', holds a NaN or an infinity"
    case .unwritable(let weight, let tensor):
      return "'\(weight)' is no tensor of its own but a part of '\(tensor)', or not of reals; such "
        + "checkpoints cannot be written"
    case .memory(let code):
      return "no memory for weights: \(unsafe String(cString: strerror(code)))"
    case .noRoom(let layer, let bytes, let capacity):
      return "an expert of layer \(layer) takes \(bytes) bytes, and experts may take \(capacity); "
        + "give more with '--memory'"
    case .table(let tensor, let problem): return "tensor '\(tensor)': \(problem)"
    }
  }
}
