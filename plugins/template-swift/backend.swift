// A backend in one file of Swift: copy it, rename it, and replace the loops by what your hardware does.
//
// It runs what DeepSeek- and Mixtral-like models need, one core, slow and plain, and says of
// everything else why it does not. epc does the rest: it walks the plan, moves rows between ranks,
// keeps caches and samples tokens. docs/ops.md defines each operation, epc_backend.h the interface.
import CEPBackend
import Glibc

// MARK: Errors

/// Why something could not be done. It becomes an `epc_error`; nothing is ever thrown across, and
/// nothing may trap: what a Swift backend traps on ends the host.
struct Failure: Error {
  var code: Int
  var message: String

  static func unsupported(_ message: String) -> Failure {
    Failure(code: EPC_ERROR_UNSUPPORTED, message: message)
  }

  /// The error as the host takes it, who releases it.
  var owned: UnsafeMutablePointer<epc_error> {
    let error = UnsafeMutablePointer<epc_error>.allocate(capacity: 1)
    error.initialize(
      to: epc_error(
        struct_size: MemoryLayout<epc_error>.size, extension: nil, code: Int64(code),
        message: strdup(message),
        release: { error in
          guard let error else { return }
          free(UnsafeMutableRawPointer(mutating: error.pointee.message))
          error.deallocate()
        }))
    return error
  }
}

/// What a throwing body returns across the interface.
func returning(
  _ body: () throws(Failure) -> Void
) -> UnsafeMutablePointer<epc_error>? {
  do throws(Failure) {
    try body()
    return nil
  } catch { return error.owned }
}

// MARK: Looking things up in an operation

/// An axis of a row.
struct Axis: Equatable {
  var name: String
  var size: Int
}

/// A tensor's type.
struct TensorType {
  var axes: [Axis]
  var hasRows: Bool
  /// Elements of a row.
  var width: Int

  init(_ type: UnsafePointer<epc_type>) {
    axes = (0..<type.pointee.axis_count).compactMap { index in
      type.pointee.axes[index].map {
        Axis(name: String(cString: $0.pointee.name), size: $0.pointee.size)
      }
    }
    hasRows = type.pointee.rows != EPC_ROWS_NONE
    width = type.pointee.row_elements
  }

  func position(_ name: String) -> Int? { axes.firstIndex { $0.name == name } }

  /// Elements of a row before, along and after an axis.
  func split(at name: String) throws(Failure) -> (outer: Int, size: Int, inner: Int) {
    guard let at = position(name) else { throw .unsupported("'\(name)' is no axis of its row") }
    return (axes[..<at].elements, axes[at].size, axes[(at + 1)...].elements)
  }

  /// Where in a row each element along other axes is, the last fastest; axes that this one does not
  /// have stand still.
  func offsets(along others: some Collection<Axis>) -> [Int] {
    others.reduce([0]) { offsets, axis in
      let stride = position(axis.name).map { axes[($0 + 1)...].elements } ?? 0
      return offsets.flatMap { base in (0..<axis.size).map { base + $0 * stride } }
    }
  }
}

extension Collection<Axis> {
  /// The product of the sizes.
  var elements: Int { reduce(1) { $0 * $1.size } }
}

/// An operation, read once.
struct Operation {
  var name: String
  /// nil where absent, and for caches.
  var operands: [TensorType?]
  var result: TensorType
  var slots: Int
  private var reals: [String: Double] = [:]
  private var texts: [String: [String]] = [:]

  init(_ op: epc_operation) {
    name = String(cString: op.name)
    operands = (0..<op.operand_count).map { op.operands[$0]?.pointee.type.map { TensorType($0) } }
    result = op.results[0].map { TensorType($0) } ?? TensorType.nothing
    slots = op.expert_slots
    for index in 0..<op.attribute_count {
      guard let attribute = op.attributes[index]?.pointee else { continue }
      let name = String(cString: attribute.name)
      switch Int(attribute.form) {
      case EPC_FORM_FLAG: reals[name] = Double(attribute.integer)
      case EPC_FORM_INTEGER, EPC_FORM_REAL: reals[name] = attribute.real
      case EPC_FORM_TEXT: texts[name] = [String(cString: attribute.text)]
      case EPC_FORM_TEXTS:
        texts[name] = (0..<attribute.count).compactMap { attribute.texts[$0].map(String.init) }
      default: texts[name] = []
      }
    }
  }

