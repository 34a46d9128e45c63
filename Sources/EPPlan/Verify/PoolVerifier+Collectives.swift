internal import EPIR
internal import EPModel

// Collectives match on all ranks, so that no rank waits for ever.
extension PoolVerifier {
  /// Every collective names a group that there is, with its size, and meets all members: ranks of a
  /// stage run one program, so it is the attributes that must fit the mesh.
  mutating func verifyCollectives(_ index: Int) {
    let mesh = pool.mesh
    for (number, operation) in pool.functions[index].function.operations.enumerated() {
      let suffix = ".functions[\(index)].operations[\(number)]"
      let group = Mesh.Group(rawValue: operation.attributes.text("group"))
      switch operation.kind {
      case .allReduce, .allGather, .reduceScatter, .scatterRows:
        if group != .tensor || mesh.tp < 2 {
          report("collective-group", "'\(operation.kind.rawValue)' meets over tp ranks", suffix)
        }
        if let parts = operation.attributes["parts"], parts != .int(mesh.tp) {
          report(
            "collective-parts",
            "'\(operation.kind.rawValue)' in \(parts) parts over \(mesh.tp) ranks",
            suffix)
        }
      case .dispatch, .combine:
        let algorithm = operation.attributes.text("algorithm")
        if group != .expert || (algorithm == "local") != (mesh.ep == 1) || algorithm.isEmpty {
          report(
            "collective-group",
            "'\(operation.kind.rawValue)' with '\(algorithm)' over \(mesh.ep) expert ranks", suffix)
        }
        verifySources(operation, index, suffix)
      case .send, .receive:
        if group != .pipeline || mesh.pp < 2 {
          report("collective-group", "'\(operation.kind.rawValue)' without stages", suffix)
        }
      default: break
      }
    }
    verifyPairs(index)
  }

  /// Tokens reach experts once: ranks that hold whole experts dispatch their own tokens only.
  private mutating func verifySources(_ operation: Operation, _ index: Int, _ suffix: String) {
    guard case .value(let indices)? = operation.operand("indices") else { return }
    let rows = pool.functions[index].function.values[indices].rows
    let wanted: Axis =
      pool.mesh.tp > 1 && pool.mesh.holdsWholeExperts ? .ownTokens : .tokens
    if rows != wanted {
      report(
        "dispatch-rows",
        "'\(operation.kind.rawValue)' takes \(rows?.name ?? "no rows") where ranks dispatch "
          + wanted.name, suffix)
    }
  }

  /// What is dispatched comes back: each combine follows a dispatch with the same routing.
  private mutating func verifyPairs(_ index: Int) {
    let operations = pool.functions[index].function.operations
    let sent = operations.filter { $0.kind == .dispatch }
    let returned = operations.filter { $0.kind == .combine }
    let matches =
      sent.count == returned.count
      && zip(sent, returned).allSatisfy { dispatch, combine in
        ["experts", "group", "algorithm"].allSatisfy {
          dispatch.attributes[$0] == combine.attributes[$0]
        } && dispatch.operand("indices") == combine.operand("indices")
      }
    if !matches {
      report(
        "dispatch-pair", "dispatches and combines do not pair up", ".functions[\(index)]")
    }
  }

  /// Stages hand on what they made: each but the first begins by receiving, each but the last ends
  /// by sending, nothing is sent or received in between, and what is sent is what is received. So
  /// every send meets its receive, and no stage waits for ever.
  mutating func verifyPipeline() {
    var sent: TensorType?
    for (stage, calls) in pool.stages.enumerated() {
      var kinds = calls.map { transportKind(of: $0) }
      if stage > 0 && kinds.first != .some(.receive) {
        report(
          "pipeline-order", "stage \(stage) does not begin by receiving from the one before",
          ".stages[\(stage)]")
      } else if stage > 0, let received = handed(by: calls[0]) {
        if received != sent {
          report(
            "pipeline-type",
            "stage \(stage - 1) sends \(sent.map { "\($0)" } ?? "nothing"), stage \(stage) "
              + "receives \(received)", ".stages[\(stage)]")
        }
        kinds.removeFirst()
      }
      if stage < pool.stages.count - 1 {
        if kinds.last != .some(.send) {
          report(
            "pipeline-order", "stage \(stage) does not end by sending to the next",
            ".stages[\(stage)]")
        } else if let last = calls.last {
          sent = handed(by: last)
          kinds.removeLast()
        }
      }
      if kinds.contains(where: { $0 != nil }) {
        report(
          "pipeline-order", "stage \(stage) sends or receives where its neighbours do not",
          ".stages[\(stage)]")
      }
    }
    for call in pool.drafts where transportKind(of: call) != nil {
      report("pipeline-order", "an MTP depth sends or receives", ".drafts")
    }
  }

  /// What a call does if it is nothing but one hand-over between stages.
  private func transportKind(of call: ModelProgram.Call) -> OpKind? {
    let function = pool.functions[call.function]
    return function.isTransport ? function.function.operations[0].kind : nil
  }

  private func handed(by call: ModelProgram.Call) -> TensorType? {
    let function = pool.functions[call.function].function
    if case .value(let x)? = function.operations[0].operand("x") { return function.values[x] }
    return function.operations[0].results.first.map { function.values[$0] }
  }

  /// Hand-overs between stages are functions of their own, called for no layer.
  mutating func verifyTransports() {
    for (index, function) in pool.functions.enumerated() where function.isTransport {
      let suffix = ".functions[\(index)]"
      if function.function.operations.count != 1 {
        report("pipeline-order", "a hand-over between stages is one operation", suffix)
      }
      let ports = function.function.parameters + function.function.results
      if ports.map(\.name) != ["x"] {
        report("pipeline-order", "a hand-over between stages moves 'x'", suffix)
      }
    }
    for call in pool.stages.flatMap({ $0 }) + pool.drafts
    where pool.functions[call.function].isTransport && !call.layers.isEmpty {
      report("pipeline-order", "a hand-over between stages belongs to no layer", ".stages")
    }
  }
}
