/// A tensor as the header of its file describes it.
public struct TensorInfo: Hashable, Sendable {
  /// The name, unique in the checkpoint.
  public let name: String
  /// The type of the elements.
  public let type: ElementType
  /// The sizes of the axes, outermost first; empty for a scalar, and a size may be 0.
  public let shape: [Int]
  /// The name of the file that holds it, such as `model-00001-of-00002.safetensors`.
  public let file: String

  /// Which of the checkpoint's files that is.
  let fileIndex: Int
  /// Where the elements lie, in bytes from the start of the file.
  let bytes: Range<Int>
}
