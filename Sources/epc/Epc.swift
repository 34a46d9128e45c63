import ArgumentParser
import EPIR
import Glibc

/// The command. Everything it does is in the libraries; here are flags, files and exit codes.
@main
struct Epc: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "epc",
    abstract: "A compiler for Mixture-of-Experts language models.",
    discussion: """
      A model is one Swift file; epc compiles it, for a cluster and a workload, to an \
      expert-parallel plan that is sharded, verified and ready to run.

        epc compile models/k2.swift --ep 320 --phase decode -o plan.json
        epc show plan.json

      Exit codes: 0 done; 1 the input was refused, the reason is on stderr; 64 wrong flags.
      """,
    version: "0.1.0",
    subcommands: [
      CompileCommand.self, ExecCommand.self, EstimateCommand.self, ShowCommand.self,
      BalanceCommand.self, SearchCommand.self, ValidateCommand.self,
      VerifyCommand.self, ExportCommand.self, ModelCommand.self, ClustersCommand.self,
      CalibrateCommand.self, ReferencesCommand.self, BackendsCommand.self, ConformanceCommand.self,
      BenchCommand.self,
    ])
}

extension Epc {
  /// Runs the command. A negative number behind a flag is that flag's value, so that what is said of it
  /// is why it is refused, not that a value is missing.
  static func main() {
    Terminal.openStreams()
    var arguments: [String] = []
    for argument in CommandLine.arguments.dropFirst() {
      if argument.hasPrefix("-"), Double(argument) != nil, let flag = arguments.last,
        flag.hasPrefix("--"), !flag.contains("=")
      {
        arguments[arguments.count - 1] = "\(flag)=\(argument)"
      } else {
        arguments.append(argument)
      }
    }
    if let problem = unknownCommand(arguments) {
      Terminal.error("Error: \(problem)")
      Glibc.exit(64)
    }
    main(arguments)
  }

  /// What is wrong with the words that name a command, if there is none of that name.
  private static func unknownCommand(_ arguments: [String]) -> String? {
    var (command, name) = (Epc.self as any ParsableCommand.Type, "epc")
    for word in arguments where word != "help" || name != "epc" {
      let below = command.configuration.subcommands
      if below.isEmpty || word.hasPrefix("-") || command.configuration.defaultSubcommand != nil {
        return nil
      }
      guard let next = below.first(where: { $0._commandName == word }) else {
        let known = below.map { $0._commandName }.joined(separator: ", ")
        return "'\(word)' is no command of '\(name)'; known are \(known)"
      }
      (command, name) = (next, "\(name) \(word)")
    }
    return nil
  }
}

/// Runs a command's work, printing diagnostics on stderr and ending with exit code 1 if it fails.
///
/// Of several processes that fail alike, one should say so: `isQuiet` is for the others.
func reporting(isQuiet: Bool = false, _ work: () throws(Diagnostics) -> Void) throws {
  do throws(Diagnostics) { try work() } catch {
    // Processes of a job that all fail alike leave the words to the first, and time for them: a launcher
    // kills those that are left as soon as one has failed.
    if isQuiet { sleep(2) } else { Terminal.error(error.description) }
    throw ExitCode(1)
  }
}
