import EPCost
import EPIR
import EPPlan

@testable import EPSearch

/// Every point of the small problem's space, worked out exactly, and every deployment they make.
struct BruteForce: Sendable {
  var points: [PoolPoint] = []

  private init() {}

  /// The points of the problem without limits, worked out once for all tests.
  static let points = Result { try BruteForce(try smallProblem()) }

  init(_ problem: SearchProblem) throws {
    let tables = try SearchTables(problem)
    let evaluator = PoolEvaluator(tables)
    for variant in tables.variants {
      for devices in problem.space.devices {
        for shape in tables.shapes(.decode, devices: devices, variant: variant) {
          for sequences in problem.space.sequences
          where evaluator.fits(shape, sequences: sequences, promptTokens: 0) {
            points += [evaluator.decodePoint(shape, sequences: sequences)].compactMap { $0 }
          }
        }
        for shape in tables.shapes(.prefill, devices: devices, variant: variant) {
          for tokens in problem.space.prefillTokens
          where evaluator.fits(shape, sequences: 0, promptTokens: tokens) {
            points += [evaluator.prefillPoint(shape, tokens: tokens)].compactMap { $0 }
          }
        }
        for shape in tables.shapes(.unified, devices: devices, variant: variant) {
          for sequences in problem.space.sequences {
            for chunk in problem.space.chunks
            where evaluator.fits(shape, sequences: sequences, promptTokens: chunk) {
              points += [evaluator.unifiedPoint(shape, sequences: sequences, chunk: chunk)]
                .compactMap { $0 }
            }
          }
        }
      }
    }
  }

  /// All deployments whose first token comes in time.
  func deployments(of problem: SearchProblem) throws -> [Deployment] {
    let tables = try SearchTables(problem)
    let evaluator = PoolEvaluator(tables)
    let devices = problem.cluster.devices
    let (isApart, isUnified) = (
      problem.disaggregation != .never, problem.disaggregation != .always
    )
    var all: [Deployment] = []
    func points(_ role: Pool.Role, _ variant: SearchTables.Variant) -> [PoolPoint] {
      self.points.filter { $0.shape.role == role && tables.variant($0.shape) == variant }
    }
    for variant in tables.variants {
      let (prefill, decode) = (points(.prefill, variant), points(.decode, variant))
      var transfer = 0.0
      if let from = prefill.first.flatMap({ evaluator.sketch($0.shape) }),
        let to = decode.first.flatMap({ evaluator.sketch($0.shape) })
      {
        transfer =
          problem.cost.time(
            of: Handover.make(from: 0, to: 1, in: [from, to]), context: problem.promptLength
          ).value
      }
      let builder = DeploymentBuilder(problem: problem, transferSeconds: transfer)
      for point in isUnified ? points(.unified, variant) : [] {
        for instances in 1...max(devices / point.devices, 1) where point.devices <= devices {
          all.append(builder.deployment(point, instances))
        }
      }
      for (from, to) in isApart ? prefill.flatMap({ one in decode.map { (one, $0) } }) : [] {
        for reading in 1...devices {
          let rest = devices - reading * from.devices
          if rest < to.devices { break }
          for making in 1...(rest / to.devices) {
            all += [builder.deployment(from, reading, to, making)].compactMap { $0 }
          }
        }
      }
    }
    return all.filter {
      $0.requestRate > 0 && $0.timeToFirstToken <= problem.timeToFirstToken * (1 + 1e-9)
    }
  }

  /// The best deployment of each kind of row, the best first: of pools that no other of the same role,
  /// size and variant is better than in both respects.
  func rows(of problem: SearchProblem) throws -> [Deployment] {
    let tables = try SearchTables(problem)
    func rivals(_ point: PoolPoint) -> String {
      point.shape.role == .unified
        ? "unified" : "\(point.shape.role) \(point.devices) \(tables.variant(point.shape))"
    }
    // A unified pool's first token is its own; that of two pools is for both to keep.
    let open = points.filter {
      $0.requestRate > 0
        && ($0.shape.role != .unified || $0.timeToFirstToken <= problem.timeToFirstToken)
    }
    var kept = BruteForce()
    for (_, points) in Dictionary(grouping: open, by: rivals) {
      kept.points += points.filter { point in
        let (cost, gain) = (point.cost(problem), point.gain(problem))
        return !points.contains { other in
          let (least, most) = (other.cost(problem), other.gain(problem))
          return least <= cost && most >= gain && (least < cost || most > gain)
        }
      }
    }
    let rows = try kept.deployments(of: problem).filter { $0.keeps(limitsOf: problem) }
    let kinds = Dictionary(grouping: rows) { "\($0.prefill == nil) \($0.decode.shape.mesh)" }
    let best = kinds.values.compactMap { $0.min { $0.isBetter(than: $1, problem) } }
    return Array(best.sorted { $0.isBetter(than: $1, problem) }.prefix(Ranking.count))
  }

  /// Those that no other is as good as both for a user and for a device, slow ones first.
  static func front(of deployments: [Deployment], _ problem: SearchProblem) -> [Deployment] {
    var front: [Deployment] = []
    let sorted = deployments.sorted {
      ($0.timePerToken, -$0.yield(problem.objective))
        < ($1.timePerToken, -$1.yield(problem.objective))
    }
    for deployment in sorted
    where deployment.yield(problem.objective) > front.last?.yield(problem.objective) ?? 0 {
      front.append(deployment)
    }
    return front.reversed()
  }
}