  func has(_ name: String) -> Bool { reals[name] != nil || texts[name] != nil }
  func real(_ name: String, _ fallback: Double = 0) -> Double { reals[name] ?? fallback }
  func int(_ name: String, _ fallback: Int = 0) -> Int { reals[name].map { Int($0) } ?? fallback }
  func text(_ name: String) -> String { texts[name]?.first ?? "" }
  func list(_ name: String) -> [String] { texts[name] ?? [] }

  func operand(_ index: Int) throws(Failure) -> TensorType {
    guard let type = operands[index] else { throw .unsupported("'\(name)' lacks an operand") }
    return type
  }
}

extension TensorType {
  static let nothing = TensorType(axes: [], hasRows: false, width: 0)

  private init(axes: [Axis], hasRows: Bool, width: Int) {
    (self.axes, self.hasRows, self.width) = (axes, hasRows, width)
  }
}

// MARK: One step

/// The places of a step.
struct Step {
  let run: epc_run

  var rows: Int { run.rows }
  func reals(_ operand: Int) -> UnsafePointer<Float>? {
    run.operands[operand]?.assumingMemoryBound(to: Float.self)
  }
  func indices(_ operand: Int) -> UnsafePointer<Int32>? {
    run.operands[operand]?.assumingMemoryBound(to: Int32.self)
  }
  /// An operand that must be there.
  func x(_ operand: Int = 0) -> UnsafePointer<Float> {
    UnsafePointer(run.operands[operand]!.assumingMemoryBound(to: Float.self))
  }
  var y: UnsafeMutablePointer<Float> { run.results[0]!.assumingMemoryBound(to: Float.self) }
  func result(_ index: Int) -> UnsafeMutableRawPointer { run.results[index]! }

  /// The sequences; each puts its new rows of some operands into its cache first.
  func spans(appending operands: [Int]) -> [Span] {
    (0..<run.span_count).compactMap { run.spans[$0].map { Span($0.pointee) } }.map { span in
      for (part, operand) in operands.enumerated() {
        let width = span.span.cache_widths[part]
        memcpy(
          span.part(part) + span.first * width, x(operand) + span.row * width,
          span.rows * width * 4)
      }
      return span
    }
  }
}

/// The new rows of one sequence.
struct Span {
  let span: epc_span
  init(_ span: epc_span) { self.span = span }

  /// Its first row in the step, how many there are, and the position of the first.
  var row: Int { span.first_row }
  var rows: Int { span.rows }
  var first: Int { span.first_position }
  func part(_ index: Int) -> UnsafeMutablePointer<Float> { span.cache_parts[index]! }
}

// MARK: Kernels

/// An operation made ready.
typealias Kernel = (Step) -> Void

func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }

func function(_ name: String) throws(Failure) -> (Double) -> Double {
  switch name {
  case "identity": return { $0 }
  case "silu": return { $0 * sigmoid($0) }
  case "gelu": return { $0 / 2 * (1 + erf($0 / 2.0.squareRoot())) }
  case "gelu_tanh":
    return { $0 / 2 * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) }
  case "relu": return { max($0, 0) }
  case "sigmoid": return sigmoid
  case "tanh": return { tanh($0) }
  case "exp": return { exp($0) }
  case "negate": return { -$0 }
  case "square": return { $0 * $0 }
  case "sqrt": return { $0.squareRoot() }
  default: throw .unsupported("the template has no function '\(name)'")
  }
}

