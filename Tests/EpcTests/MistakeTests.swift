import Foundation
import Testing

/// What the command does with flags that have no effect, sizes that are no sizes, and outputs that fail.
@Suite struct MistakeTests {
  private static let plan = Result { () throws -> (folder: Scratch, path: String) in
    let folder = try Scratch()
    let plan = folder.path("plan.json")
    _ = try epc(["compile", "models/tiny-deepseek.swift", "--ep", "2", "-o", plan])
    return (folder, plan)
  }

  private static let tensors = "exec PLAN --weights synthetic:1 --tokens 1 "
  private static let devices = "exec PLAN --backend simgpu "
  private static let beyond = "9223372036854775807"

  /// Arguments, and what is said of them.
  private static let mistakes: [(arguments: String, words: String)] = [
    (tensors + "--steps 16", "'--steps' is of a run without tensors"),
    (tensors + "--routing=mean", "'--routing' is of a run without tensors"),
    (tensors + "--processes 2", "'--processes' is of simulated devices"),
    (tensors + "--bound 1", "'--bound' is of '--check'"),
    (tensors + "--output nowhere/x.safetensors", "there is no folder 'nowhere/'"),
    (devices + "--dtype bf16", "'--dtype' is of a run with tensors"),
    (devices + "--input-length 9", "'--input-length' is of '--requests'"),
    (devices + "--trace-ranks 0", "'--trace-ranks' is of '--trace' and '--report'"),
    (devices + "--report nowhere/x.html", "there is no folder 'nowhere/'"),
    ("show PLAN --function layer1", "'--function' is of '--graph' and '--timeline'"),
    ("show PLAN --ops --rank 0", "shown one at a time"),
    ("show PLAN --rank 0 --format json", "'--format json' is of the summary"),
    ("show PLAN --pool unified", "'--pool' is of '--rank'"),
    ("estimate models/tiny-k2.swift --price nan", "it is dollars, at least 0"),
    ("search models/tiny-k2.swift --cluster h200:8 --requests 9", "'--requests' is of '--replay'"),
    (tensors + "--check --format json", "leave out '--format json'"),
    ("validate benchmarks/cases.csv --explain", "'--explain' is of '--layers'"),
    (
      "validate benchmarks/cases.csv --update docs/validation.md --format json",
      "leave out '--format json'"
    ),
    ("backends --backend-timeout 0", "it is at least 1"),
    (
      "compile models/tiny-k2.swift --redundant-experts " + beyond,
      "take '--redundant-experts 0'"
    ),
    ("compile models/tiny-k2.swift --loads zip:1", "without a file, take 'uniform'"),
    ("balance zipf:1 --ranks 4 --experts " + beyond, "at least 1 and at most 1048576"),
    ("balance zipf:1 --experts 16 --ranks " + beyond, "from 1 to 2^20"),
    ("balance zipf:1 --experts 16 --ranks 4 --groups -1", "'--groups -1'; it is at least 1"),
    (
      "balance replicas zipf:1 --experts 16 --memory 1 --expert-bytes 1 --ranks " + beyond,
      "from 1 to 2^20"
    ),
    (
      "balance migrate zipf:1 --experts 16 --from PLAN --expert-bytes " + beyond,
      "at least 1 and at most 17179869184"
    ),
    (
      "balance migrate zipf:1 --model models/tiny-deepseek.swift --layers 3 --from PLAN",
      "'--layers' is told by '--model'"
    ),
    (
      "balance simulate zipf:1 zipf:2 --experts 16 --ranks 4 --expert-bytes 1 --threshold nan",
      "a balance is from 0 to 1"
    ),
  ]

  @Test(arguments: mistakes)
  func areRefusedInOneLine(arguments: String, words: String) throws {
    let plan = try Self.plan.get().path
    let run = try epc(arguments.split(separator: " ").map { $0 == "PLAN" ? plan : String($0) })
    #expect(run.status == 1 && run.output == "")
    #expect(run.errors.contains(words), "\(run.errors)")
    #expect(run.errors.split(separator: "\n").count == 1, "\(run.errors)")
  }

