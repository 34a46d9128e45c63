public import EPPlan

/// What one kernel of one call of a function takes.
public struct OpEstimate: Hashable, Sendable {
  /// What kernels are added up by: the lines of DeepSeek's published profiles.
  public enum Part: String, Hashable, Sendable, CaseIterable {
    case attention, gemm, experts, dispatch, combine, collective, other
    /// Waiting for the slowest peer before normal exchanges.
    case barrier
    /// The halves of low-latency exchanges that run on the compute stream.
    case dispatchKernels = "dispatch kernels"
    case combineKernels = "combine kernels"
    /// Gaps between kernels.
    case launch
  }

  /// The name of what an engine does between one step and the next, which is no kernel.
  public static let betweenSteps = "between steps"

  /// The operation, as an index into the function's operations; the count of them for sampling.
  public var operation: Int
  /// The module that made it and what it is: `mlp.experts.gate_proj+up_proj`.
  public var name: String
  /// What it is added up with.
  public var part: Part
  /// The stream it runs on.
  public var stream: ShardedFunction.Stream
  /// The kernel.
  public var kernel: Kernel
  /// Seconds of one call, run alone.
  public var time: Figure
  /// Seconds that peaks allow.
  public var floor: Double
  /// Operations of arithmetic.
  public var operations: Double
  /// Bytes through memory or links.
  public var bytes: Double
  /// What it waits for.
  public var bound: Work.Bound
}

/// What one call of a function takes on the slowest rank.
public struct FunctionEstimate: Hashable, Sendable {
  /// The function.
  public var function: Int
  /// Its name.
  public var name: String
  /// The layers that share these figures, as many as call it.
  public var layers: [Int]
  /// How many times a step calls it: layers times micro-batches.
  public var calls: Int
  /// The kernels.
  public var operations: [OpEstimate]

  /// Seconds of one call with nothing overlapped.
  public var serial: Figure { Figure.sum(operations.map(\.time)) }

  /// Seconds of one call if the streams overlapped perfectly: that of the busier one.
  public var overlapped: Figure {
    Figure.maximum(
      ShardedFunction.Stream.allCases.map { stream in
        Figure.sum(operations.filter { $0.stream == stream }.map(\.time))
      })
  }

  /// Seconds of one call by part, in the order of `OpEstimate.Part`, those that occur.
  public var parts: [(part: OpEstimate.Part, time: Figure)] {
    OpEstimate.Part.allCases.compactMap { part in
      let own = operations.filter { $0.part == part }
      return own.isEmpty ? nil : (part, Figure.sum(own.map(\.time)))
    }
  }

  /// Seconds of one call of a part; zero where it does not occur.
  public func time(of part: OpEstimate.Part) -> Figure {
    Figure.sum(operations.filter { $0.part == part }.map(\.time))
  }
}

/// What a step of a pool takes, stage by stage.
public struct StepEstimate: Hashable, Sendable {
  /// The calls of each pipeline stage.
  public var stages: [[FunctionEstimate]]

  /// Seconds of a stage with nothing overlapped. Layers that repeat err together.
  public func serial(ofStage stage: Int) -> Figure {
    Figure.sum(stages[stage].map { $0.serial.scaled(by: Double($0.calls)) })
  }

  /// Seconds of a stage if streams overlapped perfectly; no schedule is shorter.
  public func overlapped(ofStage stage: Int) -> Figure {
    Figure.sum(stages[stage].map { $0.overlapped.scaled(by: Double($0.calls)) })
  }

  /// Seconds from the first stage's start to the last one's end, with nothing overlapped.
  public var serial: Figure { Figure.sum(stages.indices.map { serial(ofStage: $0) }) }

  /// The same if streams overlapped perfectly.
  public var overlapped: Figure { Figure.sum(stages.indices.map { overlapped(ofStage: $0) }) }

  /// The share of the time that was neither measured on the hardware nor lies between measurements.
  var unmeasuredShare: Double {
    let all = secondsByProvenance
    let sum = all.reduce(0) { $0 + $1.seconds }
    return all.reduce(0) { $0 + ($1.provenance > .interpolated ? $1.seconds : 0) } / max(sum, 1e-30)
  }

  /// Seconds by where their figures come from, over all stages with nothing overlapped.
  public var secondsByProvenance: [(provenance: Figure.Provenance, seconds: Double)] {
    Figure.Provenance.allCases.map { provenance in
      var seconds = 0.0
      for call in stages.joined() {
        for operation in call.operations where operation.time.provenance == provenance {
          seconds += operation.time.value * Double(call.calls)
        }
      }
      return (provenance, seconds)
    }
  }
}
