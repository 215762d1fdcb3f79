// swift-tools-version: 6.1
import PackageDescription

/// Every Swift target: Swift 6 language mode with strict concurrency comes from the tools version.
let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// What the project takes from others, by the name of its module.
let packages = [
    "ArgumentParser": "swift-argument-parser",
    "OrderedCollections": "swift-collections",
    "SystemPackage": "swift-system",
]

func dependencies(_ names: [String]) -> [Target.Dependency] {
    names.map { name in packages[name].map { .product(name: name, package: $0) } ?? .byName(name: name) }
}

/// A module of the library and what it imports.
func module(_ name: String, _ imports: [String]) -> Target {
    .target(name: name, dependencies: dependencies(imports), swiftSettings: swiftSettings)
}

/// The tests of a module. `Golden` folders are data that the tests read from the source tree.
func tests(_ name: String, _ imports: [String], exclude: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies(imports), exclude: exclude, swiftSettings: swiftSettings)
}

/// The modules of the library, from the ground up: each imports only what stands above it in this list, which
/// Tests/ArchitectureTests holds.
let library: [Target] = [
    module("Platform", []),
    module("Bytes", ["Platform", "CKernels", "SystemPackage"]),
    module("JSONText", ["Bytes", "CJSONC", "OrderedCollections"]),
    module("Reporting", ["Platform"]),
    module("Tensors", ["Bytes", "OrderedCollections"]),
    module("Quantization", ["Bytes", "Tensors", "CKernels"]),
    module("Containers", ["Bytes", "JSONText", "Tensors", "OrderedCollections"]),
    module("Layouts", ["Bytes", "JSONText", "Tensors", "Formats", "OrderedCollections"]),
    module("Tokenizers", ["Platform", "Bytes", "JSONText", "Tensors", "OrderedCollections"]),
    module("ModelFiles", ["Platform", "Bytes", "JSONText", "Tensors", "Tokenizers", "OrderedCollections"]),
    module(
        "Conversion",
        [
            "Bytes", "JSONText", "Tensors", "Quantization", "Containers", "Layouts", "Tokenizers", "ModelFiles",
            "CKernels", "OrderedCollections",
        ]),
    module(
        "Inspection",
        [
            "Bytes", "JSONText", "Reporting", "Tensors", "Quantization", "Containers", "Layouts", "Tokenizers",
            "ModelFiles", "Conversion", "CKernels", "OrderedCollections",
        ]),
    module(
        "Archive",
        ["Platform", "Bytes", "JSONText", "Tensors", "Containers", "CKernels", "CZstd", "OrderedCollections"]),
    module(
        "Inference",
        [
            "Platform", "Bytes", "JSONText", "Reporting", "Tensors", "Quantization", "Containers", "Layouts", "Tokenizers",
            "Conversion", "CKernels", "OrderedCollections",
        ]),
]

let package = Package(
    name: "pannier",
    products: [
        .executable(name: "pannier", targets: ["pannier"]),
        .library(name: "PannierKit", targets: library.map(\.name)),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
    ],
    targets: library + [
        .systemLibrary(name: "CJSONC", providers: [.apt(["libjson-c-dev"]), .brew(["json-c"])]),
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"]), .brew(["zstd"])]),
        .target(name: "CKernels"),
        .target(
            name: "Formats", path: "Formats",
            exclude: ["README.md", "hf-llama", "gguf-llama", "litgpt", "litgpt-early", "litgpt-tinyllama", "meta", "presets"],
            sources: ["formats.c"]),
        .executableTarget(
            name: "pannier",
            dependencies: dependencies(library.map(\.name) + ["ArgumentParser", "OrderedCollections"]),
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "pannier-synthesize",
            dependencies: dependencies([
                "Bytes", "JSONText", "Tensors", "Containers", "Layouts", "CKernels", "ArgumentParser",
            ]),
            swiftSettings: swiftSettings),
        // What several tests throw at the readers.
        .target(
            name: "HostileFiles", dependencies: ["Bytes"], path: "Tests/HostileFiles", swiftSettings: swiftSettings),
        tests("ArchitectureTests", []),
        tests("CommandLineTests", ["pannier", "HostileFiles", "Tokenizers"], exclude: ["Golden"]),
        tests("ArchiveTests", ["Bytes", "Tensors", "Containers", "Archive", "CKernels", "CZstd", "pannier"]),
        tests("BytesTests", ["Bytes", "CKernels"]),
        tests("JSONTextTests", ["Bytes", "JSONText"]),
        tests("QuantizationTests", ["Bytes", "Tensors", "Quantization", "CKernels"], exclude: ["Golden"]),
        tests(
            "TokenizersTests", ["Bytes", "JSONText", "Tensors", "Tokenizers", "OrderedCollections"], exclude: ["Golden"]),
        tests(
            "InferenceTests",
            [
                "Bytes", "JSONText", "Tensors", "Containers", "Conversion", "Layouts", "Tokenizers", "Inference",
                "CKernels", "OrderedCollections",
            ],
            exclude: ["Golden"]),
        tests("LayoutsTests", ["Layouts", "Tensors", "Bytes", "JSONText", "OrderedCollections"], exclude: ["Golden"]),
        tests(
            "ContainersTests",
            ["Bytes", "JSONText", "Tensors", "Containers", "OrderedCollections", "HostileFiles"], exclude: ["Golden"]),
        tests("InspectionTests", ["Bytes", "Tensors", "Layouts", "Conversion", "Reporting", "Inspection"]),
        tests(
            "ModelFilesTests", ["Bytes", "JSONText", "Tensors", "Tokenizers", "ModelFiles", "OrderedCollections"],
            exclude: ["Golden"]),
    ]
)
