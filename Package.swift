// swift-tools-version: 6.1
import PackageDescription

/// Every Swift target: Swift 6 language mode with strict concurrency comes from the tools version.
let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// The floors of the house, from the ground up. A target may import only what stands above it in this list;
/// Tests/ArchitectureTests holds that.
let package = Package(
    name: "pannier",
    products: [
        .library(name: "Pannier", targets: ["Bytes", "JSONText", "Tensors", "Containers", "Layouts"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
    ],
    targets: [
        .target(name: "CKernels"),
        .target(
            name: "Bytes",
            dependencies: [.product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: swiftSettings),
        .systemLibrary(name: "CJSONC", providers: [.apt(["libjson-c-dev"]), .brew(["json-c"])]),
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"]), .brew(["zstd"])]),
        .target(
            name: "JSONText",
            dependencies: ["Bytes", "CJSONC", .product(name: "OrderedCollections", package: "swift-collections")],
            swiftSettings: swiftSettings),
        .target(
            name: "Tensors",
            dependencies: ["Bytes", .product(name: "OrderedCollections", package: "swift-collections")],
            swiftSettings: swiftSettings),
        .target(
            name: "Quantization",
            dependencies: ["Bytes", "Tensors", "CKernels"],
            swiftSettings: swiftSettings),
        .target(
            name: "Containers",
            dependencies: [
                "Bytes", "JSONText", "Tensors", .product(name: "OrderedCollections", package: "swift-collections"),
            ],
            swiftSettings: swiftSettings),
        .target(
            name: "Formats", path: "Formats",
            exclude: ["README.md", "hf-llama", "gguf-llama", "litgpt", "litgpt-early", "litgpt-tinyllama", "meta", "presets"],
            sources: ["formats.c"]),
        .target(
            name: "Layouts",
            dependencies: [
                "Bytes", "JSONText", "Tensors", "Formats",
                .product(name: "OrderedCollections", package: "swift-collections"),
            ],
            swiftSettings: swiftSettings),
        .target(
            name: "Tokenizers",
            dependencies: [
                "Bytes", "JSONText", "Tensors", .product(name: "OrderedCollections", package: "swift-collections"),
            ],
            swiftSettings: swiftSettings),
        .target(
            name: "ModelFiles",
            dependencies: [
                "Bytes", "JSONText", "Tensors", "Tokenizers",
                .product(name: "OrderedCollections", package: "swift-collections"),
            ],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "ModelFilesTests",
            dependencies: [
                "Bytes", "JSONText", "Tensors", "Tokenizers", "ModelFiles",
                .product(name: "OrderedCollections", package: "swift-collections"),
            ],
            exclude: ["Golden"],
            swiftSettings: swiftSettings),
        .testTarget(name: "ArchitectureTests", swiftSettings: swiftSettings),
        .testTarget(
            name: "QuantizationTests",
            dependencies: ["Bytes", "Tensors", "Quantization", "CKernels"],
            exclude: ["Golden"],
            swiftSettings: swiftSettings),
        .testTarget(
            name: "LayoutsTests",
            dependencies: ["Layouts", "Tensors", "Bytes", "JSONText"],
            swiftSettings: swiftSettings),
    ]
)