func makeEmbed(_ op: Operation) throws(Failure) -> Kernel {
  let table = try op.operand(1)
  let (count, width) = (table.axes[0].size, table.axes[1...].elements)
  return { step in
    for r in 0..<step.rows {
      // Of a table split over ranks, rows of other ranks count as zeros.
      let row = Int(step.indices(0)![r]) - step.run.first_table_row
      for i in 0..<width {
        step.y[r * width + i] = row >= 0 && row < count ? step.x(1)[row * width + i] : 0
      }
    }
  }
}

/// `y[r, b, o] = bias[b, o] + sum over k of x[r, b, k] * weight[b, o, k]`, with the weight of the row's
/// slot where rows are those of experts.
func makeLinear(_ op: Operation) throws(Failure) -> Kernel {
  let x = try op.operand(0)
  let axes = try op.operand(1).axes.dropFirst(op.slots > 0 ? 1 : 0)
  let (batch, contracted) = (op.list("batch").count, op.list("contract").count)
  let order = Array(axes.prefix(batch) + axes.suffix(contracted))
  let at = x.offsets(along: order)
  let size = axes.suffix(contracted).elements
  let out = axes.dropFirst(batch).dropLast(contracted).elements
  let made = axes.prefix(batch).elements * out
  return { step in
    var slot = 0
    for r in 0..<step.rows {
      while slot < step.run.slot_count, r >= Int(step.run.slot_ends[slot]) { slot += 1 }
      let row = step.x() + r * x.width
      let weight = step.x(1) + slot * made * size
      for i in 0..<made {
        var sum = step.reals(2).map { Double($0[slot * made + i]) } ?? 0
        for k in 0..<size {
          sum += Double(row[at[i / out * size + k]]) * Double(weight[i * size + k])
        }
        step.y[r * made + i] = Float(sum)
      }
    }
  }
}

func makeUnary(_ op: Operation) throws(Failure) -> Kernel {
  let width = op.result.width
  let (low, high) = (op.real("low", -.infinity), op.real("high", .infinity))
  let f =
    op.text("function") == "clamp"
    ? { min(max($0, low), high) } : try function(op.text("function"))
  return { step in
    for i in 0..<(step.rows * width) { step.y[i] = Float(f(Double(step.x()[i]))) }
  }
}

func makeBinary(_ op: Operation) throws(Failure) -> Kernel {
  let types = (try op.operand(0), try op.operand(1))
  let f: (Double, Double) -> Double
  switch op.text("function") {
  case "add": f = { $0 + $1 }
  case "subtract": f = { $0 - $1 }
  case "multiply": f = { $0 * $1 }
  case "divide": f = { $0 / $1 }
  case "maximum": f = { max($0, $1) }
  case "minimum": f = { min($0, $1) }
  default: throw .unsupported("the template has no function '\(op.text("function"))'")
  }
  let at = (types.0.offsets(along: op.result.axes), types.1.offsets(along: op.result.axes))
  let (a, b) = (types.0.hasRows ? types.0.width : 0, types.1.hasRows ? types.1.width : 0)
  let width = op.result.width
  return { step in
    for r in 0..<step.rows {
      for i in 0..<width {
        step.y[r * width + i] = Float(
          f(Double(step.x(0)[r * a + at.0[i]]), Double(step.x(1)[r * b + at.1[i]])))
      }
    }
  }
}

func makeGLU(_ op: Operation) throws(Failure) -> Kernel {
  let width = op.result.width
  let limit = op.real("limit", .infinity)
  let offset = op.real("up_offset")
  let slope = op.real("slope")
  let f = op.has("slope") ? { $0 * sigmoid(slope * $0) } : try function(op.text("activation"))
  return { step in
    for i in 0..<(step.rows * width) {
      let gate = min(Double(step.x(0)[i]), limit)
      let up = min(max(Double(step.x(1)[i]), -limit), limit)
      step.y[i] = Float(f(gate) * (up + offset))
    }
  }
}

