// KEY=TYPE:VALUE on the command line.

import Bytes
import ModelFiles
import OrderedCollections
import Tensors
import Testing

@Suite struct MetadataOverrideTests {
    static let read: [(String, String, MetadataValue)] = [
        ("general.author=str:Jane", "general.author", .string("Jane")),
        ("a.b=str:", "a.b", .string("")),
        ("a.b=str:x=y:z", "a.b", .string("x=y:z")),
        ("llama.context_length=u32:4096", "llama.context_length", .u32(4096)),
        ("x=int:5", "x", .u32(5)),
        ("x=int:-5", "x", .i64(-5)),
        ("x=float:0.5", "x", .f32(0.5)),
        ("x=f64:1e-300", "x", .f64(1e-300)),
        ("x=i8:-128", "x", .i8(-128)),
        ("x=u64:18446744073709551615", "x", .u64(.max)),
        ("x=bool:true", "x", .bool(true)),
        ("general.tags=arr[str]:a,b c,", "general.tags", .array(.strings(["a", "b c", ""]))),
        ("general.tags=arr[str]:[\"a,b\", \"c\"]", "general.tags", .array(.strings(["a,b", "c"]))),
        ("x=arr[i32]:1,-2", "x", .array(.i32([1, -2]))),
        ("x=arr[f32]:[1, 2.5]", "x", .array(.f32([1, 2.5]))),
        ("x=arr[bool]:true,false", "x", .array(.other(type: .bool, values: [.bool(true), .bool(false)]))),
        ("x=arr[u32]:", "x", .array(.u32([]))),
        ("general.alignment=u32:64", "general.alignment", .u32(64)),
    ]

    @Test(arguments: read)
    func isRead(_ entry: (argument: String, key: String, value: MetadataValue)) throws {
        let override = try MetadataOverride(argument: entry.argument)
        #expect(override.key == entry.key)
        #expect(override.value == entry.value)
    }

    @Test(arguments: [
        "", "x", "=str:a", "x=5", "x=u8:256", "x=u8:-1", "x=i32:1.5", "x=f32:", "x=f32:nan", "x=f32:1e99", "x=bool:1",
        "x=text:a", "x=arr[arr]:1", "x=arr[u8]:1,,2", "x=arr[i32]:[1", "x=arr[i32]:[[1]]", "a b=str:x", "x=arr:1",
        "general.architecture=u32:1", "general.alignment=u32:3", "general.alignment=u32:0", "general.alignment=i32:32",
        "split.count=u16:3",
    ])
    func isRefused(_ argument: String) {
        #expect { try MetadataOverride(argument: argument) } throws: { ($0 as? CheckpointError)?.kind == .usage }
    }

    @Test func keepsOrMovesItsPlace() throws {
        let overrides = [try MetadataOverride(argument: "b=u32:9"), try MetadataOverride(argument: "d=u32:4")]
        var metadata: Metadata = ["a": .u32(1), "b": .u32(2), "c": .u32(3)]
        MetadataOverride.apply(overrides, to: &metadata)
        #expect(Array(metadata.keys) == ["a", "b", "c", "d"])
        #expect(metadata["b"] == .u32(9))
        metadata = ["a": .u32(1), "b": .u32(2), "c": .u32(3)]
        MetadataOverride.apply(overrides, to: &metadata, movingToEnd: true)
        #expect(Array(metadata.keys) == ["a", "c", "b", "d"])
    }
}
