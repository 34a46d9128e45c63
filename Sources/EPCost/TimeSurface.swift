internal import Glibc

/// The time of one shape of kernels over its count (groups or sequences, where it has any) and its
/// load, from the curves of a table nearest to it.
///
/// At each count and load the time is the fit's, times the blended residual of the curves nearest to
/// it; lowered to what a larger load or count takes (a smaller one can always be padded); joined by
/// straight lines in logarithms, and beyond the ends continued in proportion to the fit. So it falls
/// with neither, has no step where a table ends, and equals a table's own rows but for those
/// that are slower than larger ones.
struct TimeSurface: Sendable {
  private let unit: Kernel
  private let fit: RooflineFit
  /// Ascending natural logarithms; no counts where the shape has none.
  private let counts: [Double]
  private let loads: [Double]
  /// Loads that were measured, first and last.
  private let measured: ClosedRange<Double>
  /// Natural logarithms of seconds, all loads of a count together.
  private let times: [Double]

  /// How many curves a shape that was not measured is blended from.
  private static let neighbours = 4
  /// The least count, in binary logarithms: what is shared by micro-batches is less than one.
  private static let leastCount = -4

  /// Makes the surface of a shape, `unit`; nil from a table without curves.
  init?(of unit: Kernel, in table: OperationTable, on hardware: Hardware) {
    if table.curves.isEmpty { return nil }
    let counts = TimeSurface.counts(of: unit, in: table)
    let blends = (counts.isEmpty ? [0] : counts).map { count in
      TimeSurface.Blend(
        counts.isEmpty ? unit : unit.scaled(toCount: exp2(count)), of: table, on: hardware)
    }
    var knots: Set<Double> = []
    for blend in blends {
      for (index, _) in blend.near { knots.formUnion(table.curves[index].loads) }
    }
    var loads = knots.sorted()
    measured = loads[0]...loads[loads.count - 1]
    // Below the first, down to a load of one: what many take is lowered there too.
    while !counts.isEmpty && loads[0] > 0 { loads.insert(loads[0] - log(2), at: 0) }
    var residuals: [Int: [Double]] = [:]
    for index in blends.flatMap(\.near).map(\.index) where residuals[index] == nil {
      residuals[index] = loads.map { table.curves[index].residual(at: $0) }
    }
    var times: [Double] = []
    for (row, blend) in blends.enumerated() {
      let shape = counts.isEmpty ? unit : unit.scaled(toCount: exp2(counts[row]))
      let own = blend.near.map { (residuals[$0.index] ?? [], $0.weight) }
      for (column, load) in loads.enumerated() {
        var time = log(table.fit.seconds(for: shape.scaled(toLoad: exp(load)).work(on: hardware)))
        for (residuals, weight) in own { time += weight * residuals[column] }
        times.append(time)
      }
    }
    for row in blends.indices.reversed() {
      for column in loads.indices.reversed() {
        let place = row * loads.count + column
        if column + 1 < loads.count { times[place] = min(times[place], times[place + 1]) }
        if row + 1 < blends.count { times[place] = min(times[place], times[place + loads.count]) }
      }
    }
    (self.unit, self.loads, self.times) = (unit, loads, times)
    fit = table.fit
    self.counts = counts.map { $0 * log(2) }
  }

  /// Binary logarithms of the counts that were measured, and whole ones between.
  private static func counts(of unit: Kernel, in table: OperationTable) -> [Double] {
    if unit.count == nil { return [] }
    let measured = table.curves.map { $0.coordinates[0] }
    let most = measured.max() ?? 0
    let whole = (leastCount...max(leastCount, Int(most))).map { Double($0) }
    return Set(measured.filter { $0 > Double(leastCount) } + whole).sorted()
  }

  /// The curves nearest to a shape with a count, and what each counts for.
  private struct Blend {
    var near: [(index: Int, weight: Double)]

