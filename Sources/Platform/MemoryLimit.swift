// How much memory a process can have.

/// Bytes of memory that this process can have: the machine's, or the limit of the container it runs in; nil where the
/// system does not tell.
public func memoryLimit() -> Int? {
    let (size, overflow) = sysconf(Int32(_SC_PHYS_PAGES)).multipliedReportingOverflow(by: sysconf(Int32(_SC_PAGESIZE)))
    let machine = overflow || size <= 0 ? nil : size
    // The control groups of Linux, version 2 and 1, as a container sees its own. No limit is a word, or a very large number.
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"].compactMap(number)
    return ([machine].compactMap { $0 } + limits).min()
}

/// The number that a short file holds.
private func number(in path: String) -> Int? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var text = [CChar](repeating: 0, count: 32)
    guard fgets(&text, Int32(text.count), file) != nil else { return nil }
    return Int(String(decoding: text.prefix { $0 >= 0x30 && $0 <= 0x39 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
}
