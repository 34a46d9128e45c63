public import EPJSON
import EPModel

extension HuggingFaceImport {
  /// What becomes of a config, in one line: the size of the model, or why it is refused.
  ///
  ///     61 layers (58 with experts), 671.0 B parameters, 37.6 B activated
  ///     deepseek_v4: 'hc_mult' = 4 (hyper-connections) cannot be expressed yet
  ///
  /// Activated parameters leave out the token table, unless the head uses it too; weights of MTP
  /// depths are in neither number.
  public static func outcome(ofConfig config: JSONNode) -> String {
    do {
      let result = try result(fromConfig: config)
      let traced = result.model.traced()
      if let diagnostic = traced.diagnostics.first {
        return "\(diagnostic.id): \(diagnostic.message)"
      }
      return summary(of: traced.program) + result.notes.map { "; \($0)" }.joined()
    } catch {
      return error.description
    }
  }

  /// What becomes of a config in a file's bytes; a text that is no JSON is refused too.
  public static func outcome(ofBytes bytes: [UInt8]) -> String {
    do {
      return outcome(ofConfig: JSONNode(try parse(bytes: bytes)))
    } catch {
      return error.description
    }
  }

  private static func summary(of program: ModelProgram) -> String {
    let mixtures = program.calls.reduce(0) { count, call in
      let routes = program.functions[call.function].operations.contains { $0.kind == .route }
      return count + (routes ? call.layers.count : 0)
    }
    let parameters = program.parameterCount
    var line =
      "\(program.layerCount) layers (\(mixtures) with experts), "
      + "\(scaled(parameters.total)) parameters, "
      + "\(scaled(parameters.activated - parameters.table)) activated"
    if !program.drafts.isEmpty {
      line += ", \(program.drafts.count) MTP of \(scaled(parameters.drafts))"
    }
    return line
  }

  /// A count in thousands, millions or billions, with one decimal.
  private static func scaled(_ count: Int) -> String {
    let (unit, suffix) =
      count >= 1_000_000_000
      ? (1_000_000_000, "B") : count >= 1_000_000 ? (1_000_000, "M") : (1_000, "K")
    // Parts of a tenth are rounded to even hundredths by nobody; half up is what papers do.
    let tenths = count / (unit / 10) + (count % (unit / 10) * 2 >= unit / 10 ? 1 : 0)
    return "\(tenths / 10).\(tenths % 10) \(suffix)"
  }
}
