// Vectors of one float per query, and what a flash kernel needs of them: loads of three data types and exp.
#pragma once

#include <cstdint>
#include <cstring>

namespace flash {

constexpr int LANES = 16;
typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Integers __attribute__((vector_size(4 * LANES)));

inline Vector all(float value) { return value - Vector{}; }

inline Vector load(const float *at) {
    Vector vector;
    std::memcpy(&vector, at, sizeof vector);
    return vector;
}

inline void store(float *at, Vector vector) { std::memcpy(at, &vector, sizeof vector); }

inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }

// exp(x) of x <= 0, 0 from -87 down, NaN of NaN. Cody and Waite's reduction to |r| <= ln(2) / 2 and the polynomial of
// Cephes' expf. The largest relative error over the floats from -87 to 0 is 8.6e-8; flash.py declares 1e-7.
inline Vector exponential(Vector x) {
    const float shift = 12582912.0f;  // 1.5 * 2^23: adding it rounds to a whole number
    Vector bounded = x < -87.0f ? all(-87.0f) : x;
    Vector shifted = bounded * 1.44269504f + shift;
    Vector n = shifted - shift;
    Vector r = bounded - n * 0.693145751953125f - n * 1.42860682e-6f;
    Vector p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    Integers exponent = ((Integers)shifted - 0x4B400000) << 23;
    Vector result = (Vector)((Integers)p + exponent);
    return x == x ? (x > -87.0f ? result : Vector{}) : x;
}

struct BFloat16 {
    uint16_t bits;
    operator float() const {
        uint32_t wide = uint32_t(bits) << 16;
        float value;
        std::memcpy(&value, &wide, sizeof value);
        return value;
    }
};

inline void round_to(float value, float &into) { into = value; }

inline void round_to(float value, _Float16 &into) { into = _Float16(value); }

inline void round_to(float value, BFloat16 &into) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    bool nan = value != value;
    into.bits = nan ? 0x7FC0 : uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

}  // namespace flash
