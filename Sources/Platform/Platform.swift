// The platform's C library under one name: system calls and the functions of math.h.

#if canImport(Glibc)
    @_exported public import Glibc
#elseif canImport(Musl)
    @_exported public import Musl
#elseif canImport(Darwin)
    @_exported public import Darwin
#endif

/// Maps the pages of a mapped file that a range of memory lies in, reading what is not in memory yet. Where the system has no
/// such call, nothing happens: they come one by one when they are touched.
package func mapPagesToRead(_ memory: UnsafeRawBufferPointer) {
    #if os(Linux)
        let populateRead: Int32 = 22  // MADV_POPULATE_READ, since Linux 5.14
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        guard page > 0, let base = memory.baseAddress else { return }
        let from = UnsafeRawPointer(base).alignedDown(toMultipleOf: page)
        madvise(UnsafeMutableRawPointer(mutating: from), memory.count + (base - from), populateRead)
    #endif
}
