import EPHuggingFace
import EPJSON
import EPModel
import EPTestSupport
import Foundation
import Testing

/// Damaged configs are imported or refused, and never trap or take long.
///
/// `EPC_FUZZ_ITERATIONS` sets how many there are, `EPC_FUZZ_SEED` which.
@Suite struct ConfigFuzzTests {
  @Test func damagedConfigsAreImportedOrRefused() throws {
    let folder = try #require(Bundle.module.url(forResource: "Fixtures", withExtension: nil))
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path())
      .filter { $0.hasSuffix(".json") }.sorted()
    let documents = try names.map { try fixture(String($0.dropLast(5))) }
    let places = documents.map { document in
      var places: [[JSONStep]] = []
      document.visit { steps, _ in places.append(steps) }
      return places
    }
    var random = SeededGenerator(seed: UInt64(testCount("EPC_FUZZ_SEED", default: 1)))
    let clock = ContinuousClock()
    var imported = 0
    for _ in 0..<testCount("EPC_FUZZ_ITERATIONS", default: 400) {
      let index = random.below(documents.count)
      var document = documents[index]
      var bytes: [UInt8]
      if random.once(in: 4) {
        bytes = random.damaged(try document.serialized())
      } else {
        for _ in 0...random.below(2) {
          document = document.mutated(at: random.pick(places[index]), &random) ?? document
        }
        guard let text = try? document.serialized() else { continue }
        bytes = text
      }
      let start = clock.now
      if let value = try? HuggingFaceImport.parse(bytes: bytes),
        let model = try? HuggingFaceImport.model(fromConfig: JSONNode(value))
      {
        let traced = model.traced()
        if traced.diagnostics.isEmpty && traced.program.parameterCount.total > 0 { imported += 1 }
      }
      let took = clock.now - start
      if took > .seconds(4) {
        Issue.record("\(took): \(String(decoding: bytes, as: UTF8.self))")
      }
    }
    #expect(imported > 0)
  }
}
