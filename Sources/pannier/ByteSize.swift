// Sizes on the command line.

internal import ArgumentParser

/// A size as people write it: "4GB", "550MB", "500MiB", "1000".
struct ByteSize: ExpressibleByArgument {
    let bytes: UInt64

    init?(argument: String) {
        let digits = argument.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard let value = Double(digits), value.isFinite, value >= 0 else { return nil }
        let unit: Double
        switch argument.dropFirst(digits.count).lowercased() {
        case "", "b": unit = 1
        case "k", "kb": unit = 1e3
        case "m", "mb": unit = 1e6
        case "g", "gb": unit = 1e9
        case "t", "tb": unit = 1e12
        case "kib": unit = 1024
        case "mib": unit = 1_048_576
        case "gib": unit = 1_073_741_824
        case "tib": unit = 1_099_511_627_776
        default: return nil
        }
        guard value * unit < 9e18 else { return nil }
        bytes = UInt64(value * unit)
    }
}
