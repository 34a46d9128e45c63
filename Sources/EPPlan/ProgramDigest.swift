internal import EPIR
public import EPModel

/// A digest of what a model computes, which ties a plan to its model: FNV-1a over the whole
/// functions, operation by operation, and over which layers call which. Places in the model file,
/// and whatever sharding adds, are not in it.
public enum ProgramDigest {
  /// The digest of a program; of one that no rank could have a part of, the empty text.
  public static func digest(of program: ModelProgram) -> String {
    var wholes: [Function] = []
    for function in program.functions {
      let plain = ShardedFunction(
        function, sharding: function.weights.map { WeightSharding(axes: $0.axes) },
        cacheParts: function.caches.map { _ in 1 })
      guard let whole = try? FunctionUnsharder(plain, mesh: Mesh()).whole else { return "" }
      wholes.append(whole)
    }
    var program = program
    program.functions = wholes
    return digest(ofWhole: program)
  }

  /// The digest of a program whose functions are in whole form.
  static func digest(ofWhole program: ModelProgram) -> String {
    var fingerprint = Fingerprint()
    fingerprint.add(program.name)
    fingerprint.add("\(program.vocabulary) \(program.hidden) \(program.precision)")
    for name in program.ignoredTensors { fingerprint.add(name) }
    for function in program.functions { add(function, to: &fingerprint) }
    for (mark, calls) in [("call", program.calls), ("draft", program.drafts)] {
      for call in calls {
        if call.layers.isEmpty { fingerprint.add("\(mark) \(call.function)") }
        for layer in call.layers { fingerprint.add("\(mark) \(call.function) \(layer)") }
      }
    }
    return fingerprint.text
  }

  private static func add(_ function: Function, to fingerprint: inout Fingerprint) {
    fingerprint.add("func " + function.name)
    for port in function.parameters {
      fingerprint.add("\(port.name) \(port.value) \(function.values[port.value])")
    }
    // What weights are is in the other digest; here they are named, in order.
    for weight in function.weights { fingerprint.add(weight.name) }
    for cache in function.caches {
      fingerprint.add("\(cache.name) \(cache.kind.rawValue) \(cache.window ?? 0)")
      for part in cache.parts { fingerprint.add(TensorType(part).description) }
    }
    for operation in function.operations {
      fingerprint.add(operation.kind.rawValue)
      fingerprint.add(operation.scope)
      for role in operation.kind.specification.roles {
        for operand in operation.operands where operand.role == role.name {
          fingerprint.add(operand.role)
          fingerprint.add(operand.reference.description)
        }
      }
      for entry in operation.attributes.entries {
        fingerprint.add(entry.name)
        fingerprint.add(entry.value.description)
      }
    }
    for port in function.results { fingerprint.add("\(port.name) \(port.value)") }
  }
}

extension ShardedFunction {
  /// Whether it does nothing but hand values from stage to stage.
  var isTransport: Bool {
    !function.operations.isEmpty
      && function.operations.allSatisfy { $0.kind == .send || $0.kind == .receive }
  }
}
