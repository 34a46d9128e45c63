import EPPlugin
import Foundation
import Testing

/// The header, and backends of older versions of it.
@Suite struct InterfaceTests {
  @Test(arguments: [
    ["clang", "-std=c11"], ["clang++", "-std=c++17"], ["gcc", "-std=c11"], ["g++", "-std=c++17"],
  ])
  func theHeaderCompilesWithoutAWarning(compiler: [String]) throws {
    let source = "\(Libraries.folder)/header-\(compiler[0]).c"
    // Twice, as headers are; and with something of it used.
    try """
    #include <epc_backend.h>
    #include <epc_backend.h>
    int main(void) { epc_run run; run.struct_size = sizeof run; return EPC_HAS(&run, spans) ? 0 : 1; }
    """.write(toFile: source, atomically: true, encoding: .utf8)
    if try Libraries.run(["sh", "-c", "command -v \(compiler[0]) > /dev/null"]) != 0 { return }
    let language = compiler[1].contains("++") ? "c++" : "c"
    #expect(
      try Libraries.run(
        compiler + [
          "-Wall", "-Wextra", "-Werror", "-pedantic", "-ISources/CEPBackend/include", "-x",
          language, source, "Sources/CEPBackend/layout.c", "-o", source + ".out",
        ]) == 0)
    #expect(try Libraries.run([source + ".out"]) == 0)
  }

  /// Headers of older versions are frozen: what they say of structs is in the current one, in the same
  /// place.
  @Test(arguments: [("1.0", 10), ("1.1", 25)])
  func olderStructsBeginTheCurrentOnes(version: String, count: Int) throws {
    let path = "\(Libraries.package)/Tests/EPPluginTests/Fixtures/abi-\(version)/epc_backend.h"
    let old = try String(contentsOfFile: path, encoding: .utf8)
    let new = try String(
      contentsOfFile: "\(Libraries.package)/Sources/CEPBackend/include/epc_backend.h",
      encoding: .utf8)
    let structs = InterfaceTests.structs(of: old)
    #expect(structs.count == count)
    for (name, fields) in structs {
      let current = try #require(InterfaceTests.structs(of: new)[name])
      #expect(Array(current.prefix(fields.count)) == fields, "\(name)")
    }
  }

  /// The fields of each struct, comments left out.
  private static func structs(of header: String) -> [String: [String]] {
    var structs: [String: [String]] = [:]
    var fields: [String]?
    for line in header.split(separator: "\n").map({ $0.trimmingCharacters(in: .whitespaces) }) {
      if line.hasPrefix("typedef struct"), line.hasSuffix("{") {
        fields = []
      } else if line.hasPrefix("}"), let found = fields, line.hasSuffix(";") {
        structs[String(line.dropFirst(2).dropLast())] = found
        fields = nil
      } else if !line.hasPrefix("//") {
        fields?.append(line)
      }
    }
    return structs
  }
}
