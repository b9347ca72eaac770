// Flash attention, forward, on a CPU: out and log-sum-exp of float32, bfloat16 and float16, in float32 inside.
//
// A task is one block of queries of one head, and goes over tiles of keys with an online softmax (Dao, FlashAttention-2,
// 2023). Queries lie in the lanes of vectors: the query block is transposed once, keys and values are broadcast from
// where they lie, and maximum and sum of a row never cross lanes. Every tile is summed by itself, then added.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "flash.hpp"

namespace flash {

constexpr int TILE = 64;         // keys of a tile; `TILE` of flash.py
constexpr int BROADCASTS = 6;    // keys, or columns of the values, that a step of a product holds in registers
constexpr float NEVER = -std::numeric_limits<float>::infinity();

struct Strides {
    int64_t batch, head, row;
};

template <typename T>
struct Attention {
    const T *query, *key, *value;
    T *out;
    float *lse;  // null where it is not asked for
    int64_t batch, query_heads, key_heads, queries, keys, dim, value_dim;
    Strides of_query, of_key, of_value;
    float scale;
    bool causal;
};

// into[i][lanes] = sum over t of rows[i * row + t * step] * lanes_of[t][lanes], for COUNT rows i.
template <int COUNT, int VECTORS>
inline void product(const float *rows, int64_t row, int64_t step, const float *lanes_of, int64_t terms, float *into) {
    constexpr int WIDTH = VECTORS * LANES;
    Vector sums[COUNT][VECTORS] = {};
    for (int64_t t = 0; t < terms; ++t) {
        Vector operand[VECTORS];
        for (int v = 0; v < VECTORS; ++v) operand[v] = load(lanes_of + t * WIDTH + v * LANES);
        for (int i = 0; i < COUNT; ++i) {
            Vector factor = all(rows[i * row + t * step]);
            for (int v = 0; v < VECTORS; ++v) sums[i][v] += factor * operand[v];
        }
    }
    for (int i = 0; i < COUNT; ++i)
        for (int v = 0; v < VECTORS; ++v) store(into + i * WIDTH + v * LANES, sums[i][v]);
}

template <int VECTORS>
void products(const float *rows, int64_t count, int64_t row, int64_t step, const float *lanes_of, int64_t terms,
              float *into) {
    constexpr int WIDTH = VECTORS * LANES;
    int64_t i = 0;
    for (; i + BROADCASTS <= count; i += BROADCASTS)
        product<BROADCASTS, VECTORS>(rows + i * row, row, step, lanes_of, terms, into + i * WIDTH);
    for (; i < count; ++i) product<1, VECTORS>(rows + i * row, row, step, lanes_of, terms, into + i * WIDTH);
}

// Rows in float32 and their stride: where they lie, or converted into `room`.
inline const float *widened(const float *rows, int64_t, int64_t, int64_t &, std::vector<float> &) { return rows; }

template <typename T>
const float *widened(const T *rows, int64_t count, int64_t dim, int64_t &row, std::vector<float> &room) {
    for (int64_t i = 0; i < count; ++i)
        for (int64_t d = 0; d < dim; ++d) room[i * dim + d] = float(rows[i * row + d]);
    row = dim;
    return room.data();
}

template <typename T, int VECTORS>
class Block {
    static constexpr int WIDTH = VECTORS * LANES;
    const Attention<T> &of;
    std::vector<float> query, weights, part, sum, wide_key, wide_value;
    Vector most[VECTORS], total[VECTORS];
    Integers last[VECTORS];  // the last key that each query sees

   public:
    explicit Block(const Attention<T> &of)
        : of(of), query(of.dim * WIDTH), weights(TILE * WIDTH), part(of.value_dim * WIDTH), sum(of.value_dim * WIDTH),
          wide_key(TILE * of.dim), wide_value(TILE * of.value_dim) {}

    void attend(int64_t batch, int64_t head, int64_t first) {
        int64_t rows = std::min<int64_t>(WIDTH, of.queries - first), key_head = head / (of.query_heads / of.key_heads);
        begin(of.query + batch * of.of_query.batch + head * of.of_query.head + first * of.of_query.row, rows, first);
        int64_t seen = of.causal ? std::min(of.keys, first + rows + of.keys - of.queries) : of.keys;
        const T *keys = of.key + batch * of.of_key.batch + key_head * of.of_key.head;
        const T *values = of.value + batch * of.of_value.batch + key_head * of.of_value.head;
        for (int64_t start = 0; start < seen; start += TILE) {
            int64_t count = std::min<int64_t>(TILE, seen - start);
            int64_t row = of.of_key.row, step = of.of_value.row;
            const float *tile = widened(keys + start * row, count, of.dim, row, wide_key);
            products<VECTORS>(tile, count, row, 1, query.data(), of.dim, weights.data());
            soften(start, count);
            const float *tile_of_values = widened(values + start * step, count, of.value_dim, step, wide_value);
            products<VECTORS>(tile_of_values, of.value_dim, 1, step, weights.data(), count, part.data());
            for (size_t i = 0; i < sum.size(); i += LANES) store(&sum[i], load(&sum[i]) + load(&part[i]));
        }
        end(((batch * of.query_heads + head) * of.queries + first), rows);
    }

