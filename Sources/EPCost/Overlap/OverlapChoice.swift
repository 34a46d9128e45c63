/// How exchanges and compute of a step may overlap: what `--overlap` takes, in all commands.
public enum OverlapChoice: Hashable, Sendable {
  /// Whatever takes the least time.
  case auto
  /// Not at all: operations in the order of the model.
  case none
  /// In so many micro-batches; with 1, beside what of the layer itself does not wait for them.
  case microBatches(Int)

  /// Reads `auto`, `none` or a number of micro-batches; nil for anything else.
  public init?(parsing text: String) {
    switch text {
    case "auto": self = .auto
    case "none": self = .none
    default:
      guard let count = Int(text) else { return nil }
      self = .microBatches(count)
    }
  }

  /// As the flag has it.
  public var text: String {
    switch self {
    case .auto: "auto"
    case .none: "none"
    case .microBatches(let count): "\(count)"
    }
  }

  /// Micro-batches; 1 where nothing overlaps, 0 where that is still open.
  public var microBatches: Int {
    switch self {
    case .auto: 0
    case .none: 1
    case .microBatches(let count): count
    }
  }

  /// For people.
  public var phrase: String {
    switch self {
    case .auto: "whatever is fastest"
    case .none: "no overlap"
    case .microBatches(1): "one batch, exchanges beside its own compute"
    case .microBatches(2): "two micro-batches"
    case .microBatches(3): "three micro-batches"
    case .microBatches(let count): "\(count) micro-batches"
    }
  }

  /// The numbers of micro-batches that `auto` tries.
  public static let mostMicroBatches = 3

  /// The share by which more micro-batches must be faster than fewer: durations are not known
  /// better.
  public static let worthwhile = 1.005
}
