import EPCost
import EPIR
import EPPlan

@testable import EPSearch

/// Every point of the small problem's space, worked out exactly, and every deployment they make.
struct BruteForce: Sendable {
  var points: [PoolPoint] = []

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
      for point in points(.unified, variant) {
        for instances in 1...max(devices / point.devices, 1) where point.devices <= devices {
          all.append(builder.deployment(point, instances))
        }
      }
      for (from, to) in prefill.flatMap({ one in decode.map { (one, $0) } }) {
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
