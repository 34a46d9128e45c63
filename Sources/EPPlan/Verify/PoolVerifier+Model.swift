internal import EPIR
internal import EPModel

// The functions are those of the model, put together again from the parts that ranks run.
extension PoolVerifier {
  /// Puts every function together; what cannot be is no part of a model.
  mutating func unshardFunctions() {
    for (index, function) in pool.functions.enumerated() {
      if function.isTransport {
        unsharded.append(nil)
        continue
      }
      do { unsharded.append(try FunctionUnsharder(function, mesh: pool.mesh)) } catch {
        unsharded.append(nil)
        report("whole-function", error.description, ".functions[\(index)]")
      }
    }
  }

  /// The program put together is the one the plan was compiled from, and counts as it says.
  mutating func verifyModel() {
    let model = plan.model
    let program = pool.program(of: model, functions: unsharded.map { $0?.whole })
    let weights = WeightDigest.digest(of: program)
    if weights != model.weightDigest {
      report(
        "weight-digest",
        "the functions' weights are not the model's (\(weights), not \(model.weightDigest)); "
          + "compile the model again", ".functions")
    }
    let digest = ProgramDigest.digest(ofWhole: program)
    if digest != model.programDigest {
      report(
        "program-digest",
        "the functions do not compute what the model does (\(digest), not \(model.programDigest)); "
          + "compile the model again", ".functions")
    }
    let count = program.parameterCount
    if (count.total, count.activated, count.drafts)
      != (model.parameters, model.activatedParameters, model.draftParameters)
    {
      report(
        "parameter-count",
        "the functions have \(count.total) parameters, \(count.activated) active and "
          + "\(count.drafts) of MTP depths", ".functions")
    }
  }
}
