// Plain attention of float32 with a bug of the tests' choice, which no value of the result shows.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <thread>

#include "attend.hpp"

static volatile float sink;
static volatile int zero = 0;

extern "C" int attend(const float *query, const float *key, const float *value, float *out, float *lse, int64_t batch,
                      int64_t heads, int64_t queries, int64_t keys, int64_t dim, float scale, float *workspace) {
    int64_t rows = batch * heads * queries, last = batch * heads * keys * dim;
#if defined(READ_PAST_KEY)
    sink = key[last];
#elif defined(READ_BEFORE_VALUE)
    sink = value[-1];
#elif defined(WRITE_BEFORE_OUT)
    out[-1] = 1.0f;
#elif defined(WRITE_PAST_LSE)
    if (lse) lse[rows] = 1.0f;
#elif defined(WRITE_INTO_QUERY)
    const_cast<volatile float *>(query)[1] = query[1];
#elif defined(READ_PAST_WORKSPACE)
    sink = workspace[rows * keys];
#elif defined(READ_PAST_KEY_IN_A_THREAD)
    std::thread([&] { sink = key[last + 100]; }).join();
#elif defined(NULL_POINTER)
    sink = *(const float *)(intptr_t)zero;
#elif defined(HANG)
    while (!zero) usleep(1000);
#elif defined(NEEDS_ALIGNMENT)
    if ((intptr_t)key % 64 || (intptr_t)out % 64) abort();
#elif defined(ABORT)
    abort();
#elif defined(EXIT)
    _exit(0);
#elif defined(STATUS)
    return 7;
#elif defined(FAR_AWAY)
    sink = key[(int64_t)1 << 44];
#endif
    for (int64_t row = 0; row < rows; ++row) {
        const float *q = query + row * dim, *k = key + row / queries * keys * dim, *v = value + row / queries * keys * dim;
        float *weight = workspace + row * keys, most = -std::numeric_limits<float>::infinity(), sum = 0.0f;
        for (int64_t j = 0; j < keys; ++j) {
            weight[j] = 0.0f;
            for (int64_t d = 0; d < dim; ++d) weight[j] += q[d] * k[j * dim + d];
            weight[j] *= scale;
            most = std::fmax(most, weight[j]);
        }
        for (int64_t j = 0; j < keys; ++j) sum += weight[j] = std::exp(weight[j] - most);
        for (int64_t d = 0; d < dim; ++d) {
            float total = 0.0f;
            for (int64_t j = 0; j < keys; ++j) total += weight[j] * v[j * dim + d];
            out[row * dim + d] = total / sum;
        }
        if (lse) lse[row] = most + std::log(sum);
    }
    return 0;
}

// The result of one key is its value: bfloat16 in, float32 out.
extern "C" void only_key(const uint16_t *value, float *out, int64_t queries, int64_t dim) {
    for (int64_t i = 0; i < queries * dim; ++i) {
#ifdef LEAVES_THE_LAST
        if (i == queries * dim - 1) return;
#endif
        uint32_t bits = (uint32_t)value[i % dim] << 16;
        std::memcpy(out + i, &bits, sizeof bits);
    }
}