  /// A file is named once, whoever says what is wrong with it.
  @Test func missingClusterFilesAreNamedOnce() throws {
    let run = try epc(["compile", "models/tiny-k2.swift", "--cluster", "nowhere/c.json"])
    #expect(run.status == 1)
    #expect(run.errors.components(separatedBy: "nowhere/c.json").count == 2, "\(run.errors)")
  }

  /// The compiler takes a name that begins with a dash for a flag, even behind './'.
  @Test func aModelFileMayBeNamedLikeAFlag() throws {
    let folder = try Scratch()
    let model = try String(contentsOfFile: "models/tiny-k2.swift", encoding: .utf8)
    for (text, words) in [(model, "tiny-k2"), (model + "let x = 1 + \"a\"\n", "\n-m.swift:")] {
      try Data(text.utf8).write(to: URL(filePath: folder.path("-m.swift")))
      let run = try epc(["compile", "--", "-m.swift"], directory: folder.path(""))
      #expect(("\n" + run.output + run.errors).contains(words), "\(run.errors)")
    }
  }

  @Test func anUnknownCommandIsToldWhichThereAre() throws {
    for (arguments, words) in [
      (["compil", "x"], "'compil' is no command of 'epc'; known are compile, exec"),
      (["model", "dum"], "'dum' is no command of 'epc model'; known are dump, parameters"),
      (["help", "shov"], "'shov' is no command of 'epc'"),
    ] {
      let run = try epc(arguments)
      #expect(run.status == 64 && run.output == "" && run.errors.contains(words), "\(run.errors)")
    }
    #expect(try epc(["help", "model"]).status == 0 && epc(["balance", "zipf:1"]).status == 1)
  }

  /// The first token comes with the prompt, so that no rate is known of it.
  @Test func aRunOfOneTokenHasNoRate() throws {
    let plan = try Self.plan.get().path
    let run = try epc(
      Self.tensors.replacing("PLAN", with: plan).split(separator: " ").map(String.init) + [
        "--generate", "1",
      ])
    #expect(run.output.contains(", 1 made, on 2 rank(s)"), "\(run.output)")
  }

  @Test func aModelFileOfAnotherNameIsToldWhatItNeeds() throws {
    let folder = try Scratch()
    let file = folder.path("model.txt")
    try Data("import EPModel\n".utf8).write(to: URL(filePath: file))
    let run = try epc(["compile", file])
    #expect(run.status == 1 && run.errors.contains("a model file's name ends in '.swift'"))
  }

  /// Output that is lost is an error, unless stdout was closed on purpose.
  @Test(arguments: [("/dev/full", Int32(1)), ("&-", 0)])
  func outputThatCannotBeWrittenIsNotLostQuietly(target: String, status: Int32) throws {
    let plan = try Self.plan.get().path
    let shell = ["/bin/sh", "-c", "exec \"$0\" \"$@\" >\(target)"]
    let run = try epc(["show", plan, "--ops"], under: shell)
    #expect(run.status == status)
    #expect(run.errors.contains("No space left") == (status == 1), "\(run.errors)")
  }

  /// A pipe, like `/dev/null`, is no file that a new one may take the place of.
  @Test func resultsDoNotReplaceWhatIsNoFile() throws {
    let folder = try Scratch()
    let pipe = folder.path("pipe")
    #expect(unsafe mkfifo(pipe, 0o600) == 0)
    let plan = try Self.plan.get().path
    let run = try epc(
      ["exec", plan, "--weights", "synthetic:1", "--tokens", "1", "--generate", "1"]
        + ["--output", pipe])
    #expect(run.status == 1 && run.errors.contains("not a regular file"), "\(run.errors)")
    var status = stat()
    #expect(unsafe lstat(pipe, &status) == 0 && status.st_mode & S_IFMT == S_IFIFO)
  }
}
