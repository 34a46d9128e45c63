internal import EPBackend
internal import EPModel

/// Whether an operation has ended when the device says so: what follows may read its results and
/// overwrite its operands.
enum Ordering {
  static let name = "work in a row"

  static func row<D: Device>(_ device: D) -> Conformance.Row {
    do {
      let problem = try problem(of: device)
      return Conformance.Row("events", name, problem.map { .failed($0) } ?? .passed)
    } catch BackendError.unsupported(_, let reason) {
      return Conformance.Row("events", name, .unsupported(reason))
    } catch { return Conformance.Row("events", name, .failed("\(error)")) }
  }

  /// Doubles numbers so often that work put off would still be under way, each time into the place of
  /// the operand before, and reads and overwrites what it should no longer need.
  private static func problem<D: Device>(of device: D) throws(BackendError) -> String? {
    let (rows, width, times) = (256, 64, 8)
    var function = Function("case")
    let type = TensorType([.tokens, Axis("a", width)])
    function.values = [type, type]
    let kernel = try device.makeKernel(
      OpDescription(
        Operation(
          .affine, [Operand("x", .value(0))], attributes: Attributes(["factor": 2.0]),
          results: [1]), in: function))
    let step = StepState(tokens: rows, slots: 1)
    step.begin(
      [SequenceSpan(rows: 0..<rows, firstPosition: 0, cache: SequenceCache([]))], own: 0..<rows,
      sampled: [])
    let given = (0..<(rows * width)).map { Float($0 % 17) }
    let places = [
      device.allocate(bytes: 4 * given.count), device.allocate(bytes: 4 * given.count),
    ]
    places[0].memory.copy(from: given)
    for time in 0..<times {
      let (from, to) = (places[time % 2].memory, places[(time + 1) % 2].memory)
      try device.run(kernel, OpArguments(operands: [from], results: [to]), step)
      from.copy(from: Array(repeating: Float(-1), count: given.count))
      let factor = Float(1 << (time + 1))
      for (index, number) in given.enumerated()
      where unsafe to.reals[index] != factor * number {
        return "after operation \(time) its result is not there yet, or an operand was read late"
      }
    }
    return nil
  }
}
