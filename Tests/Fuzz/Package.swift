// swift-tools-version: 6.1
import PackageDescription

// The readers and their fuzz targets alone, built with the fuzzer's and the address sanitizer's instrumentation. A
// package of its own, because these flags are not for those who use the library. `Sources` and
// `Formats` are links to the project's.

let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .unsafeFlags(["-sanitize=fuzzer,address", "-parse-as-library"]),
]
let collections: Target.Dependency = .product(name: "OrderedCollections", package: "swift-collections")

let package = Package(
    name: "pannier-fuzz",
    dependencies: [
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
    ],
    targets: [
        .systemLibrary(name: "CJSONC", providers: [.apt(["libjson-c-dev"]), .brew(["json-c"])]),
        .systemLibrary(name: "CZstd", providers: [.apt(["libzstd-dev"]), .brew(["zstd"])]),
        .target(name: "CKernels", cSettings: [.unsafeFlags(["-fsanitize=fuzzer-no-link,address"])]),
        .target(name: "Platform", swiftSettings: swiftSettings),
        .target(
            name: "Bytes", dependencies: ["Platform", "CKernels", .product(name: "SystemPackage", package: "swift-system")],
            swiftSettings: swiftSettings),
        .target(name: "JSONText", dependencies: ["Bytes", "CJSONC", collections], swiftSettings: swiftSettings),
        .target(name: "Tensors", dependencies: ["Bytes", collections], swiftSettings: swiftSettings),
        .target(
            name: "Containers", dependencies: ["Bytes", "JSONText", "Tensors", collections],
            swiftSettings: swiftSettings),
        .target(
            name: "Formats", path: "Formats",
            exclude: ["README.md", "hf-llama", "gguf-llama", "litgpt", "litgpt-early", "litgpt-tinyllama", "meta", "presets"],
            sources: ["formats.c"]),
        .target(
            name: "Layouts", dependencies: ["Bytes", "JSONText", "Tensors", "Formats", collections],
            swiftSettings: swiftSettings),
        .target(
            name: "Tokenizers", dependencies: ["Platform", "Bytes", "JSONText", "Tensors", collections],
            swiftSettings: swiftSettings),
        .target(
            name: "ModelFiles", dependencies: ["Platform", "Bytes", "JSONText", "Tensors", "Tokenizers", collections],
            swiftSettings: swiftSettings),
        .target(
            name: "Archive",
            dependencies: ["Platform", "Bytes", "JSONText", "Tensors", "Containers", "CKernels", "CZstd", collections],
            // Its format is put together here, with all checksums as they should be.
            swiftSettings: swiftSettings + [.unsafeFlags(["-enable-testing"])]),
        .executableTarget(
            name: "pannier_fuzz",
            dependencies: [
                "Platform", "Bytes", "JSONText", "Tensors", "Containers", "Layouts", "Tokenizers", "ModelFiles", "Archive",
                collections,
            ],
            path: "Targets", swiftSettings: swiftSettings,
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]),
    ]
)