func makeNorm(_ op: Operation) throws(Failure) -> Kernel {
  let form = op.text("form")
  guard ["rms", "layer", "l2"].contains(form) else {
    throw .unsupported("the template has no norm '\(form)'")
  }
  let x = try op.operand(0)
  let size = x.axes.suffix(op.list("axes").count).elements
  let count = Double(op.int("count", size))
  let (epsilon, offset) = (op.real("epsilon"), op.real("weight_offset"))
  return { step in
    for v in 0..<(step.rows * x.width / size) {
      let row = (0..<size).map { Double(step.x()[v * size + $0]) }
      let mean = form == "layer" ? row.reduce(0, +) / count : 0
      // Given where the axes are split over ranks: the sum over all of them.
      let squares =
        step.reals(3).map { Double($0[v]) }
        ?? row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
      let scale = 1 / (squares / (form == "l2" ? 1 : count) + epsilon).squareRoot()
      for i in 0..<size {
        let gain = step.reals(1).map { offset + Double($0[i]) } ?? 1
        let bias = step.reals(2).map { Double($0[i]) } ?? 0
        step.y[v * size + i] = Float((row[i] - mean) * scale * gain + bias)
      }
    }
  }
}

func makeSumSquares(_ op: Operation) throws(Failure) -> Kernel {
  let x = try op.operand(0)
  let size = x.axes.suffix(op.list("axes").count).elements
  let factor = op.real("factor", 1)
  return { step in
    for v in 0..<(step.rows * x.width / size) {
      var sum = 0.0
      for i in (v * size)..<((v + 1) * size) { sum += Double(step.x()[i]) * Double(step.x()[i]) }
      step.y[v] = Float(factor * sum)
    }
  }
}

func makeSlice(_ op: Operation) throws(Failure) -> Kernel {
  let (outer, size, inner) = try op.operand(0).split(at: op.text("axis"))
  let (start, count) = (op.int("start"), op.int("count"))
  return { step in
    for o in 0..<(step.rows * outer) {
      memcpy(
        step.y + o * count * inner, step.x() + (o * size + start) * inner, count * inner * 4)
    }
  }
}

func makeConcat(_ op: Operation) throws(Failure) -> Kernel {
  let (outer, size, inner) = try op.result.split(at: op.text("axis"))
  var counts: [Int] = []
  for index in op.operands.indices {
    counts.append(try op.operand(index).split(at: op.text("axis")).size * inner)
  }
  return { step in
    var start = 0
    for (part, count) in counts.enumerated() {
      for o in 0..<(step.rows * outer) {
        memcpy(step.y + o * size * inner + start, step.x(part) + o * count, count * 4)
      }
      start += count
    }
  }
}

/// YaRN is of Peng et al. 2023, section 3.2.
func makeRope(_ op: Operation) throws(Failure) -> Kernel {
  let scaling = op.text("scaling")
  guard ["", "none", "yarn"].contains(scaling) else {
    throw .unsupported("the template does not scale rope by '\(scaling)'")
  }
  let x = try op.operand(0)
  let (size, rotated) = (x.axes.last?.size ?? 1, op.int("rotated"))
  let n = Double(rotated)
  let theta = op.real("theta")
  let pair = { (turns: Double) in
    n * log(op.real("original_context", 1) / (turns * 2 * .pi)) / (2 * log(theta))
  }
  var (low, high) = (pair(op.real("beta_fast", 32)), pair(op.real("beta_slow", 1)))
  if op.int("truncate") != 0 { (low, high) = (floor(low), ceil(high)) }
  (low, high) = (max(low, 0), min(high, n - 1))
  if low == high { high += 0.001 }
  let rates = (0..<(rotated / 2)).map { i in
    let rate = pow(theta, -2 * Double(i) / n)
    let ramp = scaling == "yarn" ? min(max((Double(i) - low) / (high - low), 0), 1) : 0
    return rate * (1 - ramp) + rate / op.real("factor", 1) * ramp
  }
  let (isInterleaved, factor) = (op.text("layout") == "interleaved", op.real("attention_factor", 1))
  return { step in
    for v in 0..<(step.rows * x.width / size) {
      let (from, to) = (step.x() + v * size, step.y + v * size)
      memcpy(to, from, size * 4)
      for (i, rate) in rates.enumerated() {
        let (a, b) = isInterleaved ? (2 * i, 2 * i + 1) : (i, i + rotated / 2)
        let angle = Double(step.run.positions[v / (x.width / size)]) * rate
        let (c, s) = (cos(angle) * factor, sin(angle) * factor)
        to[a] = Float(Double(from[a]) * c - Double(from[b]) * s)
        to[b] = Float(Double(from[a]) * s + Double(from[b]) * c)
      }
    }
  }
}

