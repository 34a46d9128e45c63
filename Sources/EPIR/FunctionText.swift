public import EPModel

extension Function {
  /// The function as text, one operation a line. `notes` adds something behind an operation.
  ///
  /// `Function(parsing:)` reads the text back; notes are not read.
  public func text(notes: (Int) -> String? = { _ in nil }) -> String {
    var lines: [String] = []
    let inputs = parameters.map { "%\($0.value) \($0.name): \(values[$0.value])" }
    let outputs = results.map { "%\($0.value) \($0.name)" }
    lines.append(
      "func \(name)(\(inputs.joined(separator: ", "))) -> (\(outputs.joined(separator: ", "))) {")
    for (index, weight) in weights.enumerated() {
      lines.append("  @\(index) = weight \(weight.text)")
    }
    for (index, cache) in caches.enumerated() {
      lines.append("  $\(index) = cache \(cache.text)")
    }
    for (index, operation) in operations.enumerated() {
      let note = notes(index).map { "  // \($0)" } ?? ""
      lines.append("  \(operation.text(values: values))\(note)")
    }
    lines.append("}")
    return lines.joined(separator: "\n") + "\n"
  }
}

extension WeightDeclaration {
  var text: String {
    var text = "\(quoted(name)) \(role.rawValue) \(type)"
    if stored != [StoredTensor(name)] {
      text +=
        " stored " + (stored.isEmpty ? "nowhere" : stored.map(\.text).joined(separator: " | "))
    }
    if !constants.isEmpty {
      text +=
        " = ["
        + constants.map { row in
          "[" + row.map { "\($0)" }.joined(separator: ", ") + "]"
        }.joined(separator: ", ") + "]"
    }
    return text
  }
}

extension StoredTensor {
  var text: String {
    var text = quoted(name)
    if transposed { text += " transposed" }
    switch rows {
    case .all: break
    case .range(let start, let count, let total): text += " rows(\(start), \(count), \(total))"
    case .interleaved(let index, let stride): text += " interleaved(\(index), \(stride))"
    }
    return text
  }
}

extension CacheDeclaration {
  var text: String {
    let parts = self.parts.map { TensorType($0).description }.joined(separator: " ")
    return "\(quoted(name)) \(kind.rawValue) \(parts)" + (window.map { " window \($0)" } ?? "")
  }
}

extension Operation {
  func text(values: [TensorType]) -> String {
    let defined = results.map { "%\($0): \(values[$0])" }.joined(separator: ", ")
    let read = operands.map { "\($0.role): \($0.reference)" }.joined(separator: ", ")
    var text = (defined.isEmpty ? "" : defined + " = ") + "\(kind.rawValue)(\(read))"
    if !attributes.entries.isEmpty {
      text +=
        " {" + attributes.entries.map { "\($0.name): \($0.value)" }.joined(separator: ", ") + "}"
    }
    if !scope.isEmpty { text += " in \(quoted(scope))" }
    if location >= 0 { text += " at \(location)" }
    return text
  }
}

func quoted(_ text: String) -> String { "\"\(text)\"" }
