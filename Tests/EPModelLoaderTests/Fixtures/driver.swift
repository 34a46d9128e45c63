// Loads the model file in its first argument, as the command would, so that a test can interrupt it.

import EPModelLoader
import Glibc

@main struct Driver {
  static func main() {
    // The thread that started this may have had signals blocked, which is inherited.
    var none = sigset_t()
    sigemptyset(&none)
    sigprocmask(SIG_SETMASK, &none, nil)
    var options = ModelFileOptions()
    options.libraryDirectory = CommandLine.arguments[2]
    options.usesCache = false
    options.limits.cpuSeconds = 60
    do {
      _ = try ModelFileLoader().load(path: CommandLine.arguments[1], options: options)
    } catch {
      fputs("\(error)\n", stderr)
      exit(1)
    }
  }
}
