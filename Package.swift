// swift-tools-version: 6.2
import PackageDescription

// One list of settings for every Swift target: the rules of docs/architecture.md, "Language".
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
]

// The same for C: every warning that is on by habit, and none let through.
let strictC: [CSetting] = [
  .enableWarning("all"),
  .enableWarning("extra"),
  .treatAllWarnings(as: .error),
]

let package = Package(
  name: "epc",
  products: [
    .library(name: "EPModel", targets: ["EPModel"])
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
  ],
  targets: [
    // The DSL. A leaf: a model file needs this one module and nothing else.
    .target(name: "EPModel", swiftSettings: strict),
    .testTarget(name: "EPModelTests", dependencies: ["EPModel"], swiftSettings: strict),

    // JSON: json-c, and the one target that may use it.
    .systemLibrary(name: "CJSONC", pkgConfig: "json-c", providers: [.apt(["libjson-c-dev"])]),
    .target(name: "EPJSON", dependencies: ["CJSONC"], swiftSettings: strict),
    .testTarget(name: "EPJSONTests", dependencies: ["EPJSON"], swiftSettings: strict),

    // Confined and bounded runs of other programs. C, since a forked child may not allocate.
    .target(name: "CEPSystem", cSettings: strictC),
    .target(name: "EPSystem", dependencies: ["CEPSystem"], swiftSettings: strict),
    .testTarget(
      name: "CEPSystemTests", dependencies: ["CEPSystem", "EPSystem", "EPModelLoader"],
      exclude: ["Fixtures"], swiftSettings: strict),

    // From a model file to the model's bytes: compile, confine, run, cache.
    .target(
      name: "EPModelLoader", dependencies: ["CEPSystem", "EPSystem", "EPJSON"],
      swiftSettings: strict),
    .testTarget(
      name: "EPModelLoaderTests", dependencies: ["EPModelLoader", "EPSystem"],
      exclude: ["Fixtures"], swiftSettings: strict),

    // Programs: reading, verifying, printing and parsing them; the mesh.
    .target(name: "EPIR", dependencies: ["EPModel", "EPJSON"], swiftSettings: strict),
    .testTarget(
      name: "EPIRTests", dependencies: ["EPIR", "EPModel", "EPJSON"], swiftSettings: strict),

    // The files under models/, compiled and run one by one.
    .testTarget(
      name: "ModelFileTests",
      dependencies: ["EPModel", "EPIR", "EPJSON", "EPCost", "EPPlan", "EPCompiler"],
      swiftSettings: strict),

    // Plans: the type, its JSON form, its verifier and what each rank makes of it.
    .target(name: "EPPlan", dependencies: ["EPModel", "EPJSON", "EPIR"], swiftSettings: strict),

    // Hardware and clusters; what operations and whole plans cost on them.
    .target(
      name: "EPCost",
      dependencies: ["EPModel", "EPJSON", "EPIR", "EPPlan", "EPPlacement", "EPSchedule"],
      swiftSettings: strict),
    .testTarget(
      name: "EPCostTests",
      dependencies: [
        "EPCost", "EPCompiler", "EPModel", "EPPlacement", "EPPlan", "EPIR", "EPSchedule",
      ],
      swiftSettings: strict),

    // Modulo schedules of loop bodies, as pure data. A leaf.
    .target(name: "CEPSchedule", cSettings: strictC),
    .target(name: "EPSchedule", dependencies: ["CEPSchedule"], swiftSettings: strict),
    .testTarget(name: "EPScheduleTests", dependencies: ["EPSchedule"], swiftSettings: strict),

    // Where routed experts are put: balance, bounds, replicas, migrations.
    .target(name: "EPPlacement", dependencies: ["EPModel", "EPJSON"], swiftSettings: strict),
    .testTarget(
      name: "EPPlacementTests", dependencies: ["EPPlacement", "EPModel", "EPJSON"],
      swiftSettings: strict),

    // benchmarks/placement.sh
    .executableTarget(
      name: "epc-bench-placement", dependencies: ["EPPlacement"], swiftSettings: strict),

    // From model to plan: the passes.
    .target(
      name: "EPCompiler",
      dependencies: ["EPModel", "EPIR", "EPCost", "EPPlan", "EPPlacement"],
      swiftSettings: strict),
    .testTarget(
      name: "EPCompilerTests",
      dependencies: [
        "EPCompiler", "EPCost", "EPIR", "EPJSON", "EPModel", "EPPlacement", "EPPlan",
        "EPTestSupport",
      ],
      exclude: ["Goldens"], swiftSettings: strict),

    // From model, cluster and limits to deployments.
    .target(
      name: "EPSearch",
      dependencies: [
        "EPModel", "EPJSON", "EPIR", "EPPlan", "EPCost", "EPPlacement", "EPCompiler", "EPSchedule",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "EPSearchTests",
      dependencies: ["EPSearch", "EPCost", "EPIR", "EPModel", "EPPlan"],
      swiftSettings: strict),

    // Models, meshes and seeded randomness that tests share.
    .target(
      name: "EPTestSupport",
      dependencies: ["EPModel", "EPIR", "EPCost", "EPPlan", "EPCompiler", "EPJSON"],
      path: "Tests/EPTestSupport", swiftSettings: strict),
    .testTarget(
      name: "EPPlanTests",
      dependencies: [
        "EPPlan", "EPCompiler", "EPPlacement", "EPTestSupport", "EPModel", "EPJSON", "EPIR",
        "EPCost",
      ],
      swiftSettings: strict),

    // The command: thin.
    .executableTarget(
      name: "epc",
      dependencies: [
        "EPModel", "EPJSON", "EPIR", "EPPlan", "EPCost", "EPCompiler", "EPModelLoader",
        "EPHuggingFace", "EPReport", "EPRuntime", "EPBackend", "EPBackendCPU", "EPCheckpoint",
        "EPReference", "EPPlacement", "EPPlugin", "EPConformance", "EPExport", "EPBackendMPI",
        "EPTokenizer", "EPBackendSimGPU", "EPSearch",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ], swiftSettings: strict),
    // The command as a user runs it; it is built with the tests.
    .testTarget(
      name: "EpcTests", dependencies: ["epc"], exclude: ["Fixtures"], swiftSettings: strict),

    // What is in a plan, for people: summaries, listings and pictures.
    .target(
      name: "EPReport", dependencies: ["EPModel", "EPIR", "EPPlan"],
      swiftSettings: strict),
    .testTarget(
      name: "EPReportTests",
      dependencies: [
        "EPReport", "EPCompiler", "EPCost", "EPIR", "EPJSON", "EPModel", "EPPlan", "EPTestSupport",
      ],
      swiftSettings: strict),

    // Plans for the engines people deploy: launch commands, manifests, preflight checks.
    .target(
      name: "EPExport", dependencies: ["EPModel", "EPJSON", "EPIR", "EPPlan", "EPPlacement"],
      swiftSettings: strict),
    .testTarget(
      name: "EPExportTests",
      dependencies: [
        "EPExport", "EPCompiler", "EPCost", "EPIR", "EPModel", "EPPlan", "EPTestSupport",
      ], swiftSettings: strict),

    // Checkpoints: safetensors files, mapped and read by slice; the conversions are C.
    .target(name: "CEPCheckpoint", cSettings: strictC),
    .target(
      name: "EPCheckpoint", dependencies: ["CEPCheckpoint", "EPJSON"], swiftSettings: strict),
    .testTarget(
      name: "EPCheckpointTests", dependencies: ["CEPCheckpoint", "EPCheckpoint"],
      swiftSettings: strict),

    // Tokenizers: tokenizer.json, byte-level and SentencePiece-style byte pairs.
    .target(name: "EPTokenizer", dependencies: ["EPJSON"], swiftSettings: strict),
    .testTarget(
      name: "EPTokenizerTests", dependencies: ["EPTokenizer", "EPJSON"],
      exclude: ["Fixtures"], swiftSettings: strict),

    // Kernels: the reference, and faster ones beside it.
    .target(name: "CEPKernels", cSettings: strictC),

    // What a backend implements: devices and transports.
    .target(name: "EPBackend", dependencies: ["EPModel", "EPIR", "EPPlan"], swiftSettings: strict),

    // The C interface of backends in shared libraries, and what makes devices of such.
    .target(name: "CEPBackend", cSettings: strictC),
    .target(
      name: "EPPlugin",
      dependencies: [
        "CEPBackend", "CEPSystem", "EPSystem", "EPModel", "EPJSON", "EPIR", "EPPlan", "EPBackend",
        "EPBackendCPU",
      ], swiftSettings: strict),

    // Whether a backend does what the operations mean: what 'epc conformance' runs.
    .target(
      name: "EPConformance",
      dependencies: [
        "EPModel", "EPJSON", "EPIR", "EPCost", "EPPlan", "EPCompiler", "EPBackend", "EPBackendCPU",
        "EPRuntime",
      ], swiftSettings: strict),
    .testTarget(
      name: "EPPluginTests",
      dependencies: [
        "EPPlugin", "EPConformance", "EPBackend", "EPBackendCPU", "EPModel", "EPIR", "EPPlan",
        "EPCompiler", "EPCost", "EPRuntime", "EPTestSupport",
      ],
      exclude: ["Fixtures"], swiftSettings: strict),

    // The CPU device.
    .target(
      name: "EPBackendCPU", dependencies: ["CEPKernels", "EPModel", "EPBackend"],
      path: "plugins/cpu", swiftSettings: strict),

    // Ranks as MPI processes; MPI itself is loaded at run time, see plugins/mpi/build.
    .target(name: "CEPMPI", cSettings: strictC),
    .target(
      name: "EPBackendMPI", dependencies: ["CEPMPI", "EPModel", "EPIR", "EPPlan", "EPBackend"],
      path: "plugins/mpi/Sources", swiftSettings: strict),
    // benchmarks/mpi.sh
    .executableTarget(
      name: "epc-bench-mpi",
      dependencies: ["EPBackend", "EPBackendMPI", "EPIR", "EPModel"],
      swiftSettings: strict),

    // The simulated device: whole clusters in virtual time.
    .target(name: "CEPSimulation", cSettings: strictC),
    .target(
      name: "EPBackendSimGPU",
      dependencies: [
        "CEPSimulation", "CEPSystem", "EPModel", "EPJSON", "EPIR", "EPPlan", "EPCost",
        "EPPlacement", "EPBackend", "EPSchedule",
      ],
      path: "plugins/simgpu", swiftSettings: strict),
    .testTarget(
      name: "EPBackendSimGPUTests",
      dependencies: [
        "EPBackendSimGPU", "EPModel", "EPIR", "EPJSON", "EPPlan", "EPCost", "EPPlacement",
        "EPCompiler", "EPTestSupport",
      ], swiftSettings: strict),

    // Models out of Hugging Face configs.
    .target(name: "EPHuggingFace", dependencies: ["EPModel", "EPJSON"], swiftSettings: strict),
    .testTarget(
      name: "EPHuggingFaceTests",
      dependencies: ["EPHuggingFace", "EPTestSupport", "EPModel", "EPJSON"],
      resources: [.copy("Fixtures")], swiftSettings: strict),

    // The executor: weights, caches, steps, sampling.
    .target(
      name: "EPRuntime",
      dependencies: [
        "CEPCheckpoint", "CEPKernels", "EPModel", "EPIR", "EPPlan", "EPPlacement", "EPBackend",
        "EPCheckpoint",
      ], swiftSettings: strict),

    // Reference checkpoints: what must come out, and how near it is.
    .target(
      name: "EPReference",
      dependencies: [
        "EPModel", "EPJSON", "EPIR", "EPCost", "EPPlan", "EPCompiler", "EPHuggingFace",
        "EPCheckpoint", "EPBackend", "EPBackendCPU", "EPRuntime",
      ], swiftSettings: strict),
    .testTarget(
      name: "EPRuntimeTests",
      dependencies: [
        "CEPKernels", "EPModel", "EPIR", "EPCost", "EPPlacement", "EPPlan", "EPCompiler",
        "EPCheckpoint", "EPBackend", "EPBackendCPU", "EPRuntime", "EPReference",
      ], exclude: ["Fixtures"], swiftSettings: strict),
  ]
)