/// Turns scores into weights that sum to 1, with one more score that carries nothing.
func softmax(_ scores: inout [Double], sink: Double = -.infinity) {
  let most = max(scores.max() ?? sink, sink)
  if most == -.infinity { return }
  for i in scores.indices { scores[i] = exp(scores[i] - most) }
  let sum = scores.reduce(exp(sink - most), +)
  for i in scores.indices { scores[i] /= sum }
}

func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Double {
  (0..<count).reduce(0) { $0 + Double(a[$1]) * Double(b[$1]) }
}

/// Which positions a row sees.
func sight(_ op: Operation) -> (Step, _ selection: Int, _ row: Int, _ p: Int, _ q: Int) -> Bool {
  let (window, chunk) = (op.int("window"), op.int("chunk"))
  return { step, selection, row, p, q in
    if window > 0 && p - q >= window || chunk > 0 && q / chunk != p / chunk { return false }
    guard let listed = step.indices(selection) else { return true }
    let count = op.operands[selection]?.width ?? 0
    return (0..<count).contains { Int(listed[row * count + $0]) == q }
  }
}

func makeAttention(_ op: Operation) throws(Failure) -> Kernel {
  let (query, key) = (try op.operand(0).axes, try op.operand(1).axes)
  let (heads, keyHeads, size) = (query[0].size, key[0].size, key[1].size)
  let valueSize = try op.operand(2).axes[1].size
  let (scale, cap) = (op.real("scale", 1), op.real("softcap"))
  let sees = sight(op)
  return { step in
    for span in step.spans(appending: [1, 2]) {
      let (keys, values) = (span.part(0), span.part(1))
      for i in 0..<(span.rows * heads) {
        let (row, h, p) = (span.row + i / heads, i % heads, span.first + i / heads)
        let group = h * keyHeads / heads
        var scores = (0...p).map { q in
          guard sees(step, 5, row, p, q) else { return -Double.infinity }
          let at = keys + (q * keyHeads + group) * size
          let score = scale * dot(step.x() + (row * heads + h) * size, at, size)
          return cap > 0 ? cap * tanh(score / cap) : score
        }
        softmax(&scores, sink: step.reals(4).map { Double($0[h]) } ?? -.infinity)
        for v in 0..<valueSize {
          var sum = 0.0
          for q in 0...p {
            sum += scores[q] * Double(values[(q * keyHeads + group) * valueSize + v])
          }
          step.y[(row * heads + h) * valueSize + v] = Float(sum)
        }
      }
    }
  }
}

/// Keys and values are never made: `kv_up` is applied to the query and to the output instead.
func makeLatentAttention(_ op: Operation) throws(Failure) -> Kernel {
  let query = try op.operand(0).axes
  let (heads, nope) = (query[0].size, query[1].size)
  let (rope, rank) = (try op.operand(1).axes[1].size, try op.operand(2).width)
  let (valueSize, scale) = (op.int("value_size"), op.real("scale", 1))
  let sees = sight(op)
  return { step in
    for span in step.spans(appending: [2, 3]) {
      let (latents, keys) = (span.part(0), span.part(1))
      for i in 0..<(span.rows * heads) {
        let (row, h, p) = (span.row + i / heads, i % heads, span.first + i / heads)
        let up = step.x(4) + h * (nope + valueSize) * rank
        let q = step.x() + (row * heads + h) * nope
        let absorbed = (0..<rank).map { c in
          (0..<nope).reduce(0.0) { $0 + Double(q[$1]) * Double(up[$1 * rank + c]) }
        }
        var scores = (0...p).map { j in
          guard sees(step, 6, row, p, j) else { return -Double.infinity }
          let score = dot(step.x(1) + (row * heads + h) * rope, keys + j * rope, rope)
          return scale
            * (0..<rank).reduce(score) {
              $0 + absorbed[$1] * Double(latents[j * rank + $1])
            }
        }
        softmax(&scores)
        let mixed = (0..<rank).map { c in
          (0...p).reduce(0.0) { $0 + scores[$1] * Double(latents[$1 * rank + c]) }
        }
        for v in 0..<valueSize {
          let weights = up + (nope + v) * rank
          step.y[(row * heads + h) * valueSize + v] = Float(
            (0..<rank).reduce(0.0) { $0 + mixed[$1] * Double(weights[$1]) })
        }
      }
    }
  }
}

