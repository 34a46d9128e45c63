import Testing

@testable import EPCheckpoint

private func message(_ bytes: [UInt8]) throws -> String {
  let folder = try TemporaryFolder()
  let file = try folder.write("h.safetensors", bytes)
  do throws(CheckpointError) {
    _ = try Checkpoint.open(file)
    return ""
  } catch {
    return error.description.replacing(folder.path + "/", with: "")
  }
}

private func message(header: String, data: Int = 8) throws -> String {
  try message(safetensors(header: header, data: [UInt8](repeating: 0, count: data)))
}

private func tensor(
  _ name: String = "w", _ type: String = "F32", shape: String = "[2]", offsets: String = "[0,8]"
) -> String {
  #""\#(name)":{"dtype":"\#(type)","shape":\#(shape),"data_offsets":\#(offsets)}"#
}

@Suite struct HeaderTests {
  @Test func aSoundHeaderIsAccepted() throws {
    #expect(try message(header: "{\(tensor())}") == "")
    #expect(try message(header: #"{"__metadata__":{"format":"pt"},\#(tensor())}   "#) == "")
    #expect(try message(header: "{}", data: 0) == "")
    let empty = tensor("e", shape: "[0,4]", offsets: "[8,8]")
    #expect(try message(header: "{\(tensor()),\(empty)}") == "")
    #expect(try message(header: "{\(tensor("s", shape: "[]", offsets: "[0,4]"))}", data: 4) == "")
    let packed = tensor("f", "F4", shape: "[16]")
    #expect(try message(header: "{\(packed)}") == "")
  }

  @Test func truncatedFilesAreRefused() throws {
    #expect(
      try message([]) == "'h.safetensors' has 0 bytes, too few for a safetensors header")
    #expect(
      try message([1, 0, 0]) == "'h.safetensors' has 3 bytes, too few for a safetensors header")
    #expect(
      try message(littleEndian(UInt64(9)) + Array("{}".utf8))
        == "'h.safetensors' announces a header of 9 bytes, but 2 is the most it can have")
    #expect(
      try message(littleEndian(UInt64.max) + Array("{}".utf8)).contains("18446744073709551615"))
    let whole = safetensors(header: "{\(tensor())}", data: [UInt8](repeating: 0, count: 8))
    for length in 0..<whole.count {
      #expect(try message(Array(whole[..<length])) != "", "\(length) bytes")
    }
  }

  @Test func offsetsMustLieInTheData() throws {
    #expect(
      try message(header: "{\(tensor(offsets: "[0,8]"))}", data: 4)
        == "tensor 'w' in 'h.safetensors' has the data offsets [0, 8], "
        + "which do not lie in the 4 bytes of data")
    #expect(try message(header: "{\(tensor(offsets: "[8,0]"))}").contains("do not lie"))
    #expect(
      try message(header: "{\(tensor(offsets: "[9223372036854775800,9223372036854775807]"))}")
        .contains("do not lie"))
    #expect(try message(header: "{\(tensor(offsets: "[-8,0]"))}").contains("found -8"))
    #expect(try message(header: "{\(tensor(offsets: "[0]"))}").contains("two offsets, found 1"))
    #expect(try message(header: "{\(tensor(offsets: "[0,8,9]"))}") != "")
    #expect(try message(header: "{\(tensor(offsets: "[0.0,8]"))}") != "")
    #expect(try message(header: "{\(tensor(offsets: "[0,99999999999999999999]"))}") != "")
  }

  @Test func overlapsAndHolesAreRefused() throws {
    let first = tensor("a", offsets: "[0,8]")
    #expect(
      try message(header: "{\(first),\(tensor("b", offsets: "[4,12]"))}", data: 12)
        == "tensor 'b' in 'h.safetensors' overlaps tensor 'a'")
    #expect(
      try message(header: "{\(first),\(tensor("b", offsets: "[0,8]"))}")
        == "tensor 'b' in 'h.safetensors' overlaps tensor 'a'")
    #expect(
      try message(header: "{\(first),\(tensor("b", offsets: "[12,20]"))}", data: 20)
        == "bytes 8 to 12 of the data in 'h.safetensors' belong to no tensor")
    #expect(
      try message(header: "{\(first)}", data: 9)
        == "bytes 8 to 9 of the data in 'h.safetensors' belong to no tensor")
  }

  @Test func duplicateNamesAreRefused() throws {
    let both = "{\(tensor(offsets: "[0,8]")),\(tensor(offsets: "[8,16]"))}"
    #expect(try message(header: both, data: 16).contains("malformed"))
    let escaped = #"{\#(tensor("w")),\#(tensor("\\u0077", offsets: "[8,16]"))}"#
    #expect(try message(header: escaped, data: 16).contains("malformed"))
  }

  @Test func typesAndShapesAreChecked() throws {
    #expect(
      try message(header: "{\(tensor("w", "F33"))}")
        == "tensor 'w' in 'h.safetensors' has the unknown type 'F33'")
    #expect(
      try message(header: "{\(tensor("w", "F16"))}")
        == "tensor 'w' in 'h.safetensors' needs 4 bytes for its type and shape, "
        + "but its offsets hold 8")
    #expect(try message(header: "{\(tensor(shape: "[-2]"))}").contains("$.w.shape[0]"))
    #expect(
      try message(header: "{\(tensor(shape: "[4294967296,4294967296]"))}")
        == "tensor 'w' in 'h.safetensors' has the shape [4294967296, 4294967296], "
        + "which is too large")
    #expect(try message(header: "{\(tensor(shape: "[9223372036854775807]"))}").contains("large"))
    #expect(try message(header: "{\(tensor(shape: "2"))}") != "")
    #expect(try message(header: "{\(tensor("w", "F4", shape: "[3]"))}").contains("whole bytes"))
    #expect(try message(header: #"{"w":{"dtype":"F32","shape":[2]}}"#).contains("required"))
  }

  @Test func whatIsNotAHeaderIsRefused() throws {
    for text in ["", "[]", "null", "{", "{}{}", #"{"w":[]}"#, #"{"__metadata__":{"a":1}}"#] {
      #expect(try message(header: text, data: 0) != "", "\(text)")
    }
    let deep = String(repeating: "[", count: 100_000)
    #expect(try message(header: #"{"w":\#(deep)"#) != "")
  }
}
