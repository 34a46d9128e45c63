internal import EPJSON

/// Loads over time: one window after the other, all of the same layers and experts.
public struct LoadTrace: Hashable, Sendable {
  /// The windows, in order.
  public let windows: [ExpertLoads]

  /// Makes a trace.
  public init(windows: [ExpertLoads]) throws(PlacementError) {
    guard let first = windows.first else { throw .shape("a trace needs a window") }
    for (index, window) in windows.enumerated() {
      guard window.layers == first.layers && window.experts == first.experts else {
        throw .shape("window \(index) has other layers or experts than the first")
      }
    }
    self.windows = windows
  }

  /// Reads a file for each window: see `ExpertLoads.init(file:)`.
  public init(files: [String], firstLayer: Int = 0) throws(PlacementError) {
    var windows: [ExpertLoads] = []
    for file in files { windows.append(try ExpertLoads(file: file, firstLayer: firstLayer)) }
    try self.init(windows: windows)
  }

  /// Reads a JSON file: see `init(json:)`.
  public init(file path: String) throws(PlacementError) {
    let bytes: [UInt8]
    do { bytes = try JSONFile.read(path) } catch { throw .file(error.description) }
    try self.init(json: bytes, source: path)
  }

  /// Reads a JSON text `{"windows": [[[tokens, ...], ...], ...]}`.
  public init(json bytes: [UInt8], source: String) throws(PlacementError) {
    var windows: [ExpertLoads] = []
    do {
      let root = JSONNode(try JSONValue.parse(bytes: bytes))
      for window in try root["windows"].array() {
        windows.append(try ExpertLoads(rows: try ExpertLoads.rows(of: window)))
      }
    } catch let error as JSONError {
      throw .document(source: source, reason: error.description)
    } catch let error as PlacementError {
      throw error
    } catch {
      throw .document(source: source, reason: "\(error)")
    }
    try self.init(windows: windows)
  }

  /// Counts what a router chose: for each window and layer, the chosen experts of all its tokens.
  public init(routing: [[[Int]]], experts: Int) throws(PlacementError) {
    guard experts > 0 else { throw .shape("there must be experts") }
    var windows: [ExpertLoads] = []
    for (index, window) in routing.enumerated() {
      var rows: [[Double]] = []
      for (layer, choices) in window.enumerated() {
        var row = Array(repeating: 0.0, count: experts)
        for expert in choices {
          guard expert >= 0 && expert < experts else {
            throw .shape("window \(index), layer \(layer): there is no expert \(expert)")
          }
          row[expert] += 1
        }
        rows.append(row)
      }
      windows.append(try ExpertLoads(rows: rows))
    }
    try self.init(windows: windows)
  }

  /// All windows together.
  public func total() throws(PlacementError) -> ExpertLoads {
    var rows = windows[0].rows
    for window in windows.dropFirst() {
      for layer in rows.indices {
        for expert in rows[layer].indices { rows[layer][expert] += window.rows[layer][expert] }
      }
    }
    return try ExpertLoads(rows: rows, layers: windows[0].layers)
  }
}
