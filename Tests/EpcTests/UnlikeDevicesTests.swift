import Foundation
import Testing

/// Two devices of unlike speed and memory in one plan.
@Suite struct UnlikeDevicesRunTests {
  private static let cluster = """
    {"name": "pair", "nodes": 1, "hardware": {"name": "cpu", "label": "A processor",
     "devices_per_node": 2, "memory_gb": 0.064, "memory_tb_per_s": 0.08, "peak_tflops": {"bf16": 1},
     "scale_up_gb_per_s": 10, "scale_out_gb_per_s": 1, "source": "this machine"},
     "unlike": [{"ranks": "1", "speed": 0.25, "memory_gb": 0.05}]}
    """

  @Test func itsTokensAreThoseOfAnyOtherPlan() throws {
    let folder = try Scratch()
    let (file, plan, even) = (
      folder.path("pair.json"), folder.path("plan.json"), folder.path("even.json")
    )
    try Self.cluster.write(toFile: file, atomically: true, encoding: .utf8)
    let compile = [
      "compile", "models/tiny-deepseek.swift", "--dp", "2", "--ep", "2", "--batch", "4",
      "--tokens-per-gpu", "64", "--context", "64",
    ]
    let compiled = try epc(compile + ["--cluster", file, "-o", plan])
    #expect(compiled.status == 0, "\(compiled.errors)")
    #expect(compiled.output.contains("16 slots, 13 + 3 on unlike ranks"), "\(compiled.output)")
    try #require(try epc(compile + ["-o", even]).status == 0)
    let listing = try epc(["show", plan, "--rank", "1"]).output
    #expect(listing.contains("in slots 13-15"), "\(listing)")
    func run(_ plan: String, _ more: [String] = []) throws -> [Substring] {
      let run = try epc(
        ["exec", plan, "--weights", "synthetic:1", "--tokens", "1,2,3,4", "--generate", "6"] + more)
      #expect(run.status == 0, "\(run.errors)")
      return Array(run.output.split(separator: "\n").prefix(1))
    }
    #expect(try run(plan) == run(even))
    #expect(try run(plan, ["--backend", "simgpu", "--processes", "2"]) == run(even))
    #expect(try run(plan, ["--memory", "100MiB"]) == run(even))
    #expect(try run(plan, ["--check"]).first?.contains("operations agree") == true)
    for (arguments, words) in [
      (["estimate", plan], "devices of one kind"),
      (["export", plan, "--to", "sglang"], "as many experts"),
      (["exec", plan, "--backend", "simgpu"], "devices of one kind"),
      (compile + ["--cluster", file, "--redundant-experts", "2"], "leave it out"),
    ] {
      let refused = try epc(arguments)
      #expect(refused.status == 1 && refused.errors.contains(words), "\(refused)")
    }
  }
}
