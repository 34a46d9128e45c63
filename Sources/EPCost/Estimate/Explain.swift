public import EPModel
internal import EPPlan

extension FunctionEstimate {
  /// The call as a table for people: a line for each kernel, then one for each part.
  public var explanation: String {
    var columns = TextColumns(
      ["op", "shape", "us", "90 %", "floor", "bound", "from", "part"], right: [2, 3, 4])
    for operation in operations {
      let time = operation.time
      columns.add([
        operation.name, operation.kernel.shapeText, (time.value * 1e6).text(1),
        "\((time.lower * 1e6).text(1))-\((time.upper * 1e6).text(1))",
        (operation.floor * 1e6).text(1), operation.bound.rawValue, time.provenance.rawValue,
        operation.part.rawValue,
      ])
    }
    for (part, time) in parts {
      columns.add([
        "= \(part.rawValue)", "", (time.value * 1e6).text(1),
        "\((time.lower * 1e6).text(1))-\((time.upper * 1e6).text(1))", "", "",
        time.provenance.rawValue, "",
      ])
    }
    return columns.text
  }

  /// The call as plain data.
  public var document: Document {
    .object([
      "function": .text(name), "layers": .ints(layers), "calls": .int(calls),
      "serial": serial.document, "overlapped": overlapped.document,
      "operations": .list(operations.map(\.document)),
      "parts": .object(parts.map { .init(name: $0.part.rawValue, value: $0.time.document) }),
    ])
  }
}

extension StepEstimate {
  /// The step as plain data.
  public var document: Document {
    .object([
      "serial": serial.document, "overlapped": overlapped.document,
      "stages": .list(stages.map { .list($0.map(\.document)) }),
    ])
  }

  /// The step as a table for people: every function's kernels, then the step's sums.
  public var explanation: String {
    var text =
      "Kernels of one call each, alone, with 90 % intervals; 'floor' is what the device's peaks "
      + "allow at best.\n\n"
    for (stage, calls) in stages.enumerated() {
      for call in calls {
        let layers = max(call.layers.count, 1)
        let parts = call.calls / layers
        text += "stage \(stage), \(call.name): \(layers) \(layers == 1 ? "call" : "layers")"
        text += parts == 1 ? "\n" : " for each of \(parts) micro-batches\n"
        text += call.explanation
        text += "one after the other: \((call.serial.value * 1e6).text(1)) us a call, "
        text += "\((call.serial.value * Double(call.calls) * 1e3).text(2)) ms for all\n\n"
      }
    }
    text += "step, nothing overlapped: \((serial.value * 1e3).text(2)) ms "
    text += "(\((serial.lower * 1e3).text(2))-\((serial.upper * 1e3).text(2)))\n"
    text += "step, streams perfectly overlapped: \((overlapped.value * 1e3).text(2)) ms\n"
    let total = max(secondsByProvenance.reduce(0) { $0 + $1.seconds }, 1e-30)
    let shares = secondsByProvenance.map {
      "\($0.provenance.rawValue) \(($0.seconds / total * 100).text(0)) %"
    }
    return text + "from: " + shares.joined(separator: ", ") + "\n"
  }
}

extension Figure {
  /// The figure as plain data.
  public var document: Document {
    .object([
      "value": .real(value), "unit": .text(unit.rawValue), "lower": .real(lower),
      "upper": .real(upper), "provenance": .text(provenance.rawValue), "source": .text(source),
    ])
  }
}

extension OpEstimate {
  /// The kernel as plain data.
  public var document: Document {
    .object([
      "op": .text(name), "shape": .text(kernel.shapeText), "part": .text(part.rawValue),
      "stream": .text(stream == .compute ? "compute" : "communication"),
      "time": time.document, "floor": .real(floor), "operations": .real(operations),
      "bytes": .real(bytes), "bound": .text(bound.rawValue),
    ])
  }
}

extension Double {
  /// With one digit behind the point, unless it would be a zero.
  fileprivate var shortText: String { text(self == rounded() ? 0 : 1) }
}

extension Kernel {
  /// The sizes, for people.
  public var shapeText: String {
    switch self {
    case .gemm(let gemm):
      return "\(gemm.rows.text(0)) x \(gemm.n.text(0)) x \(gemm.k.text(0)) \(gemm.format.rawValue)"
    case .grouped(let gemm):
      return "\(gemm.groups.shortText) x (\(gemm.rows.shortText) x \(gemm.n.text(0)) x "
        + "\(gemm.k.text(0))) \(gemm.format.rawValue) \(gemm.form.rawValue)"
    case .decodeAttention(let attention), .prefillAttention(let attention):
      return "\(attention.sequences.shortText) x \(attention.queries.shortText) of "
        + "\(attention.context.text(0)), \(attention.heads.text(0)) heads"
    case .stream(let stream): return "\((stream.bytes / 1e6).text(1)) MB"
    case .exchange(let exchange):
      return "\(exchange.rows.text(0)) rows, \(exchange.ranks.text(0)) ranks, "
        + (exchange.isLowLatency
          ? "\(exchange.copies.text(0)) copies" : "\(exchange.nodesVisited.text(2)) nodes")
        + " \(exchange.format.rawValue)"
    case .collective(let collective):
      return "\((collective.bytes / 1e6).text(1)) MB, \(collective.ranks.text(0)) ranks"
    }
  }
}
