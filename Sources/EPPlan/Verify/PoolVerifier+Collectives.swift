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

  /// Sends and receives of neighbouring stages meet: stages run until all are done or none can go
  /// on, as rendezvous.
  mutating func verifyPipeline() {
    struct Meeting {
      var isSend: Bool
      var type: TensorType
    }
    var programs = pool.stages.map { calls -> [Meeting] in
      calls.flatMap { call -> [Meeting] in
        let function = pool.functions[call.function].function
        return function.operations.compactMap { operation in
          if operation.kind == .send, case .value(let x)? = operation.operand("x") {
            return Meeting(isSend: true, type: function.values[x])
          }
          if operation.kind == .receive, let x = operation.results.first {
            return Meeting(isSend: false, type: function.values[x])
          }
          return nil
        }
      }
    }
    // Ranks of a stage receive from the one before and send to the one after.
    var moved = true
    while moved {
      moved = false
      for stage in programs.indices.dropLast() {
        guard let send = programs[stage].first, send.isSend,
          let receive = programs[stage + 1].first, !receive.isSend
        else { continue }
        if send.type != receive.type {
          report(
            "pipeline-type",
            "stage \(stage) sends \(send.type), stage \(stage + 1) receives "
              + "\(receive.type)", ".stages[\(stage)]")
        }
        programs[stage].removeFirst()
        programs[stage + 1].removeFirst()
        moved = true
      }
    }
    for (stage, rest) in programs.enumerated() where !rest.isEmpty {
      report(
        "deadlock", "stage \(stage) waits for ever at a \(rest[0].isSend ? "send" : "receive")",
        ".stages[\(stage)]")
    }
  }
}