   private:
    void begin(const T *rows, int64_t count, int64_t first) {
        std::fill(query.begin(), query.end(), 0.0f);
        for (int64_t i = 0; i < count; ++i)
            for (int64_t d = 0; d < of.dim; ++d) query[d * WIDTH + i] = float(rows[i * of.of_query.row + d]);
        std::fill(sum.begin(), sum.end(), 0.0f);
        for (int v = 0; v < VECTORS; ++v) {
            most[v] = all(NEVER);
            total[v] = Vector{};
            for (int lane = 0; lane < LANES; ++lane)
                last[v][lane] = int32_t(of.causal ? first + v * LANES + lane + of.keys - of.queries : of.keys);
        }
    }

    // Logits of a tile become weights; what was summed before is brought to the new maximum.
    void soften(int64_t start, int64_t count) {
        for (int v = 0; v < VECTORS; ++v) {
            float *column = weights.data() + v * LANES;
            Vector before = most[v], now = before;
            for (int64_t j = 0; j < count; ++j) {
                Vector logit = load(column + j * WIDTH) * of.scale;
                if (of.causal) logit = last[v] >= int32_t(start + j) ? logit : all(NEVER);
                store(column + j * WIDTH, logit);
                now = larger(logit, now);
            }
            Vector shift = now == NEVER ? Vector{} : now, added = {};
            Vector decay = exponential(before - shift);
            for (int64_t j = 0; j < count; ++j) {
                Vector weight = exponential(load(column + j * WIDTH) - shift);
                store(column + j * WIDTH, weight);
                added += weight;
            }
            total[v] = total[v] * decay + added;
            most[v] = now;
            for (int64_t d = 0; d < of.value_dim; ++d) {
                float *at = &sum[d * WIDTH + v * LANES];
                store(at, load(at) * decay);
            }
        }
    }

    void end(int64_t row, int64_t count) {
        for (int64_t i = 0; i < count; ++i) {
            float weight = total[i / LANES][i % LANES];
            float inverse = weight > 0.0f ? 1.0f / weight : 0.0f;
            for (int64_t d = 0; d < of.value_dim; ++d)
                round_to(sum[d * WIDTH + i] * inverse, of.out[(row + i) * of.value_dim + d]);
            if (of.lse) of.lse[row + i] = most[i / LANES][i % LANES] + std::log(weight);
        }
    }
};

template <typename T, int VECTORS>
void attend(const Attention<T> &of, int threads) {
    constexpr int WIDTH = VECTORS * LANES;
    int64_t blocks = (of.queries + WIDTH - 1) / WIDTH, tasks = of.batch * of.query_heads * blocks;
    std::atomic<int64_t> next{0};
    auto work = [&] {
        Block<T, VECTORS> block(of);
        for (int64_t task; (task = next++) < tasks;) {
            // The last queries first: under a causal mask they see the most keys.
            int64_t head = task % (of.batch * of.query_heads), first = blocks - 1 - task / (of.batch * of.query_heads);
            block.attend(head / of.query_heads, head % of.query_heads, first * WIDTH);
        }
    };
    std::vector<std::thread> others;
    for (int64_t i = 1; i < std::min<int64_t>(threads, tasks); ++i) others.emplace_back(work);
    work();
    for (auto &other : others) other.join();
}

template <typename T>
void forward(const Attention<T> &of, int threads) {
    if (of.queries <= LANES)
        attend<T, 1>(of, threads);
    else
        attend<T, 4>(of, threads);
}

}  // namespace flash

#define FLASH_FORWARD(NAME, TYPE)                                                                                     \
    extern "C" void NAME(const void *query, const void *key, const void *value, void *out, float *lse, int64_t batch,  \
                         int64_t query_heads, int64_t key_heads, int64_t queries, int64_t keys, int64_t dim,           \
                         int64_t value_dim, int64_t query_batch, int64_t query_head, int64_t query_row,                \
                         int64_t key_batch, int64_t key_head, int64_t key_row, int64_t value_batch,                    \
                         int64_t value_head, int64_t value_row, float scale, bool causal, int32_t threads) {           \
        flash::forward<TYPE>({(const TYPE *)query, (const TYPE *)key, (const TYPE *)value, (TYPE *)out, lse, batch,    \
                              query_heads, key_heads, queries, keys, dim, value_dim,                                   \
                              {query_batch, query_head, query_row}, {key_batch, key_head, key_row},                    \
                              {value_batch, value_head, value_row}, scale, causal},                                    \
                             threads);                                                                                 \
    }

FLASH_FORWARD(flash_float32, float)
FLASH_FORWARD(flash_bfloat16, flash::BFloat16)
FLASH_FORWARD(flash_float16, _Float16)

extern "C" void flash_exponential(const float *from, float *into, int64_t count) {
    for (int64_t i = 0; i + flash::LANES <= count; i += flash::LANES)
        flash::store(into + i, flash::exponential(flash::load(from + i)));
}
