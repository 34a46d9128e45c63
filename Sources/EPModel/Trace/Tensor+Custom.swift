extension Tensor {
  /// An operation that the library does not know, on each row by itself. What computes it comes with
  /// the run: `epc exec --kernels`, or a backend that has it.
  ///
  /// - Parameters:
  ///   - name: what kernels know it by.
  ///   - others: what it reads beside this tensor: values of the same rows, and weights.
  ///   - shape: the axes of a row of the result, by name; each is an axis of something it reads. As
  ///     this tensor's where nil.
  ///   - split: the axes of the result that ranks may compute parts of, each from the same parts of
  ///     what has the axis. Along all others every rank computes the whole.
  ///   - operations: additions and multiplications for each element of the result, for estimates.
  public func custom(
    _ name: String, with others: [Tensor] = [], shape: [String]? = nil, split: [String] = [],
    operations: Double
  ) -> Tensor {
    trace.append(
      .custom, ([self] + others).map { ("x", $0) },
      Attributes([
        "name": .text(name), "shape": .list((shape ?? columns).map(Attribute.text)),
        "split": split.isEmpty ? nil : .list(split.map(Attribute.text)),
        "operations": .real(operations),
      ]))[0]
  }
}
