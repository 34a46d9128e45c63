import ArgumentParser
import EPBackendCPU
import EPCost
import EPIR
import EPModel
import EPReference

struct ReferencesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "references",
    abstract: "Run reference checkpoints, sharded and unsharded, and compare what they make.",
    discussion: """
      FOLDER holds checkpoint folders, at any depth, with a reference.safetensors beside each \
      model: input_ids, prefill_logits, decode_logits, decode_tokens and topk_idx by prompt. Each \
      runs with EP 1, 2 and 4 and with data and tensor parallelism mixed, where its shapes allow. \
      With another '--dtype' than fp32 the logits of prompts are judged, up to the first token that \
      rounding sends to other experts ('settled'), by the root mean square of their differences as a \
      share of that of the reference's.
      """)

  @Argument(help: "The folder.")
  var folder: String

  @Option(help: "Only cases whose name has this text in it.")
  var only: String = ""

  @Option(help: "How matrices are kept: fp32, bf16, int8, fp8 or mxfp4.")
  var dtype: String = "fp32"

  @Option(help: "What to print: text or json.")
  var format: OutputFormat = .text

  func run() throws {
    try reporting { () throws(Diagnostics) in
      let weights = try WeightFormat.named(dtype)
      let rows = ReferenceSuite.run(folder: folder, filter: only, weights: weights)
      if rows.isEmpty {
        throw Diagnostics(
          "references", "no folder below '\(folder)' holds a reference.safetensors")
      }
      let table = ReferenceSuite.table(rows)
      let settled = rows.map(\.settled.rows).reduce(0, +)
      let all = rows.map(\.logits.rows).reduce(0, +)
      let failed = rows.filter { !$0.passes }.count
      let skipped = rows.filter { $0.skipped != nil }.count
      let agree = rows.count - failed - skipped
      try format.print(
        table.aligned + (weights == .fp32 ? "" : "\(settled) of \(all) tokens are settled\n")
          + "\(agree) agree, \(failed) do not, \(skipped) skipped\n",
        .object([
          "rows": table.document, "settled_tokens": .int(settled), "tokens": .int(all),
          "agree": .int(agree), "differ": .int(failed), "skipped": .int(skipped),
        ]))
      if failed > 0 { throw Diagnostics("references", "\(failed) runs do not agree") }
    }
  }
}
