internal import CEPKernels
internal import EPBackend
internal import EPCheckpoint
internal import EPModel
internal import EPPlan

/// A weight, or an expert's part of it, on its way from where weights come from to where kernels read
/// it: what bytes it is made of, and the making in pieces that threads share.
struct WeightPart: Sendable {
  /// What it is made of.
  enum Origin: Sendable {
    /// Rows of a tensor that follow each other at equal distances.
    case rows(RowRun)
    /// Any elements of a matrix of a tensor.
    case matrix(StoredWeight, expert: Int)
    /// Whole numbers: for each token its experts.
    case table(Checkpoint, tensor: String, experts: Int)
    /// Random numbers by name and place.
    case synthetic(seed: UInt64, expert: Int?)
    /// Numbers of the plan.
    case constants([Double])
  }

  /// Some of it that one thread makes.
  struct Piece: Sendable {
    /// Rows of `RowRun`; all of anything else.
    var rows: Range<Int>
  }

  let origin: Origin
  let slice: EPPlan.WeightSlice
  let box: WeightBox
  let uses: WeightUse
  let form: WeightStore.Form?
  /// What messages call it, and the tensor that holds it.
  let name: String
  let tensor: String
  let pieces: [Piece]

  /// Bytes that a piece takes in memory, about: those of a large page, so that no two threads touch one first.
  static let pieceBytes = 2 << 20

  init(
    _ origin: Origin, of slice: EPPlan.WeightSlice, _ box: WeightBox, uses: WeightUse,
    as form: WeightStore.Form?, expert: Int? = nil, tensor: String = ""
  ) {
    self.origin = origin
    self.slice = slice
    self.box = box
    self.uses = uses
    self.form = form
    func filled(_ name: String) -> String {
      expert.map { name.replacing("{expert}", with: String($0)) } ?? name
    }
    name = filled(slice.name)
    self.tensor = filled(tensor)
    guard case .rows(let run) = origin else {
      pieces = [Piece(rows: 0..<1)]
      return
    }
    // Pieces end where a matrix does, and in it where the device can cut.
    let matrix = form?.form.rows ?? run.rows
    let step = form?.form.rowsTogether ?? 1
    let rowBytes = form.map { max($0.form.bytes / max($0.form.rows, 1), 1) } ?? 4 * run.columns
    let rows = max(Self.pieceBytes / rowBytes / step, 1) * step
    pieces = stride(from: 0, to: run.rows, by: max(matrix, 1)).flatMap { first in
      stride(from: first, to: first + matrix, by: rows).map {
        Piece(rows: $0..<min($0 + rows, first + matrix))
      }
    }
  }

  /// The bytes that some pieces are made of.
  func ranges(_ pieces: Range<Int>) throws(WeightError) -> [FileRange] {
    switch origin {
    case .rows(let run):
      let chosen = self.pieces[pieces]
      guard let first = chosen.first, let last = chosen.last else { return [] }
      return run.ranges(of: first.rows.lowerBound..<last.rows.upperBound)
    case .matrix(let weight, let expert):
      do { return try weight.ranges(of: box.bounds(of: weight.shape, expert: expert)) } catch {
        throw .checkpoint(error)
      }
    case .table, .synthetic, .constants: return []
    }
  }

  /// Memory that a thread takes to make a piece, beside what it reads and makes.
  var scratchBytes: Int {
    guard let form else { return 0 }
    switch origin {
    case .rows(let run):
      return run.isEncoded ? 0 : 4 * run.columns * (pieces.map(\.rows.count).max() ?? 0)
    case .matrix, .synthetic, .constants, .table: return 4 * form.form.elements * matrices
    }
  }

  /// Matrices of the device's form.
  private var matrices: Int { form.map { box.count / max($0.form.elements, 1) } ?? 0 }

  // MARK: Making

