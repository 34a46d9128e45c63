import EPCompiler
import EPExport
import EPIR
import EPModel
import EPPlan
import EPTestSupport
import Foundation
import Testing

/// What stands in exports.
@Suite struct ExporterTests {
  private func value(_ flag: String, _ command: LaunchCommand?) -> String? {
    command?.values(of: flag)?.first
  }

  @Test func deepSeekForSGLangIsLaidOutAsThePlanSays() throws {
    let plan = try LargeModels.v3Plan.get()
    let bundle = try plan.exported(
      to: .sglang, ExportRequest(model: "deepseek-ai/DeepSeek-V3", twoBatches: true))
    #expect(bundle.version == "SGLang 0.5.23")
    let names = bundle.commands.map(\.name)
    #expect(
      names == (0..<4).map { "prefill-0-node-\($0)" } + (0..<18).map { "decode-0-node-\($0)" }
        + ["router"])
    let prefill = bundle.commands[0]
    let decode = bundle.commands[4 + 7]
    for (flag, values) in [
      ("--model-path", ["deepseek-ai/DeepSeek-V3", "deepseek-ai/DeepSeek-V3"]),
      ("--tp-size", ["32", "144"]), ("--attn-dp-size", ["8", "144"]), ("--ep-size", ["32", "144"]),
      ("--nnodes", ["4", "18"]), ("--node-rank", ["0", "7"]),
      ("--dist-init-addr", ["node0:20000", "node4:20000"]),
      ("--moe-a2a-backend", ["deepep", "deepep"]),
      ("--deepep-mode", ["normal", "low_latency"]), ("--moe-dense-tp-size", ["1", "1"]),
      ("--disaggregation-mode", ["prefill", "decode"]),
      ("--speculative-num-draft-tokens", ["2", "2"]), ("--speculative-num-steps", ["1", "1"]),
    ] {
      #expect([value(flag, prefill), value(flag, decode)] == values, "\(flag)")
    }
    // SGLang counts a chunk and requests over all data groups.
    let load = plan.pools[0].load
    #expect(value("--chunked-prefill-size", prefill) == String(load.tokens * 8))
    #expect(value("--max-running-requests", decode) == String(128 * 144))
    #expect(value("--ep-num-redundant-experts", decode) == "32")
    #expect(value("--ep-num-redundant-experts", prefill) == nil)
    #expect(value("--chunked-prefill-size", decode) == nil)
    #expect(decode.values(of: "--enable-two-batch-overlap") == [])
    // 128 sequences with a drafted token each.
    #expect(decode.environment.map(\.value) == ["256"])
    #expect(
      bundle.commands.last?.words.suffix(6) == [
        "--pd-disaggregation", "--prefill", "http://node0:30000", "8998", "--decode",
        "http://node4:30000",
      ])
  }

  @Test func theLocationFileHasARowForEveryLayer() throws {
    let plan = try LargeModels.v3Plan.get()
    let bundle = try plan.exported(to: .sglang)
    let file = try #require(bundle.files.first { $0.name == "expert-location-decode.json" })
    #expect(bundle.files.count == 1)
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(file.bytes)) as? [String: [[Int]]])
    let rows = try #require(object["physical_to_logical_map"])
    #expect(rows.count == 61)
    #expect(rows.allSatisfy { $0.count == 288 && Set($0) == Set(0..<256) })
    let placement = try #require(plan.pools[1].placements.first { $0.layers.contains(30) })
    #expect(rows[30] == placement.slots)
  }

  @Test func deepSeekForVLLMStartsHeadlessNodesAtTheirRanks() throws {
    let plan = try LargeModels.v3Plan.get()
    let bundle = try plan.exported(to: .vllm)
    let decode = bundle.commands.filter { $0.name.hasPrefix("decode") }
    #expect(decode.count == 18)
    #expect(decode[0].values(of: "--headless") == nil && value("--port", decode[0]) == "8200")
    for (node, command) in decode.enumerated().dropFirst() {
      #expect(command.values(of: "--headless") == [])
      #expect(value("--data-parallel-start-rank", command) == String(node * 8))
      #expect(value("--data-parallel-address", command) == "node4")
      #expect(command.values(of: "--api-server-count") == nil)
    }
    #expect(value("--all2all-backend", decode[0]) == "deepep_low_latency")
    #expect(value("--eplb-config", decode[0]) == #"{"num_redundant_experts":32}"#)
    #expect(
      value("--speculative-config", decode[0]) == #"{"method":"mtp","num_speculative_tokens":1}"#)
    #expect(value("--all2all-backend", bundle.commands[0]) == "deepep_high_throughput")
    #expect(value("--data-parallel-size-local", bundle.commands[0]) == "2")
    // vLLM cannot be told where experts are: that is said, not dropped, to pods neither.
    #expect(bundle.remarks.contains { $0.subject == "placement" })
    let pods = try plan.exported(to: .kubernetes, engine: .vllm)
    #expect(pods.remarks.contains { $0.subject == "placement" })
  }

  @Test func vLLMsRouterKnowsTheConnectorAndItsPorts() throws {
    let plan = try LargeModels.v3Plan.get()
    for (transfer, port) in [(ExportRequest.Transfer.nixl, []), (.mooncake, ["8998"])] {
      let commands = try plan.exported(to: .vllm, ExportRequest(transfer: transfer)).commands
      let router = try #require(commands.last)
      #expect(
        router.words == ["vllm-router", "--host", "0.0.0.0", "--port", "8000"]
          + ["--policy", "cache_aware", "--vllm-pd-disaggregation", "--prefill"]
          + ["http://node0:8200"] + port + ["--decode", "http://node4:8200", "--kv-connector"]
          + [transfer.rawValue])
      let variable = commands[0].environment.first { $0.name.contains("BOOTSTRAP") }
      #expect(variable?.value == port.first)
    }
  }

  @Test func aDataGroupOverNodesIsLaunchedByNodeRank() throws {
    var request = try SamplePlans.request([(.unified, Mesh(tp: 16, ep: 16))])
    request.pools[0].batch = 1
    let plan = try Compiler.compile(Compilation(LargeModels.kimiK2, request))
    let commands = try plan.exported(to: .vllm).commands
    #expect(commands.count == 2)
    #expect(commands.map { value("--node-rank", $0) } == ["0", "1"])
    #expect(commands.map { value("--master-addr", $0) } == ["node0", "node0"])
    #expect(commands.allSatisfy { $0.values(of: "--data-parallel-size") == nil })
  }

  @Test func copiesOfAllExpertsAreInstancesOfTheirOwn() throws {
    let plan = try SamplePlans.plan(
      SampleModels.tinyDeepSeek(), [(.prefill, Mesh(dp: 4, ep: 2))])
    let commands = try plan.exported(to: .sglang).commands
    #expect(commands.map(\.name) == ["prefill-0-node-0", "prefill-1-node-0", "router"])
    #expect(commands.prefix(2).map { value("--tp-size", $0) } == ["2", "2"])
    #expect(
      commands.prefix(2).map { $0.environment.first?.value } == ["0,1", "2,3"])
    #expect(Set(commands.prefix(2).map { value("--port", $0) }).count == 2)
    #expect(commands[2].values(of: "--worker-urls")?.count == 2)
  }

  @Test func everySamplePlanIsWrittenOrRefusedWithAReason() throws {
    for (name, plan) in try SamplePlans.all() {
      for target in ExportTarget.allCases {
        for engine in [Engine.sglang, .vllm] {
          do throws(Diagnostics) {
            let bundle = try plan.exported(to: target, engine: engine)
            #expect(bundle.commands.allSatisfy { !$0.words.contains("") }, "\(name)")
            #expect(bundle.checks.allSatisfy { $0.problem == nil })
            #expect(try bundle.folder().contains { $0.name == "export.json" })
          } catch {
            #expect(
              error.all.allSatisfy { $0.id.hasPrefix("preflight-") }, "\(name) \(target): \(error)")
          }
        }
      }
    }
  }

  @Test func theSamePlanGivesTheSameBytes() throws {
    for plan in [
      try LargeModels.k2Plan.get(),
      try SamplePlans.plan(LargeModels.kimiK2, [(.decode, Mesh(dp: 32, ep: 32))]),
    ] {
      for target in ExportTarget.allCases {
        #expect(
          try plan.exported(to: target).folder() == (try plan.exported(to: target).folder()))
      }
    }
  }

  @Test func hostsAndNamesAreChecked() throws {
    let plan = try LargeModels.k2Plan.get()
    func id(_ request: ExportRequest, _ target: ExportTarget = .sglang, _ engine: Engine = .sglang)
      -> String?
    {
      do {
        _ = try plan.exported(to: target, engine: engine, request)
        return nil
      } catch { return error.all.first?.id }
    }
    #expect(id(ExportRequest(hosts: ["a", "b"])) == nil)
    #expect(id(ExportRequest(hosts: ["a"])) == "export-hosts")
    #expect(id(ExportRequest(hosts: ["a", "--b"])) == "export-name")
    #expect(id(ExportRequest(model: "a b")) == "export-name")
    #expect(id(ExportRequest(model: "")) == "export-name")
    #expect(id(ExportRequest(), .kubernetes, .trtllm) == "export-engine")
  }

  @Test func aShellReadsScriptsBackWordForWord() throws {
    let plan = try LargeModels.v3Plan.get()
    for target in [ExportTarget.vllm, .sglang] {
      let command = try #require(
        try plan.exported(
          to: target, ExportRequest(model: "/models/it's $HOME \"here\"`x`".filter { $0 != " " })
        )
        .commands.first)
      var script = command.script(heading: "test")
      script = script.replacing("exec ", with: "printf '%s\\n' ")
      let process = Process()
      process.executableURL = URL(filePath: "/bin/bash")
      process.arguments = ["-c", script.replacing("cd \"$(dirname \"$0\")\"\n", with: "")]
      let output = Pipe()
      process.standardOutput = output
      try process.run()
      let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      #expect(text.split(separator: "\n").map(String.init) == command.words)
    }
  }
}
