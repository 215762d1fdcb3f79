// Elapsed time.

internal import Dispatch

/// Seconds between laps, by a clock that never goes back.
package struct Stopwatch {
    private var last = DispatchTime.now().uptimeNanoseconds

    package init() {}

    package mutating func lap() -> Double {
        let now = DispatchTime.now().uptimeNanoseconds
        defer { last = now }
        return Double(now - last) / 1e9
    }
}
