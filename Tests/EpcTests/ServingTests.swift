import Foundation
import Testing

/// Requests through simulated pools, and routing that was recorded.
@Suite struct ServingTests {
  private struct Report: Decodable, Equatable {
    struct Percentiles: Decodable, Equatable {
      var p50: Double
      var p99: Double
    }
    var requests: Int
    var tokens: Int
    var seconds: Double
    var ttftMs: Percentiles
    var tpotMs: Percentiles
    var tokensPerSecondPerGpu: Double
  }

  private func serve(_ plan: String, _ flags: [String]) throws -> Report {
    let run = try epc(
      ["exec", plan, "--backend", "simgpu", "--format", "json", "--requests"] + flags)
    #expect(run.status == 0, "\(run.errors)")
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(Report.self, from: Data(run.output.utf8))
  }

  @Test(arguments: [
    ["--ep", "4", "--batch", "8", "--tokens-per-gpu", "256"],
    ["--prefill", "ep=2,dp=2,tp=1", "--decode", "ep=4,dp=4,batch=8"],
  ])
  func loadDecidesHowLongRequestsWait(flags: [String]) throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    let compiled = try epc(["compile", "models/tiny-k2.swift", "-o", plan] + flags)
    #expect(compiled.status == 0, "\(compiled.errors)")
    let lengths = [
      "--request-count", "150", "--input-length", "300", "--output-length", "40",
    ]
    let calm = try serve(plan, ["constant:5"] + lengths)
    let busy = try serve(plan, ["poisson:100000"] + lengths)
    #expect(calm.requests == 150 && busy.requests == 150)
    #expect(calm.tokens == 150 * 40 && busy.tokens == 150 * 40)
    #expect(calm.ttftMs.p50 > 0 && calm.tpotMs.p50 > 0)
    #expect(busy.ttftMs.p99 > 3 * calm.ttftMs.p99)
    #expect(busy.tokensPerSecondPerGpu > 3 * calm.tokensPerSecondPerGpu)
    #expect(try serve(plan, ["poisson:100000"] + lengths) == busy)

    // A trace says what to serve, and its cached prefix is not read again.
    let trace = folder.path("trace.jsonl")
    func line(_ time: Int, _ hash: Int) -> String {
      #"{"timestamp": \#(time), "input_length": 1024, "output_length": 8, "hash_ids": [\#(hash), \#(hash + 1)]}"#
    }
    try Data("\(line(0, 1))\n\(line(500, 1))\n".utf8).write(to: URL(filePath: trace))
    let cached = try serve(plan, [trace])
    try Data("\(line(0, 1))\n\(line(500, 9))\n".utf8).write(to: URL(filePath: trace))
    let read = try serve(plan, [trace])
    #expect(cached.requests == 2 && cached.tokens == 16)
    #expect(cached.seconds < read.seconds)
  }

  @Test func wrongRequestsAreRefused() throws {
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    _ = try epc(["compile", "models/tiny-k2.swift", "--ep", "2", "-o", plan])
    for (flags, reason) in [
      (["--requests", "poisson:-1"], "the rate is requests a second"),
      (["--requests", folder.path("none")], "none"),
      (["--requests", "constant:1", "--request-count", "0"], "'--request-count 0'"),
      (["--requests", "constant:1", "--report", "r.html"], "leave out '--requests'"),
    ] {
      let run = try epc(["exec", plan, "--backend", "simgpu"] + flags)
      #expect(run.status == 1 && run.errors.contains(reason), "\(flags): \(run.errors)")
    }
  }

  @Test func recordedRoutingIsRunAgain() throws {
    let folder = try Scratch()
    let (plan, file) = (folder.path("plan.json"), folder.path("routing.safetensors"))
    _ = try epc(["compile", "models/tiny-deepseek.swift", "--ep", "4", "-o", plan])
    let recorded = try epc([
      "exec", plan, "--weights", "synthetic:3", "--tokens", "1,2,3,4,5,6,7,8", "--generate", "8",
      "--dump", "routing", "--output", file,
    ])
    #expect(recorded.status == 0, "\(recorded.errors)")
    let run = ["exec", plan, "--backend", "simgpu", "--steps", "2"]
    let again = try epc(run + ["--routing", file])
    #expect(again.status == 0, "\(again.errors)")
    let drawn = try epc(run)
    let balance = { (text: String) in
      text.split(separator: "\n").first { $0.contains("balancedness") }
    }
    #expect(balance(again.output) != balance(drawn.output))
    // Another model's choices, and what is no recording.
    let other = folder.path("other.json")
    _ = try epc(["compile", "models/tiny-k2.swift", "--ep", "2", "-o", other])
    let wrong = try epc(["exec", other, "--backend", "simgpu", "--routing", file])
    #expect(wrong.status == 1 && wrong.errors.contains("[routing]"), "\(wrong.errors)")
    let missing = try epc(run + ["--routing", "men"])
    #expect(missing.status == 1 && missing.errors.contains("'drawn', 'mean'"), "\(missing.errors)")
  }
}
