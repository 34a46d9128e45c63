public import EPModel

/// A model made of a config, and what the importer has to say about it.
public struct ImportResult {
  /// The model; trace it to find mistakes that only its shapes show.
  public var model: Model
  /// What was left out or assumed, one phrase each; empty as a rule.
  public var notes: [String]

  /// Makes a result.
  public init(model: Model, notes: [String] = []) {
    self.model = model
    self.notes = notes
  }
}
