import CEPSystem
import Glibc

/// A run of another program within bounds.
struct ProgramRun {
  /// What a confined program may open.
  struct Confinement {
    var readable: [String]
    var executable: [String]
    var acceptsMissingLandlock: Bool
  }

  var program: String
  var arguments: [String]
  var environment: [String]
  var directory: String?
  /// 1, or 3 when standard output is to join standard error.
  var outputDescriptor: Int32
  var outputLimit: Int
  var errorLimit = 1 << 20
  var wallMilliseconds: Int
  var cpuSeconds: Int
  var memoryBytes: UInt64 = .max
  var stackBytes: UInt64 = .max
  var fileSizeBytes: UInt64 = .max
  var openFiles: UInt64 = .max
  var confinement: Confinement?

  /// What became of a run.
  struct Outcome {
    var stage: epc_stage
    var stageErrno: Int32
    var stop: epc_stop
    var exitStatus: Int32
    var signal: Int32
    var deniedCall: Int32
    var output: [UInt8]
    var error: String
    var cpuSeconds: Double

    /// What was printed, without the control characters that would make a terminal do things.
    var printable: String {
      String(
        String.UnicodeScalarView(
          error.unicodeScalars.map { scalar in
            let isControl = scalar.properties.generalCategory == .control
            return isControl && scalar != "\n" && scalar != "\t" ? "\u{FFFD}" : scalar
          }))
    }

    /// Whether the program ran to its end and reported success.
    var succeeded: Bool {
      stage == EPC_STAGE_RAN && stop == EPC_STOP_NONE && signal == 0 && exitStatus == 0
    }
  }

  /// Runs the program to its end.
  func run(interrupts: InterruptWatch?) -> Outcome {
    let program = unsafe CStrings([program])
    let arguments = unsafe CStrings(arguments)
    let environment = unsafe CStrings(environment)
    let directory = unsafe CStrings(directory.map { [$0] } ?? [])
    let readable = unsafe CStrings(confinement?.readable ?? [])
    let executable = unsafe CStrings(confinement?.executable ?? [])
    defer {
      unsafe program.free()
      unsafe arguments.free()
      unsafe environment.free()
      unsafe directory.free()
      unsafe readable.free()
      unsafe executable.free()
    }
    var options = unsafe epc_spawn_options()
    unsafe options.program = program.first
    unsafe options.arguments = arguments.pointer
    unsafe options.environment = environment.pointer
    unsafe options.directory = directory.first
    unsafe options.output_descriptor = outputDescriptor
    unsafe options.output_limit = outputLimit
    unsafe options.error_limit = errorLimit
    unsafe options.wall_milliseconds = UInt32(clamping: wallMilliseconds)
    unsafe options.cpu_seconds = UInt64(clamping: cpuSeconds)
    unsafe options.address_space_bytes = memoryBytes
    unsafe options.stack_bytes = stackBytes
    unsafe options.file_size_bytes = fileSizeBytes
    unsafe options.open_files = openFiles
    unsafe options.interrupt_descriptor = interrupts?.descriptor ?? -1
    guard let confinement else { return unsafe spawn(options) }
    var rules = unsafe epc_confinement(
      readable: readable.pointer, executable: executable.pointer,
      accept_missing_landlock: confinement.acceptsMissingLandlock)
    return unsafe withUnsafePointer(to: &rules) { rules in
      unsafe options.confinement = rules
      return unsafe spawn(options)
    }
  }

  private func spawn(_ options: epc_spawn_options) -> Outcome {
    var options = unsafe options
    var result = unsafe epc_spawn_result()
    _ = unsafe epc_spawn(&options, &result)
    defer { unsafe epc_spawn_result_free(&result) }
    let output = unsafe UnsafeBufferPointer(start: result.output, count: result.output_size)
    let error = unsafe UnsafeBufferPointer(start: result.error, count: result.error_size)
    return unsafe Outcome(
      stage: result.stage, stageErrno: result.stage_errno, stop: result.stop,
      exitStatus: result.exit_status, signal: result.signal, deniedCall: result.denied_call,
      output: Array(output), error: String(decoding: error, as: UTF8.self),
      cpuSeconds: Double(result.cpu_nanoseconds) * 1e-9)
  }
}

/// Strings as a C array that ends with NULL, until `free`.
@unsafe private struct CStrings {
  private let array: UnsafeMutableBufferPointer<UnsafePointer<CChar>?>

  init(_ strings: [String]) {
    unsafe array = .allocate(capacity: strings.count + 1)
    unsafe array.initialize(repeating: nil)
    for (index, string) in strings.enumerated() { unsafe array[index] = .init(strdup(string)) }
  }

  var pointer: UnsafePointer<UnsafePointer<CChar>?>? { unsafe .init(array.baseAddress) }
  var first: UnsafePointer<CChar>? { unsafe array[0] }

  func free() {
    for index in unsafe array.indices { unsafe Glibc.free(.init(mutating: array[index])) }
    unsafe array.deallocate()
  }
}
