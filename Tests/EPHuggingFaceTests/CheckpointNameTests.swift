import EPHuggingFace
import EPJSON
import EPModel
import Foundation
import Testing

/// Every weight of an imported model has a place in its checkpoint, and every tensor of the
/// checkpoint is used or passed over.
@Suite struct CheckpointNameTests {
  @Test(.enabled(if: references != nil), arguments: referenceConfigs)
  func namesAndSizesFit(config: String) throws {
    let folder = URL(fileURLWithPath: references ?? "").appending(path: config)
      .deletingLastPathComponent()
    let bytes = try [UInt8](Data(contentsOf: folder.appending(path: "config.json")))
    let program = try program(HuggingFaceImport.parse(bytes: bytes))
    var checkpoint = try CheckpointNames(folder)
    for call in program.calls + program.drafts {
      for weight in program.functions[call.function].weights where weight.role != .constant {
        for layer in weight.name.contains("{layer}") ? call.layers : [-1] {
          checkpoint.use(weight, layer: layer)
        }
      }
    }
    #expect(checkpoint.missing.isEmpty, "\(checkpoint.missing.prefix(4))")
    let rest = checkpoint.unused(ignoring: program.ignoredTensors)
    #expect(rest.isEmpty, "\(rest.prefix(4))")
  }
}

/// The tensors of a checkpoint, and which of them weights were found in.
struct CheckpointNames {
  private var shapes: [String: [Int]] = [:]
  private var used: Set<String> = []
  private(set) var missing: [String] = []

  /// Reads the headers of a folder's model files.
  init(_ folder: URL) throws {
    for name in files(
      below: folder.path,
      where: {
        $0.hasPrefix("model") && $0.hasSuffix(".safetensors")
      })
    {
      let handle = try FileHandle(forReadingFrom: folder.appending(path: name))
      let prefix = try #require(try handle.read(upToCount: 8))
      let count = prefix.reversed().reduce(0) { $0 << 8 | Int($1) }
      let header = try [UInt8](#require(try handle.read(upToCount: count)))
      let root = JSONNode(try JSONValue.parse(bytes: header))
      for (key, entry) in try root.entries where key != "__metadata__" {
        shapes[key] = try entry["shape"].ints()
      }
    }
  }

  /// Marks the tensors of the first place that holds a weight.
  mutating func use(_ weight: WeightDeclaration, layer: Int) {
    for place in weight.stored {
      let name = place.name.replacing("{layer}", with: "\(layer)")
      let experts = weight.axes.first?.split == .expert ? weight.axes[0].size ?? 1 : 1
      let names =
        name.contains("{expert}")
        ? (0..<experts).map { name.replacing("{expert}", with: "\($0)") } : [name]
      var found: [String] = []
      for name in names {
        guard let tensors = holders(name, of: weight, place, parts: names.count) else { break }
        found += tensors
      }
      if found.count >= names.count {
        used.formUnion(found)
        return
      }
    }
    missing.append("\(weight.name) of layer \(layer)")
  }

  /// The tensors that hold one part of a weight, if they are there and of its size.
  private func holders(
    _ name: String, of weight: WeightDeclaration, _ place: StoredTensor, parts: Int
  ) -> [String]? {
    var expected = weight.elementCount / parts
    switch place.rows {
    case .all: break
    case .range(_, let count, let total): expected = expected / count * total
    case .interleaved(_, let stride): expected *= stride
    }
    if let shape = shapes[name] {
      guard shape.reduce(1, *) == expected else { return nil }
      let axes = parts > 1 ? weight.axes.dropFirst() : weight.axes[...]
      if place.rows == .all, !place.transposed, !regroups(shape, axes.map { $0.size ?? 1 }) {
        return nil
      }
      return [name] + [name + "_scale_inv"].filter { shapes[$0] != nil }
    }
    // MXFP4 keeps two elements a byte, beside a scale for 32.
    guard let blocks = shapes[name + "_blocks"], let scales = shapes[name + "_scales"],
      blocks.reduce(1, *) * 2 == expected, scales.reduce(1, *) * 32 == expected
    else { return nil }
    return [name + "_blocks", name + "_scales"]
  }

  /// Whether a stored shape is made of the axes by joining neighbours.
  private func regroups(_ shape: [Int], _ axes: [Int]) -> Bool {
    func products(_ sizes: [Int]) -> Set<Int> {
      var product = 1
      return Set(
        sizes.map { size in
          product *= size
          return product
        })
    }
    return products(shape.filter { $0 != 1 }).isSubset(of: products(axes).union([1]))
  }

  /// Tensors that hold no weight and that no pattern passes over.
  func unused(ignoring patterns: [String]) -> [String] {
    shapes.keys.filter { name in
      !used.contains(name) && !patterns.contains { Self.matches(name[...], $0[...]) }
    }.sorted()
  }

  /// Whether a name is what a pattern says, in which `*` is any text.
  private static func matches(_ name: Substring, _ pattern: Substring) -> Bool {
    guard let first = pattern.first else { return name.isEmpty }
    if first == "*" {
      return matches(name, pattern.dropFirst())
        || (!name.isEmpty && matches(name.dropFirst(), pattern))
    }
    return name.first == first && matches(name.dropFirst(), pattern.dropFirst())
  }
}
