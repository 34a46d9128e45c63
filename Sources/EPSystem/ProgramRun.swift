package import CEPSystem
internal import Glibc

/// A run of another program within bounds.
package struct ProgramRun {
  /// What a confined program may open.
  package struct Confinement {
    /// Files and folders it may read.
    package var readable: [String]
    /// Files it may run.
    package var executable: [String]
    /// Whether it runs where the kernel has no landlock.
    package var acceptsMissingLandlock: Bool

    /// Makes a confinement.
    package init(readable: [String], executable: [String], acceptsMissingLandlock: Bool) {
      self.readable = readable
      self.executable = executable
      self.acceptsMissingLandlock = acceptsMissingLandlock
    }
  }

  /// The absolute path of the program.
  package var program: String
  /// All arguments, the name of the program first.
  package var arguments: [String]
  /// All of the environment, as `NAME=VALUE`.
  package var environment: [String]
  /// The working folder, or nil for the caller's.
  package var directory: String?
  /// 1, or 3 when standard output is to join standard error.
  package var outputDescriptor: Int32
  /// The most bytes of output.
  package var outputLimit: Int
  /// How many of the last bytes of standard error are kept.
  package var errorLimit: Int
  /// The most time on the wall.
  package var wallMilliseconds: Int
  /// The most processor time.
  package var cpuSeconds: UInt64
  /// The most address space.
  package var memoryBytes: UInt64
  /// The most stack.
  package var stackBytes: UInt64
  /// The largest file it may write.
  package var fileSizeBytes: UInt64
  /// The most open files.
  package var openFiles: UInt64
  /// What it may open, or nil for the caller's rights.
  package var confinement: Confinement?

  /// Describes a run; `cpuSeconds` nil sets no limit.
  package init(
    program: String, arguments: [String], environment: [String], directory: String? = nil,
    outputDescriptor: Int32, outputLimit: Int, errorLimit: Int = 1 << 20, wallMilliseconds: Int,
    cpuSeconds: Int?, memoryBytes: UInt64 = .max, stackBytes: UInt64 = .max,
    fileSizeBytes: UInt64 = .max, openFiles: UInt64 = .max, confinement: Confinement? = nil
  ) {
    self.program = program
    self.arguments = arguments
    self.environment = environment
    self.directory = directory
    self.outputDescriptor = outputDescriptor
    self.outputLimit = outputLimit
    self.errorLimit = errorLimit
    self.wallMilliseconds = wallMilliseconds
    self.cpuSeconds = cpuSeconds.map { UInt64(clamping: $0) } ?? .max
    self.memoryBytes = memoryBytes
    self.stackBytes = stackBytes
    self.fileSizeBytes = fileSizeBytes
    self.openFiles = openFiles
    self.confinement = confinement
  }

  /// What became of a run.
  package struct Outcome {
    /// How far it came.
    package var stage: epc_stage
    /// The `errno` of a stage that failed.
    package var stageErrno: Int32
    /// Why it was ended, if it was.
    package var stop: epc_stop
    /// The exit status, or -1 when a signal ended it.
    package var exitStatus: Int32
    /// The signal that ended it, or 0.
    package var signal: Int32
    /// The forbidden system call, or -1.
    package var deniedCall: Int32
    /// What it wrote to the descriptor asked for.
    package var output: [UInt8]
    /// The end of what it wrote to standard error.
    package var error: String
    /// Processor time.
    package var cpuSeconds: Double

    /// What was printed, without the control characters that would make a terminal do things.
    package var printable: String {
      String(
        String.UnicodeScalarView(
          error.unicodeScalars.map { scalar in
            let isControl = scalar.properties.generalCategory == .control
            return isControl && scalar != "\n" && scalar != "\t" ? "\u{FFFD}" : scalar
          }))
    }

    /// Whether the program ran to its end and reported success.
    package var succeeded: Bool {
      stage == EPC_STAGE_RAN && stop == EPC_STOP_NONE && signal == 0 && exitStatus == 0
    }
  }

  /// Runs the program to its end.
  package func run(interrupts: InterruptWatch?) -> Outcome {
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
    unsafe options.cpu_seconds = cpuSeconds
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
