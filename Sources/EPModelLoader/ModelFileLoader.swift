import CEPSystem
import EPSystem

/// Turns a model file, one Swift file that declares `let model`, into the bytes of its model.
///
/// The steps are `locate`, `key`, then either a hit in the cache or `compile`, `run` and `store`.
/// A hit reads the source and the cache and starts no process. Only successes are cached.
public struct ModelFileLoader: Sendable {
  /// Makes a loader; it holds nothing.
  public init() {}

  /// Loads the model file at `path`, blocking the calling thread until its bytes are there.
  ///
  /// `path` is what diagnostics show, so it is passed on as the user wrote it. Nothing is left
  /// behind when this throws; SIGINT, SIGTERM and SIGHUP are held back until that is done.
  public func load(
    path: String, options: ModelFileOptions = ModelFileOptions()
  ) throws(ModelLoadError) -> ModelFileOutput {
    var timings = StepTimings()

    timings.begin(.locate)
    let source = try ModelSource(path: path, limit: options.limits.sourceBytes)
    let directory = CacheDirectory(options: options)
    let cache = options.usesCache ? directory : nil
    let toolchain = try Toolchain.locate(options: options, cache: cache)
    let library = try ModelLibrary.locate(options: options)

    timings.begin(.key)
    let key = LoadKey(
      source: source, toolchain: toolchain, library: library, entryPoint: options.entryPoint)
    if let cache, let hit = CachedModel(reading: key, from: cache) {
      timings.end()
      return ModelFileOutput(model: hit, fromCache: true, timings: timings.steps)
    }

    let interrupts = InterruptWatch()
    defer { interrupts.end() }
    let model = try make(
      source, toolchain: toolchain, library: library,
      moduleCache: directory?.subdirectory("clang-modules"), options: options,
      interrupts: interrupts, timings: &timings)
    // Without landlock the run could have read anything, and then the key does not cover it.
    if let cache, source.isUnchanged, epc_landlock_abi() > 0 {
      timings.begin(.store)
      model.write(as: key, to: cache)
    }
    timings.end()
    return ModelFileOutput(model: model, fromCache: false, timings: timings.steps)
  }

  /// Compiles and runs in a directory that is gone when this returns.
  private func make(
    _ source: ModelSource, toolchain: Toolchain, library: ModelLibrary, moduleCache: String?,
    options: ModelFileOptions, interrupts: InterruptWatch, timings: inout StepTimings
  ) throws(ModelLoadError) -> CachedModel {
    let scratch = try ScratchDirectory(environment: options.environment)
    defer { scratch.remove() }

    timings.begin(.compile)
    let compiled = try CompileModel(
      source: source, toolchain: toolchain, library: library, scratch: scratch,
      moduleCache: moduleCache, options: options
    ).run(interrupts: interrupts)

    timings.begin(.run)
    let ran = try RunModel(
      source: source, toolchain: toolchain, executable: compiled.executable, options: options
    ).run(interrupts: interrupts)

    return CachedModel(
      payload: ran.payload, diagnostics: compiled.diagnostics, printed: ran.printed)
  }
}
