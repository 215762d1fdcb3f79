// Keys of metadata as they come out of a file.

internal import Bytes
internal import OrderedCollections

extension OrderedDictionary where Key == String {
    /// Refuses a key that is there already. Names are bytes to a file, and to `Metadata` they are text: of two keys that are
    /// one text in different code points ("é" alone and as "e" with an accent) one would be lost.
    /// - Parameter offset: where the key stands in the file.
    func check(isNew key: String, file: String, offset: UInt64) throws {
        guard let known = index(forKey: key) else { return }
        guard ExactText(keys[known]) != ExactText(key) else {
            throw CheckpointError.malformed("the key stands twice in the metadata", file: file, place: key, offset: offset)
        }
        throw CheckpointError.unsupported(
            "the key differs from another in its Unicode form alone", file: file, place: key, offset: offset,
            remedy: "rename one of the two keys")
    }
}
