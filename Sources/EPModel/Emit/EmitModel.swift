#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

/// Writes a traced model to a file descriptor, in the envelope that `epc` reads.
///
/// The program that `epc` makes of a model file calls this; a model file does not.
public func emitModel(_ model: Model, descriptor: Int32) {
  let traced = model.traced()
  let diagnostics = traced.diagnostics.map { diagnostic in
    Document.object([
      "id": .text(diagnostic.id), "message": .text(diagnostic.message),
      "at": diagnostic.location.map { .text($0.description) },
    ])
  }
  let document = Document.object([
    "diagnostics": .list(diagnostics),
    "model": traced.diagnostics.isEmpty ? traced.program.document : nil,
  ])
  var rest = Array(("epc-model 1\n" + document.json).utf8)[...]
  while !rest.isEmpty {
    let written = unsafe rest.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
    if written < 0 && errno == EINTR { continue }
    if written <= 0 { exit(74) }
    rest = rest.dropFirst(written)
  }
}