/// The first of the largest above -infinity.
func best(_ scores: [Double]) -> Int? {
  var best: Int?
  for (index, score) in scores.enumerated() where score > best.map({ scores[$0] }) ?? -.infinity {
    best = index
  }
  return best
}

func makeRoute(_ op: Operation) throws(Failure) -> Kernel {
  let scoring = op.text("scoring")
  guard ["softmax", "sigmoid", "softmax_selected", "none"].contains(scoring) else {
    throw .unsupported("the template has no scoring '\(scoring)'")
  }
  guard op.text("selection") == "top_k", !op.has("capacity_factor"), !op.has("partitions"),
    op.operands[5] == nil
  else { throw .unsupported("the template routes to the top_k experts of one level only") }
  let (experts, top) = (try op.operand(0).width, op.int("top_k"))
  let (groups, kept) = (op.int("groups", 1), op.int("groups_kept", op.int("groups", 1)))
  let byTwo = op.text("group_score") == "top2_sum"
  return { step in
    let indices = step.result(0).assumingMemoryBound(to: Int32.self)
    let weights = step.result(1).assumingMemoryBound(to: Float.self)
    for r in 0..<step.rows {
      let logits = (0..<experts).map { Double(step.x()[r * experts + $0]) }
      var scores = scoring == "sigmoid" ? logits.map(sigmoid) : logits
      if scoring == "softmax" { softmax(&scores) }
      // The bias decides who is selected, and not what the selected weigh.
      var choice = scores.enumerated().map { e, score in
        score + (step.reals(1).map { Double($0[e]) } ?? 0)
      }
      if kept < groups {
        let size = experts / groups
        var ranks = (0..<groups).map { group in
          let sorted = choice[(group * size)..<((group + 1) * size)].sorted(by: >)
          return sorted.prefix(byTwo ? 2 : 1).reduce(0, +)
        }
        var stay: Set<Int> = []
        for _ in 0..<kept {
          guard let group = best(ranks) else { break }
          stay.insert(group)
          ranks[group] = -.infinity
        }
        for e in 0..<experts where !stay.contains(e / size) { choice[e] = -.infinity }
      }
      var chosen: [Double] = []
      for k in 0..<top {
        let expert = best(choice)
        indices[r * top + k] = expert.map { Int32($0) } ?? -1
        let none = scoring == "softmax_selected" ? -Double.infinity : 0
        chosen.append(expert.map { scores[$0] } ?? none)
        if let expert { choice[expert] = -.infinity }
      }
      if scoring == "softmax_selected" { softmax(&chosen) }
      var factor = op.real("scale", 1)
      let sum = max(
        chosen.reduce(op.real("normalize_epsilon"), +), op.real("normalize_minimum"))
      if op.int("normalize") != 0 && sum > 0 { factor /= sum }
      for k in 0..<top { weights[r * top + k] = Float(chosen[k] * factor) }
    }
  }
}

