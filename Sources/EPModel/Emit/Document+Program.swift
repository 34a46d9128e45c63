// What a program looks like as data; docs/plan.md describes the fields.
extension ModelProgram {
  /// The program as data.
  public var document: Document {
    .object([
      "name": .text(name), "vocabulary": .int(vocabulary), "hidden": .int(hidden),
      "precision": precision.document,
      "functions": .list(functions.map(\.document)),
      "calls": .list(calls.map(\.document)),
      "drafts": drafts.isEmpty ? nil : .list(drafts.map(\.document)),
      "ignored_tensors": ignoredTensors.isEmpty ? nil : .texts(ignoredTensors),
      "locations": .texts(locations.map(\.description)),
    ])
  }
}

extension Precision {
  /// The precision as data.
  public var document: Document {
    .object([
      "linear": .text(linear.rawValue), "experts": .text(experts.rawValue),
      "other": .text(other.rawValue),
    ])
  }
}

extension ModelProgram.Call {
  /// The call as data; runs of layers are written `"3-60"`.
  public var document: Document {
    .object([
      "function": .int(function), "layers": layers.isEmpty ? nil : .text(Self.text(of: layers)),
    ])
  }

  /// `0-2,5,7-9` for 0, 1, 2, 5, 7, 8, 9.
  public static func text(of layers: [Int]) -> String {
    var runs: [(Int, Int)] = []
    for layer in layers {
      if let last = runs.last, last.1 + 1 == layer {
        runs[runs.count - 1].1 = layer
      } else {
        runs.append((layer, layer))
      }
    }
    return runs.map { $0.0 == $0.1 ? "\($0.0)" : "\($0.0)-\($0.1)" }.joined(separator: ",")
  }

  /// Reads what `text(of:)` writes; layers ascend.
  public static func layers(parsing text: String) throws(OpError) -> [Int] {
    var layers: [Int] = []
    for run in text.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = run.split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
      guard ends.count <= 2, let first = ends.first ?? nil, let last = ends.last ?? nil,
        first >= 0, last >= first, last < 100_000, (layers.last ?? -1) < first
      else { throw OpError("'\(text)' are no ascending layers such as '0-2,5'") }
      layers.append(contentsOf: first...last)
    }
    return layers
  }
}

extension Function {
  /// The function as data.
  public var document: Document {
    .object([
      "name": .text(name),
      "parameters": .list(parameters.map(\.document)),
      "results": .list(results.map(\.document)),
      "values": .texts(values.map(\.description)),
      "weights": .list(weights.map(\.document)),
      "caches": caches.isEmpty ? nil : .list(caches.map(\.document)),
      "operations": .list(operations.map(\.document)),
    ])
  }
}

extension Function.Port {
  /// The port as data.
  public var document: Document { .object(["name": .text(name), "value": .int(value)]) }
}

extension WeightDeclaration {
  /// The weight as data; one that is stored whole under its own name does not say so.
  public var document: Document {
    .object([
      "name": .text(name), "axes": .texts(axes.map(\.description)), "role": .text(role.rawValue),
      "stored": stored == [StoredTensor(name)] || role == .constant
        ? nil : .list(stored.map(\.document)),
      "constants": constants.isEmpty
        ? nil : .list(constants.map { .list($0.map(Document.real)) }),
    ])
  }
}

extension StoredTensor {
  /// The place as data.
  public var document: Document {
    var range: Document?
    var interleaved: Document?
    switch rows {
    case .all: break
    case .range(let start, let count, let total): range = .ints([start, count, total])
    case .interleaved(let index, let stride): interleaved = .ints([index, stride])
    }
    return .object([
      "name": .text(name), "transposed": transposed ? .flag(true) : nil, "rows": range,
      "interleaved": interleaved,
    ])
  }
}

extension CacheDeclaration {
  /// The cache as data.
  public var document: Document {
    .object([
      "name": .text(name), "kind": .text(kind.rawValue),
      "parts": .list(parts.map { .texts($0.map(\.description)) }),
      "window": window.map(Document.int),
    ])
  }
}

extension Operation {
  /// The operation as data.
  public var document: Document {
    var read: [Document.Field] = []
    for role in kind.specification.roles {
      let references = operands(role.name).map { Document.text($0.description) }
      if role.presence == .repeated {
        read.append(Document.Field(name: role.name, value: .list(references)))
      } else if let reference = references.first {
        read.append(Document.Field(name: role.name, value: reference))
      }
    }
    return .object([
      "op": .text(kind.rawValue), "in": .object(read),
      "attributes": attributes.entries.isEmpty
        ? nil
        : .object(
          attributes.entries.map { Document.Field(name: $0.name, value: $0.value.document) }),
      "out": .ints(results), "scope": scope.isEmpty ? nil : .text(scope),
      "at": location < 0 ? nil : .int(location),
    ])
  }
}

extension Attribute {
  /// The attribute as data.
  public var document: Document {
    switch self {
    case .flag(let value): return .flag(value)
    case .int(let value): return .int(value)
    case .real(let value): return .real(value)
    case .text(let value): return .text(value)
    case .list(let values): return .list(values.map(\.document))
    }
  }
}