    init(_ shape: Kernel, of table: OperationTable, on hardware: Hardware) {
      let coordinates = shape.coordinates.map { log2($0) }
      var near: [(index: Int, distance: Double)] = []
      for (index, curve) in table.curves.enumerated() {
        let distance = curve.distance(to: coordinates, on: hardware)
        let place = near.firstIndex { $0.distance > distance } ?? near.count
        if place >= TimeSurface.neighbours { continue }
        near.insert((index, distance), at: place)
        if near.count > TimeSurface.neighbours { near.removeLast() }
      }
      let nearest = near[0].distance
      if nearest < 1e-9 { near = [near[0]] }
      let weights = near.map { pow(max($0.distance, 1e-9), -4) }
      // Far from every curve the fit alone is left.
      let trust = 1 / (1 + nearest * nearest / 16) / weights.reduce(0, +)
      self.near = zip(near, weights).map { ($0.index, $1 * trust) }
    }
  }

  /// How far a load, as a logarithm, lies from those measured.
  func beyond(_ load: Double) -> Double {
    max(0, measured.lowerBound - load, load - measured.upperBound)
  }

  /// Seconds of a kernel of the shape.
  func seconds(of kernel: Kernel, on hardware: Hardware) -> Double {
    let load = log(kernel.load)
    func fitted(_ count: Double?, _ load: Double) -> Double {
      var shape = unit
      if let count { shape = shape.scaled(toCount: exp(count)) }
      return log(fit.seconds(for: shape.scaled(toLoad: exp(load)).work(on: hardware)))
    }
    func row(_ row: Int) -> Double {
      let first = row * loads.count
      let last = loads.count - 1
      let count = counts.isEmpty ? nil : counts[row]
      if load >= loads[last] {
        let time = times[first + last]
        return load == loads[last] ? time : time + fitted(count, load) - fitted(count, loads[last])
      }
      if load <= loads[0] {
        // With a count the first load is one.
        return counts.isEmpty
          ? times[first] + fitted(nil, load) - fitted(nil, loads[0]) : times[first]
      }
      let (below, share) = TimeSurface.place(load, in: loads)
      return times[first + below] + share * (times[first + below + 1] - times[first + below])
    }
    guard let last = counts.indices.last, let own = kernel.count else { return exp(row(0)) }
    let count = log(own)
    var seconds: Double
    if count >= counts[last] {
      seconds = row(last)
      if count > counts[last] { seconds += fitted(count, load) - fitted(counts[last], load) }
    } else if count <= counts[0] {
      seconds = row(0)
    } else {
      let (below, share) = TimeSurface.place(count, in: counts)
      let low = row(below)
      seconds = share == 0 ? low : low + share * (row(below + 1) - low)
    }
    seconds = exp(seconds)
    // Chunks of a prompt read the cache of all before them; what was measured is new as a whole.
    guard case .prefillAttention = kernel else { return seconds }
    return max(
      seconds, fit.seconds(for: Work(compute: 0, memory: kernel.work(on: hardware).second)))
  }

  /// The interval of ascending numbers that a number between their ends lies in, and where in it.
  private static func place(_ number: Double, in numbers: [Double]) -> (below: Int, share: Double) {
    var (low, high) = (0, numbers.count - 1)
    while high - low > 1 {
      let middle = (low + high) / 2
      if numbers[middle] <= number { low = middle } else { high = middle }
    }
    return (low, (number - numbers[low]) / (numbers[high] - numbers[low]))
  }
}

extension OperationTable.Curve {
  /// How far a shape lies from it, in octaves.
  func distance(to coordinates: [Double], on hardware: Hardware) -> Double {
    let other = OperationTable.otherHardware
    var square = self.hardware.name == hardware.name ? 0 : other * other
    for axis in coordinates.indices {
      let difference = coordinates[axis] - self.coordinates[axis]
      square += difference * difference
    }
    return square.squareRoot()
  }
}
