public import EPJSON
public import EPModel

extension HuggingFaceImport {
  /// What becomes of a config.
  public struct Outcome: Sendable {
    /// One line: the size of the model and notes on how it was read, or why it is refused.
    public var text: String
    /// The same as plain data, with all sizes of the model.
    public var document: Document

    init(_ program: ModelProgram, notes: [String]) {
      text = summary(of: program) + notes.map { "; \($0)" }.joined()
      document = program.sizes.with("notes", .texts(notes))
    }

    init(refused reason: String) {
      (text, document) = (reason, .object(["refused": .text(reason)]))
    }
  }

  /// What becomes of a config, which in one line is the size of the model, or why it is refused.
  ///
  ///     61 layers (58 with experts), 671.0 B parameters, 37.6 B activated
  ///     deepseek_v4: 'hc_mult' = 4 (hyper-connections) cannot be expressed yet
  ///
  /// Activated parameters leave out the token table, unless the head uses it too; weights of MTP
  /// depths are in neither number.
  public static func outcome(ofConfig config: JSONNode) -> Outcome {
    do {
      let result = try result(fromConfig: config)
      let traced = result.model.traced()
      if let diagnostic = traced.diagnostics.first {
        return Outcome(refused: "\(diagnostic.id): \(diagnostic.message)")
      }
      return Outcome(traced.program, notes: result.notes)
    } catch {
      return Outcome(refused: error.description)
    }
  }

  /// What becomes of a config in a file's bytes; a text that is no JSON is refused too.
  public static func outcome(ofBytes bytes: [UInt8]) -> Outcome {
    do {
      return outcome(ofConfig: JSONNode(try parse(bytes: bytes)))
    } catch {
      return Outcome(refused: error.description)
    }
  }

  private static func summary(of program: ModelProgram) -> String {
    let parameters = program.parameterCount
    var line =
      "\(program.layerCount) layers (\(program.expertLayerCount) with experts), "
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
