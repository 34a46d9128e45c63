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

let package = Package(
  name: "epc",
  products: [
    .library(name: "EPModel", targets: ["EPModel"])
  ],
  targets: [
    // The DSL. A leaf: a model file needs this one module and nothing else.
    .target(name: "EPModel", swiftSettings: strict),

    .testTarget(name: "EPModelTests", dependencies: ["EPModel"], swiftSettings: strict),

    // JSON: json-c, and the one target that may use it.
    .systemLibrary(name: "CJSONC", pkgConfig: "json-c", providers: [.apt(["libjson-c-dev"])]),
    .target(name: "EPJSON", dependencies: ["CJSONC"], swiftSettings: strict),
    .testTarget(name: "EPJSONTests", dependencies: ["EPJSON"], swiftSettings: strict),

    // Models out of Hugging Face configs.
    .target(name: "EPHuggingFace", dependencies: ["EPModel", "EPJSON"], swiftSettings: strict),
    .testTarget(
      name: "EPHuggingFaceTests", dependencies: ["EPHuggingFace"],
      resources: [.copy("Fixtures")], swiftSettings: strict),
  ]
)
