/// What loading a model file gave.
public struct ModelFileOutput: Sendable {
  /// The model's JSON, as the model library wrote it, without the envelope.
  public let payload: [UInt8]
  /// What the compiler had to say (warnings), verbatim; the same for a cached load.
  public let diagnostics: String
  /// What the model file itself printed while it ran; the same for a cached load.
  public let printed: String
  /// Whether no compiler and no model code ran.
  public let fromCache: Bool
  /// How long each step took, in order.
  public let timings: [StepTiming]

  init(model: CachedModel, fromCache: Bool, timings: [StepTiming]) {
    self.payload = model.payload
    self.diagnostics = model.diagnostics
    self.printed = model.printed
    self.fromCache = fromCache
    self.timings = timings
  }
}

/// A step of loading a model file.
public enum LoadStep: String, Sendable, CaseIterable {
  /// Reads the source; finds the compiler and the model library.
  case locate
  /// Computes the cache key and looks it up.
  case key
  /// Runs swiftc.
  case compile
  /// Runs the compiled model, confined.
  case run
  /// Writes the cache entry.
  case store
}

/// The wall time of one step.
public struct StepTiming: Sendable {
  /// The step.
  public let step: LoadStep
  /// Its wall time in seconds.
  public let seconds: Double
}

/// Collects the wall time of steps that follow one another.
struct StepTimings {
  private(set) var steps: [StepTiming] = []
  private var current: (step: LoadStep, start: ContinuousClock.Instant)?

  /// Ends the step before and begins the next.
  mutating func begin(_ step: LoadStep) {
    end()
    current = (step, ContinuousClock.now)
  }

  /// Ends the last step.
  mutating func end() {
    guard let (step, start) = current else { return }
    let elapsed = (ContinuousClock.now - start).components
    let seconds = Double(elapsed.seconds) + Double(elapsed.attoseconds) * 1e-18
    steps.append(StepTiming(step: step, seconds: seconds))
    current = nil
  }
}
