// KEY=TYPE:VALUE on the command line.

internal import ArgumentParser
internal import Tensors

/// A metadata entry as it is given on the command line, with GGUF's types: `general.license=str:mit`.
struct MetadataArgument: ExpressibleByArgument {
    let key: String
    let value: MetadataValue

    init?(argument: String) {
        guard let equals = argument.firstIndex(of: "="), equals > argument.startIndex else { return nil }
        let rest = argument[argument.index(after: equals)...]
        guard let colon = rest.firstIndex(of: ":") else { return nil }
        key = String(argument[..<equals])
        let text = String(rest[rest.index(after: colon)...])
        func parse<T: LosslessStringConvertible>(_ make: (T) -> MetadataValue) -> MetadataValue? {
            T(text).map(make)
        }
        let parsed: MetadataValue? =
            switch rest[..<colon].lowercased() {
            case "u8": parse(MetadataValue.u8)
            case "i8": parse(MetadataValue.i8)
            case "u16": parse(MetadataValue.u16)
            case "i16": parse(MetadataValue.i16)
            case "u32": parse(MetadataValue.u32)
            case "i32": parse(MetadataValue.i32)
            case "u64": parse(MetadataValue.u64)
            case "i64": parse(MetadataValue.i64)
            case "f32": parse(MetadataValue.f32)
            case "f64": parse(MetadataValue.f64)
            // llama-quantize's words for what it stores as u32 and f32.
            case "int": parse(MetadataValue.u32)
            case "float": parse(MetadataValue.f32)
            case "bool": parse(MetadataValue.bool)
            case "str", "string": .string(text)
            default: nil
            }
        guard let parsed else { return nil }
        value = parsed
    }

    static var allValueStrings: [String] { [] }
}
