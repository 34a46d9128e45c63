import ArgumentParser

struct BalanceCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "balance",
    abstract: "Place experts for measured loads, and move them as loads change.",
    discussion: """
      Balance is mean over fullest rank load: 1 at best. 'place' is meant where no subcommand is \
      named.

        epc balance loads.csv --ranks 288 --redundant 32 -o placement.json
        epc balance migrate new.csv --from placement.json --budget 5
        epc balance simulate w0.csv w1.csv w2.csv --ranks 32 --redundant 32 --budget 10
        epc balance replicas loads.csv --ranks 32 --model models/deepseek-v3.swift --memory 40
      """,
    subcommands: [
      BalancePlace.self, BalanceMigrate.self, BalanceSimulate.self, BalanceReplicas.self,
    ],
    defaultSubcommand: BalancePlace.self)
}