  /// Makes a piece.
  ///
  /// - Parameters:
  ///   - staged: where the bytes of `ranges` were read to, if they were.
  ///   - place: that of the whole part.
  func make(
    _ piece: Int, from staged: StagedBytes?, into place: Memory
  ) throws(WeightError) {
    guard case .rows(let run) = origin else {
      try makeWhole(from: staged, into: place)
      return
    }
    let rows = pieces[piece].rows
    guard let form else {
      let part = place.elements(
        from: rows.lowerBound * run.columns, count: rows.count * run.columns)
      try read(run, rows, from: staged, into: part)
      try checkFinite(part)
      return
    }
    let (matrix, first) = rows.lowerBound.quotientAndRemainder(dividingBy: max(form.form.rows, 1))
    let result = place.part(from: matrix * form.form.bytes, bytes: form.form.bytes)
    let rowsOfMatrix = first..<(first + rows.count)
    let isFinite: Bool
    if run.isEncoded {
      do throws(CheckpointError) {
        isFinite = try run.withEncoded(rows, from: staged) {
          form.prepare(EncodedRows($0), rowsOfMatrix, result)
        }
      } catch { throw .checkpoint(error) }
    } else {
      let reals = Storage(bytes: 4 * rows.count * run.columns)
      try read(run, rows, from: staged, into: reals.memory)
      isFinite = form.prepare(reals: reals.memory, rows: rowsOfMatrix, into: result)
    }
    if !isFinite { throw .notFinite(weight: name, tensor: tensor) }
  }

  /// Makes what is not cut into pieces.
  private func makeWhole(from staged: StagedBytes?, into place: Memory) throws(WeightError) {
    guard let form else {
      try makeReals(from: staged, into: place)
      try checkFinite(place)
      return
    }
    let reals = Storage(bytes: 4 * box.count)
    try makeReals(from: staged, into: reals.memory)
    for matrix in 0..<matrices {
      let isFinite = form.prepare(
        reals: reals.memory.elements(
          from: matrix * form.form.elements, count: form.form.elements),
        rows: 0..<form.form.rows,
        into: place.part(from: matrix * form.form.bytes, bytes: form.form.bytes))
      if !isFinite { throw .notFinite(weight: name, tensor: tensor) }
    }
  }

  private func makeReals(from staged: StagedBytes?, into memory: Memory) throws(WeightError) {
    switch origin {
    case .rows(let run): try read(run, 0..<run.rows, from: staged, into: memory)
    case .matrix(let weight, let expert):
      let source = staged.map { weight.reading(from: $0) } ?? weight
      try source.read(box, expert: expert, into: memory)
    case .table(let checkpoint, let tensor, let experts):
      try checkpoint.readTable(tensor, experts: experts, into: memory)
    case .synthetic(let seed, let expert):
      slice.synthesize(
        box, experts: expert.map { [$0] }, uses: uses, seed: seed, into: memory)
    case .constants(let numbers):
      var next = 0
      for run in box.runs {
        for index in run where numbers.indices.contains(index) {
          unsafe memory.reals[next] = Float(numbers[index])
          next += 1
        }
      }
    }
  }

  private func read(
    _ run: RowRun, _ rows: Range<Int>, from staged: StagedBytes?, into memory: Memory
  ) throws(WeightError) {
    do { try unsafe run.read(rows, from: staged, into: memory.reals) } catch {
      throw .checkpoint(error)
    }
  }

  private func checkFinite(_ reals: Memory) throws(WeightError) {
    let count = reals.bytes / 4
    if unsafe epc_ref_first_non_finite(reals.reals, count) < count {
      throw .notFinite(weight: name, tensor: tensor)
    }
  }
}

extension EncodedRows {
  /// Rows as the checkpoint's reader has them.
  fileprivate init(_ rows: RowRun.Encoded) {
    let encoding: Encoding
    switch rows.encoding {
    case .fp32: encoding = .fp32
    case .fp16: encoding = .fp16
    case .bf16: encoding = .bf16
    case .fp8: encoding = .fp8
    }
    unsafe self.init(
      encoding, at: rows.base, stride: rows.stride,
      scales: rows.scales.map {
        Scales(
          values: $0.values, stride: $0.stride, blockRows: $0.block.rows,
          blockColumns: $0.block.columns, firstRow: $0.firstRow, firstColumn: $0.firstColumn)
      })
  }
}

extension WeightStore.Form {
  /// Makes rows of a matrix ready that are reals without gaps.
  func prepare(reals: Memory, rows: Range<Int>, into result: Memory) -> Bool {
    prepare(
      unsafe EncodedRows(.fp32, at: UnsafeRawPointer(reals.base), stride: 4 * form.columns), rows,
      result)
  }
}
