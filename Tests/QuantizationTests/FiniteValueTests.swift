// Which plain floats are no finite numbers, at every place of a run.

import Quantization
import Tensors
import Testing

@Suite struct FiniteValueTests {
    @Test(arguments: [DType.f16, .bf16, .f32, .f64]) func everyPlaceIsLookedAt(_ dtype: DType) {
        let size = dtype.blockBytes, count = 9000
        // The two highest bytes of infinity, of a negative NaN, and of the largest finite number.
        let (infinity, notANumber, largest): ([UInt8], [UInt8], [UInt8]) =
            switch dtype {
            case .f16: ([0x00, 0x7C], [0x01, 0xFE], [0xFF, 0x7B])
            case .f64: ([0xF0, 0x7F], [0xF8, 0xFF], [0xEF, 0x7F])
            default: ([0x80, 0x7F], [0xC0, 0xFF], [0x7F, 0x7F])
            }
        func bytes(_ top: [UInt8], at element: Int) -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: count * size)
            bytes.replaceSubrange((element + 1) * size - 2..<(element + 1) * size, with: top)
            return bytes
        }
        for element in [0, 1, 4095, 4096, 8999] {
            for top in [infinity, notANumber] {
                bytes(top, at: element).withUnsafeBytes { bytes in
                    #expect(FloatKernels.firstNotFinite(in: bytes, of: dtype) == element)
                    #expect(!FloatKernels.isFinite(element, in: bytes, of: dtype))
                    #expect(FloatKernels.isFinite(element == 0 ? 1 : element - 1, in: bytes, of: dtype))
                }
            }
            bytes(largest, at: element).withUnsafeBytes { bytes in
                #expect(FloatKernels.firstNotFinite(in: bytes, of: dtype) == nil)
            }
        }
        [UInt8]().withUnsafeBytes { #expect(FloatKernels.firstNotFinite(in: $0, of: dtype) == nil) }
    }

    @Test func otherTypesAreNotLookedAt() {
        [UInt8](repeating: 0xFF, count: 64).withUnsafeBytes { bytes in
            #expect(FloatKernels.firstNotFinite(in: bytes, of: .i8) == nil)
            #expect(FloatKernels.firstNotFinite(in: bytes, of: .q8_0) == nil)
        }
    }
}
