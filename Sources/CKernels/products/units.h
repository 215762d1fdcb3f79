// Rounding a group of floats to whole multiples of a unit far below the largest of them.
#ifndef PANNIER_UNITS_H
#define PANNIER_UNITS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/// A largest value so small that the unit's inverse would be infinite is not needed.
#define LEAST_LARGEST 0x1p-96f

/// The unit of which the largest value of a group is `limit` times.
/// @param largest the bits of the largest magnitude; as integers, NaN is above all.
/// @param inverse what values are multiplied with to become multiples.
/// @returns NaN, so that it shows in the product, for infinities and NaNs, which have no multiples.
static inline __attribute__((always_inline)) float unit_below(uint32_t largest, float limit, float *inverse) {
    float value;
    memcpy(&value, &largest, sizeof value);
    const int finite = largest < 0x7f800000u;
    if (value < LEAST_LARGEST) value = LEAST_LARGEST;
    *inverse = finite ? limit / value : 0;
    return finite ? value / limit : NAN;
}

#endif
