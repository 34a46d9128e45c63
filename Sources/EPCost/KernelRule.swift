internal import Synchronization

/// How kernels of one shape are priced on some hardware; shared, since steps ask for it again and again.
final class KernelRule: Sendable {
  /// What turns work into time.
  let fit: RooflineFit
  /// What was measured of such shapes; nil where the fit alone holds.
  let surface: TimeSurface?
  /// The table they come from; nil where nothing was measured.
  let table: OperationTable?
  /// How much longer arithmetic takes.
  let unpacking: Double

  init(fit: RooflineFit, surface: TimeSurface?, table: OperationTable?, unpacking: Double) {
    (self.fit, self.surface, self.table, self.unpacking) = (fit, surface, table, unpacking)
  }

  /// Seconds of a kernel of the shape, never below its floor.
  func seconds(of kernel: Kernel, on hardware: Hardware) -> Double {
    var work = kernel.work(on: hardware)
    if let surface { return max(surface.seconds(of: kernel, on: hardware), work.floor) }
    work.first *= unpacking
    return max(fit.seconds(for: work), work.floor)
  }
}

/// The rules found so far, by unit kernels; shared by copies of a cost model.
final class KernelRules: Sendable {
  private let known = Mutex<[Kernel: KernelRule]>([:])

  subscript(unit: Kernel) -> KernelRule? {
    get { known.withLock { $0[unit] } }
    set { known.withLock { $0[unit] = newValue } }
  }
}
