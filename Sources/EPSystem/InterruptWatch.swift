internal import CEPSystem

/// Holds back SIGINT, SIGTERM and SIGHUP until what must be removed has been removed.
package struct InterruptWatch {
  /// Becomes readable when a signal came; -1 if there is no watching.
  package let descriptor: Int32

  /// Begins to hold signals back.
  package init() { descriptor = epc_interrupts_watch() }

  /// Lets signals through again; one that came meanwhile then ends the process, as it would have.
  package func end() {
    guard descriptor >= 0 else { return }
    _ = epc_interrupts_unwatch()
  }
}
