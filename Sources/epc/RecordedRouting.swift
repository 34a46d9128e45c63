import EPBackendSimGPU
import EPCheckpoint
import EPIR
import EPModel
import EPPlan

extension RoutingSource.Kind {
  /// Reads what tokens chose in a run that was recorded with `--dump routing --output FILE`: tensors
  /// `p{i}.layer{l}.topk_idx` and `p{i}.decode.layer{l}.topk_idx` of `[tokens, topK]`, -1 for none, in the
  /// order of prompts.
  ///
  /// - Throws: a diagnostic where a layer is not the plan's, or its choices are not.
  static func recorded(file: String, for plan: Plan) throws(Diagnostics) -> RoutingSource.Kind {
    let checkpoint: Checkpoint
    do { checkpoint = try Checkpoint.open(file) } catch {
      throw Diagnostics(
        "routing", "\(error); '--routing' takes 'drawn', 'mean' or a file of recorded routing")
    }
    var shapes: [Int: (topK: Int, experts: Int)] = [:]
    for pool in plan.pools {
      for placement in pool.placements {
        let function = pool.functions[placement.function].function
        guard let dispatch = function.operations.first(where: { $0.kind == .dispatch }),
          case .value(let indices)? = dispatch.operand("indices")
        else { continue }
        for layer in placement.layers {
          shapes[layer] = (function.values[indices].elementsPerRow, placement.experts)
        }
      }
    }
    var parts: [(prompt: Int, isDecode: Bool, layer: Int, name: String)] = []
    for name in checkpoint.tensors.keys where name.hasSuffix(".topk_idx") {
      let words = name.split(separator: ".")
      guard let prompt = words.first.flatMap({ Int($0.dropFirst()) }), words.count >= 3,
        let layer = Int(words[words.count - 2].dropFirst("layer".count))
      else { continue }
      parts.append((prompt, words.contains("decode"), layer, name))
    }
    parts.sort {
      ($0.prompt, $0.isDecode ? 1 : 0, $0.layer) < ($1.prompt, $1.isDecode ? 1 : 0, $1.layer)
    }
    var choices: [Int: [Int32]] = [:]
    for part in parts {
      guard let shape = shapes[part.layer], let tensor = checkpoint.tensors[part.name] else {
        throw Diagnostics(
          "routing", "\(part.name), and the plan routes nothing in layer \(part.layer)", at: file)
      }
      guard tensor.shape.count == 2, tensor.shape[1] == shape.topK else {
        throw Diagnostics(
          "routing",
          "\(part.name) has shape \(tensor.shape); a token of the plan chooses \(shape.topK)",
          at: file)
      }
      let values: [Int64]
      do { values = try checkpoint.integers(part.name) } catch {
        throw Diagnostics("routing", error.description, at: file)
      }
      if let wrong = values.first(where: { $0 < -1 || $0 >= shape.experts }) {
        throw Diagnostics(
          "routing", "\(part.name) has expert \(wrong); there are \(shape.experts)", at: file)
      }
      choices[part.layer, default: []] += values.map { Int32(truncatingIfNeeded: $0) }
    }
    if choices.isEmpty {
      throw Diagnostics(
        "routing",
        "no tensors p0.layer0.topk_idx; 'epc exec --dump routing --output FILE' records them",
        at: file)
    }
    return .recorded(choices)
  }
}
