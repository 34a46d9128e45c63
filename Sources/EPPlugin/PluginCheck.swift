internal import CEPBackend
internal import EPBackend
internal import EPModel

/// What the C interface asks of a backend beyond right numbers.
public struct PluginCheck: Sendable {
  /// How it went.
  public enum Outcome: Hashable, Sendable {
    case passed
    case unsupported(String)
    case failed(String)
  }

  /// What is checked.
  public var name: String
  /// How it went.
  public var outcome: Outcome

  /// Runs all checks.
  public static func all(_ device: PluginDevice) -> [PluginCheck] {
    [
      PluginCheck(name: "an operation that there is not", outcome: unknownOperation(device)),
      PluginCheck(name: "a host of another version", outcome: otherHost(device)),
      PluginCheck(name: "a second instance", outcome: secondInstance(device)),
      PluginCheck(name: "cancelling", outcome: cancelling(device)),
    ]
  }

  private static func unknownOperation(_ device: PluginDevice) -> Outcome {
    let (library, instance) = (device.instance.library, device.instance)
    guard let prepare = unsafe library.table.pointee.prepare else {
      return .unsupported("the backend has no kernels; it runs whole programs")
    }
    let data = CData()
    let operation = unsafe data.operation(affine)
    var other = unsafe operation.pointee
    unsafe other.name = data.text("no_such_operation")
    var made: OpaquePointer?
    let error = instance.watched("prepare of 'no_such_operation'") {
      unsafe BackendLibrary.take(unsafe prepare(instance.pointer, &other, &made))
    }
    withExtendedLifetime(data) {}
    guard let error else { return .failed("it is accepted") }
    return error.code == EPC_ERROR_UNSUPPORTED
      ? .passed : .failed("the error is \(error.code), not EPC_ERROR_UNSUPPORTED")
  }

  private static func otherHost(_ device: PluginDevice) -> Outcome {
    let library = device.instance.library
    guard let answer = library.answer(toMajor: 99) else { return .passed }
    return answer == 99
      ? .passed : .failed("it returns its table of version \(answer) to a host of version 99")
  }

  private static func secondInstance(_ device: PluginDevice) -> Outcome {
    do {
      let other = try PluginDevice(device.instance.library)
      let kernels = (try other.makeKernel(affine), try device.makeKernel(affine))
      return withExtendedLifetime(kernels) { .passed }
    } catch BackendError.unsupported(_, let reason) {
      return .unsupported(reason)
    } catch { return .failed("\(error)") }
  }

  private static func cancelling(_ device: PluginDevice) -> Outcome {
    let host = device.instance.library.host
    do throws(BackendError) {
      let kernel = try device.makeKernel(affine)
      let step = StepState(tokens: 1, slots: 1)
      let cache = SequenceCache([])
      step.begin(
        [SequenceSpan(rows: 0..<1, firstPosition: 0, cache: cache)], own: 0..<1, sampled: [0])
      let (x, y) = (Storage([1, 2, 3] as [Float]), Storage(bytes: 12))
      let arguments = OpArguments(operands: [x.memory], results: [y.memory])
      host.cancel()
      defer { host.cancel(false) }
      try withExtendedLifetime((x, y)) { () throws(BackendError) in
        try kernel.run(arguments, step)
      }
      return .unsupported("a short operation runs to its end")
    } catch {
      if case .cancelled = error { return .passed }
      if case .unsupported(_, let reason) = error { return .unsupported(reason) }
      return .failed("the error is not EPC_ERROR_CANCELLED: \(error.description)")
    }
  }

  /// An operation that every backend is likely to have.
  private static var affine: OpDescription {
    var function = Function("check")
    let type = TensorType([.tokens, Axis("a", 3)])
    function.values = [type, type]
    return OpDescription(
      Operation(
        .affine, [Operand("x", .value(0))], attributes: Attributes(["factor": 2.0]), results: [1]),
      in: function)
  }
}