func makeKernel(_ op: Operation) throws(Failure) -> Kernel {
  let width = op.result.width
  switch op.name {
  case "embed": return try makeEmbed(op)
  case "linear": return try makeLinear(op)
  case "unary": return try makeUnary(op)
  case "binary": return try makeBinary(op)
  case "affine":
    let (factor, offset) = (op.real("factor", 1), op.real("offset"))
    return { step in
      for i in 0..<(step.rows * width) { step.y[i] = Float(factor * Double(step.x()[i]) + offset) }
    }
  case "glu": return try makeGLU(op)
  case "norm": return try makeNorm(op)
  case "sum_squares": return try makeSumSquares(op)
  case "slice": return try makeSlice(op)
  case "concat": return try makeConcat(op)
  case "reshape": return { step in memmove(step.y, step.x(), step.rows * width * 4) }
  case "rope": return try makeRope(op)
  case "attention": return try makeAttention(op)
  case "latent_attention": return try makeLatentAttention(op)
  case "route": return try makeRoute(op)
  default: throw .unsupported("the template has no kernel for '\(op.name)'")
  }
}

// MARK: The backend

/// What a backend in use keeps.
final class Instance {
  let host: UnsafePointer<epc_host>
  init(_ host: UnsafePointer<epc_host>) { self.host = host }
}

/// Keeps a kernel while the host has its pointer.
final class KernelBox {
  let run: Kernel
  init(_ run: @escaping Kernel) { self.run = run }
}

/// The table; it lives as long as the process.
nonisolated(unsafe) let backend: UnsafePointer<epc_backend> = {
  let table = UnsafeMutablePointer<epc_backend>.allocate(capacity: 1)
  table.initialize(to: epc_backend())
  table.pointee.struct_size = MemoryLayout<epc_backend>.size
  table.pointee.major = Int64(EPC_BACKEND_MAJOR)
  table.pointee.minor = Int64(EPC_BACKEND_MINOR)
  table.pointee.name = UnsafePointer(strdup("template-swift"))
  table.pointee.version = UnsafePointer(strdup("1.0"))
  table.pointee.precision = Int64(EPC_PRECISION_FP32)
  table.pointee.open = { host, instance in
    guard let host else { return nil }
    instance?.pointee = OpaquePointer(Unmanaged.passRetained(Instance(host)).toOpaque())
    return nil
  }
  table.pointee.close = { instance in
    guard let instance else { return }
    Unmanaged<Instance>.fromOpaque(UnsafeRawPointer(instance)).release()
  }
  table.pointee.prepare = { _, operation, kernel in
    guard let operation else { return nil }
    return returning { () throws(Failure) in
      let box = KernelBox(try makeKernel(Operation(operation.pointee)))
      kernel?.pointee = OpaquePointer(Unmanaged.passRetained(box).toOpaque())
    }
  }
  table.pointee.run_operation = { instance, kernel, run in
    guard let instance, let kernel, let run else { return nil }
    return returning { () throws(Failure) in
      let host = Unmanaged<Instance>.fromOpaque(UnsafeRawPointer(instance))
        .takeUnretainedValue().host
      if host.pointee.is_cancelled(host.pointee.context) != 0 {
        throw Failure(code: EPC_ERROR_CANCELLED, message: "cancelled")
      }
      Unmanaged<KernelBox>.fromOpaque(UnsafeRawPointer(kernel)).takeUnretainedValue()
        .run(Step(run: run.pointee))
    }
  }
  table.pointee.release = { _, kernel in
    guard let kernel else { return }
    Unmanaged<KernelBox>.fromOpaque(UnsafeRawPointer(kernel)).release()
  }
  return UnsafePointer(table)
}()

/// The one symbol; see `epc_backend.h`.
@_cdecl("epc_backend_query")
public func query(
  _ host: UnsafePointer<epc_host>,
  _ error: UnsafeMutablePointer<UnsafeMutablePointer<epc_error>?>
) -> UnsafePointer<epc_backend>? {
  guard host.pointee.major == EPC_BACKEND_MAJOR else {
    let message = "it speaks version \(EPC_BACKEND_MAJOR) of the ABI"
    error.pointee = Failure(code: EPC_ERROR_VERSION, message: message).owned
    return nil
  }
  return backend
}
