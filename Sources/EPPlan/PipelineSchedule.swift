internal import EPIR
internal import EPJSON
internal import EPModel

/// How the parts of a step pass the stages of a pipeline.
///
/// A step is cut into lots of consecutive rows, each of all micro-batches. Every stage works on them
/// in order: lot `l` of the `n`th step starts in stage `s` at `starts[s] + l * interval + n * period`
/// nanoseconds.
public struct PipelineSchedule: Hashable, Sendable {
  /// Lots of a step, all of them under way.
  public var lots: Int
  /// Nanoseconds of one lot in each stage; empty until they are known.
  public var stages: [Int]
  /// Nanoseconds from one step to the next.
  public var period: Int

  /// The most lots of a step.
  public static let mostLots = 4096

  /// A schedule without times.
  public init(lots: Int) {
    self.lots = lots
    (stages, period) = ([], 0)
  }

  /// The shortest schedule of lots that take so long in each stage.
  ///
  /// - Parameter returns: whether a lot's next step needs what the last stage made of it, as in decode.
  public init(lots: Int, stages: [Int], returns: Bool) {
    self.init(lots: lots)
    self.stages = stages
    period = least(returns: returns)
  }

  /// Nanoseconds from one lot to the next: what the slowest stage takes.
  public var interval: Int { stages.max() ?? 0 }

  /// When the first lot starts in each stage.
  public var starts: [Int] {
    var start = 0
    return stages.map { stage in
      defer { start += stage }
      return start
    }
  }

  /// No schedule has a shorter period: every stage works on all lots, and what `returns` passes all
  /// stages before it comes again.
  public func least(returns: Bool) -> Int {
    max(lots * interval, returns ? stages.reduce(0, +) : 0)
  }

  /// Nanoseconds from a step's first start to its last end.
  public var span: Int { stages.reduce(0, +) + (lots - 1) * interval }

  /// The share of the stages' time in which they have no lot to work on.
  public var bubble: Double {
    let whole = Double(period) * Double(stages.count)
    return whole > 0 ? 1 - Double(lots) * Double(stages.reduce(0, +)) / whole : 0
  }
}

extension PipelineSchedule {
  var document: Document {
    .object(["lots": .int(lots), "stages": .ints(stages), "period": .int(period)])
  }

  init(json node: JSONNode) throws(JSONError) {
    let time = 0...LayerSchedule.mostNanoseconds
    self.init(lots: try node["lots"].int(in: 1...PipelineSchedule.mostLots))
    stages = try node["stages"].ints(in: time, maxCount: Pool.mostRanks)
    period = try node["period"].int(in: time)
  }
}

extension PoolVerifier {
  /// Stages work on one lot at a time, and lots go on when they are back.
  mutating func verifyLots() {
    guard let pipeline = pool.pipeline else { return }
    let place = ".pipeline"
    let time = 0...LayerSchedule.mostNanoseconds
    if pool.mesh.pp == 1 || !(1...PipelineSchedule.mostLots).contains(pipeline.lots)
      || pipeline.stages.count != pool.mesh.pp || !pipeline.stages.allSatisfy(time.contains)
      || !time.contains(pipeline.period)
    {
      report(
        "pipeline-lots",
        "\(pipeline.lots) lots and \(pipeline.stages.count) times of stages for pp \(pool.mesh.pp)",
        place)
      return
    }
    let least = pipeline.least(returns: pool.role != .prefill)
    if pipeline.period != least {
      report(
        "pipeline-period",
        "a period of \(pipeline.period) ns, and \(pipeline.lots) lots take \(least) ns",
        place)
    }
  }
}
