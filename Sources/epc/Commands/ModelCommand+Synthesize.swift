import ArgumentParser
import EPCheckpoint
import EPIR
import EPPlan
import EPReport
import EPRuntime

extension ModelCommand {
  struct Synthesize: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract:
        "Write a checkpoint of random weights, those of 'epc exec --weights synthetic:SEED'.")

    @Argument(help: "A plan of the model.")
    var plan: String

    @Option(help: "What the numbers depend on.")
    var seed: UInt64 = 1

    @Option(help: "How they are kept: fp32 or bf16.")
    var dtype: String = "fp32"

    @Option(name: .shortAndLong, help: "The folder to write to.")
    var output: String

    func run() throws {
      try reporting { () throws(Diagnostics) in
        guard let format = CheckpointWriter.Format(rawValue: dtype) else {
          throw PlanFlags.unknown(
            "--dtype", dtype, CheckpointWriter.Format.allCases.map(\.rawValue))
        }
        let plan = try Plan.load(plan)
        do throws(WeightError) {
          let checkpoint = try SyntheticCheckpoint(of: plan, seed: seed, format: format)
          try checkpoint.write(to: output)
          Terminal.print("wrote \(output), \(Units.bytes(checkpoint.bytes))\n")
        } catch { throw Diagnostics("weights", error.description) }
      }
    }
  }
}
