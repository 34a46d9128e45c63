import EPCompiler
import EPCost
import EPModel
import EPPlan
import Foundation
import Testing

/// A measured layer: what ran, and the seconds of its parts.
struct ProfiledLayer: Sendable {
  var name: String
  var device: String
  var role: Pool.Role
  var ep: Int
  var redundant = 0
  var sequences: Double
  var tokens: Double
  var context: Double
  /// Part, published time in microseconds over both micro-batches, and whether a constant of the
  /// model was fitted to it.
  var parts: [(part: OpEstimate.Part, us: Double, isFitted: Bool)]
  var overall: Double
  var source: String
  var microBatches = 2
  var isOverlapped = true
}

let profiledLayers: [ProfiledLayer] = [
  ProfiledLayer(
    name: "DeepSeek decode, EP128", device: "h800", role: .decode, ep: 128, sequences: 128,
    tokens: 256, context: 4096,
    parts: [
      (.attention, 500, false), (.gemm, 289, false), (.experts, 241, false),
      (.dispatchKernels, 171, true), (.combineKernels, 71, true), (.other, 82, true),
      (.launch, 45, true),
    ], overall: 1420, source: "lm-sys blog 2025-05-05, fig. of DeepSeek's profile"),
  ProfiledLayer(
    name: "DeepSeek prefill, EP32", device: "h800", role: .prefill, ep: 32, sequences: 4,
    tokens: 16_384, context: 4096,
    parts: [
      (.attention, 5610, false), (.gemm, 8400, false), (.experts, 12_350, false),
      (.dispatch, 9430, false), (.combine, 17_210, false), (.other, 5090, true),
    ], overall: 34_590, source: "lm-sys blog 2025-05-05, fig. of DeepSeek's profile"),
  ProfiledLayer(
    name: "SGLang decode, EP72", device: "h100", role: .decode, ep: 72, redundant: 32,
    sequences: 256, tokens: 256, context: 2000,
    parts: [
      (.attention, 357, false), (.gemm, 285, false), (.experts, 299, false),
      (.dispatchKernels, 167, false), (.combineKernels, 173, false), (.other, 134, false),
      (.launch, 51, false),
    ], overall: 1486, source: "lm-sys blog 2025-05-05"),
  ProfiledLayer(
    name: "SGLang decode, EP72, one batch", device: "h100", role: .decode, ep: 72, redundant: 32,
    sequences: 256, tokens: 256, context: 2000,
    parts: [
      (.attention, 281, false), (.gemm, 181, false), (.experts, 234, false),
      (.dispatch, 396, false), (.combine, 707, false), (.other, 93, false),
      (.launch, 28, false),
    ], overall: 1931, source: "lm-sys blog 2025-05-05", microBatches: 1, isOverlapped: false),
  ProfiledLayer(
    name: "SGLang prefill, EP32, balanced", device: "h100", role: .prefill, ep: 32, sequences: 4,
    tokens: 16_384, context: 4096,
    parts: [
      (.attention, 6450, false), (.gemm, 9500, false), (.experts, 12_220, false),
      (.dispatch, 10_790, false), (.combine, 14_940, false), (.other, 6580, false),
    ], overall: 36_270, source: "lm-sys blog 2025-05-05, simulated perfect EPLB"),
]

@Suite struct ValidationTests {
  static func predicted(_ layer: ProfiledLayer) throws -> FunctionEstimate {
    let model = try Repository.model(layer.device)
    let plan = try compiledV3(
      layer.role, cluster: Cluster(model.hardware, devices: layer.ep), ep: layer.ep,
      batch: layer.role == .decode ? 64 : nil, tokens: layer.role == .prefill ? 8192 : nil,
      redundant: layer.redundant)
    var estimator = StepEstimator(plan.pools[0], precision: .fp8, model: model)
    estimator.step = StepShape(
      isPrefill: layer.role == .prefill, sequences: layer.sequences, tokens: layer.tokens,
      context: layer.context)
    estimator.microBatches = layer.microBatches
    let calls = estimator.estimate().stages.joined()
    let estimate = try #require(calls.first { $0.layers.contains(30) })
    return layer.isOverlapped ? estimate.contended(Contention(), on: model.hardware) : estimate
  }

  /// A line for each part of each layer.
  static func table() throws -> String {
    var text =
      "| layer | part | predicted (us) | 90 % | measured (us) | error | used in the fit |\n"
    text += "|---|---|--:|--:|--:|--:|---|\n"
    func line(
      _ name: String, _ part: String, _ time: Figure, _ us: Double, _ isFitted: Bool
    ) -> String {
      func number(_ value: Double) -> String { String(format: "%.0f", value) }
      let error = String(format: "%+.0f %%", (time.value * 1e6 / us - 1) * 100)
      return "| \(name) | \(part) | \(number(time.value * 1e6)) | \(number(time.lower * 1e6)) - "
        + "\(number(time.upper * 1e6)) | \(number(us)) | \(error) | \(isFitted ? "yes" : "no") |\n"
    }
    for layer in profiledLayers {
      let estimate = try predicted(layer)
      let count = Double(layer.microBatches)
      for (part, us, isFitted) in layer.parts {
        text += line(
          layer.name, part.rawValue, estimate.time(of: part).scaled(by: count), us, isFitted)
      }
      let whole = layer.isOverlapped ? estimate.overlapped : estimate.serial
      text += line(
        layer.name, layer.isOverlapped ? "busier stream / elapsed" : "sum / elapsed",
        whole.scaled(by: count), layer.overall, false)
    }
    return text
  }

  /// DeepSeek's own two layers, part by part. The others are in docs/cost.md.
  @Test(arguments: 0..<2) func partsOfDeepSeeksLayersAreWithin15Percent(index: Int) throws {
    let layer = profiledLayers[index]
    let estimate = try Self.predicted(layer)
    for (part, us, _) in layer.parts {
      let predicted = estimate.time(of: part).value * Double(layer.microBatches) * 1e6
      #expect(abs(predicted / us - 1) < 0.15, "\(layer.name), \(part): \(predicted) us for \(us)")
    }
  }

  /// The generated parts of docs/cost.md; `EPC_UPDATE_GOLDENS=1` writes them.
  @Test func documentationHoldsTheTables() throws {
    let path = Repository.root + "/docs/cost.md"
    let text = try String(contentsOfFile: path, encoding: .utf8)
    var made = text
    let layer = try Self.predicted(profiledLayers[0])
    let sections = [
      ("fits", try Repository.calibration.get().report), ("layers", try Self.table()),
      ("explain", "```\n" + layer.explanation + "```\n"),
    ]
    for (name, content) in sections {
      let parts = made.components(separatedBy: "<!-- \(name) -->\n")
      try #require(parts.count == 3, "two markers of '\(name)'")
      made = parts[0] + "<!-- \(name) -->\n" + content + "<!-- \(name) -->\n" + parts[2]
    }
    if ProcessInfo.processInfo.environment["EPC_UPDATE_GOLDENS"] == "1" {
      try made.write(toFile: path, atomically: true, encoding: .utf8)
    } else {
      #expect(made == text, "docs/cost.md is out of date; EPC_UPDATE_GOLDENS=1 makes it again")
    }
  }
}
