internal import EPModel
internal import EPPlan

extension Timeline {
  /// The first layers as trace events: warm-up, and then period after period.
  var events: [Document] {
    var events = [Timeline.metadata("process_name", title, thread: nil)]
    for stream in ShardedFunction.Stream.allCases {
      let name = stream == .compute ? "compute stream" : "communication stream"
      events.append(Timeline.metadata("thread_name", name, thread: stream.rawValue))
    }
    for (ordinal, layer) in layers.prefix(Timeline.tracedLayers).enumerated() {
      for batch in schedule.starts.indices {
        for job in schedule.jobs.indices where schedule.jobs[job].duration > 0 {
          events.append(event(job, batch, layer: layer, ordinal: ordinal))
        }
      }
    }
    return events
  }

  static func metadata(
    _ kind: String, _ name: String, process: Int = 0, thread: Int?
  ) -> Document {
    .object([
      "name": .text(kind), "ph": .text("M"), "pid": .int(process), "tid": thread.map(Document.int),
      "args": .object(["name": .text(name)]),
    ])
  }

  private func event(_ job: Int, _ batch: Int, layer: Int, ordinal: Int) -> Document {
    let own = schedule.jobs[job]
    let start = schedule.starts[batch][job] + ordinal * schedule.period
    let arguments = Document.object([
      "layer": .int(layer), "micro_batch": .int(batch), "operation": .int(own.operation),
    ])
    let colour = Timeline.traceColours[batch % Timeline.traceColours.count]
    return .object([
      "name": .text(names[job].name), "cat": .text(names[job].phase.rawValue), "ph": .text("X"),
      "pid": .int(0), "tid": .int(own.stream.rawValue), "ts": .real(Double(start) / 1e3),
      "dur": .real(Double(own.duration) / 1e3), "cname": .text(colour), "args": arguments,
    ])
  }

  /// How many layers a trace shows.
  static let tracedLayers = 6

  /// Names of colours that the tracing page knows, by micro-batch.
  private static let traceColours = ["thread_state_running", "rail_response", "good", "bad"]
}
