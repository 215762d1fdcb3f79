// Numbers out of a file: what does not fit is nil, and nothing traps.

import Bytes
import Testing

@Suite struct CheckedArithmeticTests {
    @Test func alignedUpIsTheNextMultiple() {
        #expect(0.alignedUp(to: 32) == 0)
        #expect(1.alignedUp(to: 32) == 32)
        #expect(32.alignedUp(to: 32) == 32)
        #expect(Int.max.alignedUp(to: 1) == .max)
        #expect(Int.max.alignedUp(to: .max) == .max)
        #expect(Int.max.alignedUp(to: 2) == nil)
        #expect(UInt64.max.alignedUp(to: 64) == nil)
        #expect((UInt64.max - 63).alignedUp(to: 64) == UInt64.max - 63)
    }

    @Test(arguments: [-1, -2, -64, Int.min, Int.min + 1]) func whatIsNegativeHasNoNextMultiple(number: Int) {
        for alignment in [1, 2, 64, Int.max] { #expect(number.alignedUp(to: alignment) == nil) }
        for other in [0, 1, Int.max, Int.min] { #expect(other.alignedUp(to: number) == nil) }
        #expect(64.alignedUp(to: 0) == nil)
    }
}
