import EPCheckpoint
import EPIR
import EPJSON
import EPPlan
import EPRuntime
import EPTokenizer
import Glibc

// What a run is given, as flags and files.
extension ExecCommand {
  func keptData() throws(Diagnostics) -> GenerationRequest.Kept {
    var kept: GenerationRequest.Kept = output == nil ? [] : .logits
    for name in dump.flatMap({ $0.split(separator: ",").map(String.init) }) {
      switch name {
      case "routing": kept.insert(.routing)
      case "hidden": kept.insert(.hidden)
      case "drafts": kept.insert(.drafts)
      default: throw PlanFlags.unknown("--dump", name, ["routing", "hidden", "drafts"])
      }
    }
    if !dump.isEmpty && output == nil {
      throw Diagnostics("flag", "'--dump' adds to what '--output FILE' writes; give both")
    }
    return kept
  }

  func sampling() throws(Diagnostics) -> Sampling {
    guard temperature >= 0, temperature.isFinite else {
      throw Diagnostics("flag", "'--temperature \(temperature)'; it is not negative")
    }
    if let topK, topK < 1 { throw Diagnostics("flag", "'--top-k \(topK)'; it is at least 1") }
    if let topP, !(topP > 0 && topP <= 1) {
      throw Diagnostics("flag", "'--top-p \(topP)'; it is above 0 and at most 1")
    }
    return Sampling(temperature: temperature, topK: topK, topP: topP, seed: seed)
  }

  func tokenizer() throws(Diagnostics) -> Tokenizer? {
    guard let weights, !weights.hasPrefix("synthetic:") else { return nil }
    let file = weights + "/tokenizer.json"
    if unsafe access(file, R_OK) != 0 {
      if prompt == nil { return nil }
      throw Diagnostics(
        "tokenizer", "'--prompt' needs \(file), which is not there; give '--tokens' instead")
    }
    do { return try Tokenizer(file: file) } catch {
      // Tokens go in and come out as numbers without it.
      if prompt == nil { return nil }
      throw Diagnostics("tokenizer", error.description)
    }
  }

  func prompts(_ tokenizer: Tokenizer?) throws(Diagnostics) -> [[Int32]] {
    let given = [tokens, tokensFile, prompt].compactMap { $0 }
    if given.count != 1 {
      throw Diagnostics("flag", "give one of '--tokens', '--tokens-file' and '--prompt'")
    }
    if let prompt {
      guard let tokenizer else {
        throw Diagnostics("tokenizer", "'--prompt' needs a checkpoint folder with tokenizer.json")
      }
      return [tokenizer.encode(prompt).map { Int32(truncatingIfNeeded: $0) }]
    }
    if let tokens {
      var ids: [Int32] = []
      for part in tokens.split(separator: ",", omittingEmptySubsequences: false) {
        guard let id = Int32(part.filter { $0 != " " }), id >= 0 else {
          throw Diagnostics("flag", "'\(part)' in '--tokens' is no token; write 1,2,3")
        }
        ids.append(id)
      }
      return [ids]
    }
    guard let tokensFile else { return [] }
    do {
      let bytes = try JSONFile.read(tokensFile)
      var prompts: [[Int32]] = []
      for list in try JSONNode(try JSONValue.parse(bytes: bytes)).array(maxCount: 1 << 20) {
        prompts.append(try list.ints(in: 0...Int(Int32.max)).map { Int32($0) })
      }
      if prompts.isEmpty { throw Diagnostics("tokens-file", "no prompts", at: tokensFile) }
      return prompts
    } catch let error as JSONError {
      throw Diagnostics("tokens-file", error.description, at: error.file == nil ? tokensFile : "")
    } catch let error as Diagnostics { throw error } catch {
      throw Diagnostics("tokens-file", "\(error)", at: tokensFile)
    }
  }

  func source(for plan: Plan) throws(Diagnostics) -> WeightSource {
    guard let weights else {
      throw Diagnostics(
        "flag",
        "a plan runs with weights; give '--weights FOLDER' or '--weights synthetic:1', or "
          + "'--backend simgpu' to simulate its devices without any")
    }
    do { return try WeightSource(parsing: weights) } catch {
      throw Diagnostics("weights", error.description)
    }
  }
}
