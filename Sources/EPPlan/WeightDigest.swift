public import EPModel

/// A digest of a model's weights, which ties a plan to its model: FNV-1a over one line a weight,
/// sorted, of name, axes, role, storage and layers.
public enum WeightDigest {
  /// The digest of weights, each with its whole axes and the layers that read it.
  public static func digest(_ weights: [(WeightDeclaration, layers: [Int])]) -> String {
    var layersOf: [String: Set<Int>] = [:]
    for (weight, layers) in weights {
      let storage = weight.stored.map { $0.document.json }.joined(separator: ",")
      let constants = weight.constants.map { "\($0)" }.joined(separator: ",")
      let line =
        "\(weight.name)|\(TensorType(weight.axes))|\(weight.role.rawValue)|\(storage)|\(constants)"
      layersOf[line, default: []].formUnion(layers)
    }
    var fingerprint = Fingerprint()
    for (line, layers) in layersOf.sorted(by: { $0.key < $1.key }) {
      fingerprint.add(line + "|" + ModelProgram.Call.text(of: layers.sorted()))
    }
    return fingerprint.text
  }

  /// The digest of a program's weights.
  public static func digest(of program: ModelProgram) -> String {
    digest(
      (program.calls + program.drafts).flatMap { call in
        program.functions[call.function].weights.map { ($0, layers: call.layers) }
      })
  }
}

/// FNV-1a over texts, each ended by a line break.
struct Fingerprint {
  private var hash: UInt64 = 0xcbf2_9ce4_8422_2325

  mutating func add(_ text: String) {
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    hash = (hash ^ 10) &* 0x100_0000_01b3
  }

  /// 16 digits.
  var text: String {
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
