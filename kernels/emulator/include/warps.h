// What the 32 lanes of a warp do together: synchronise, exchange registers, vote, add.
#pragma once

constexpr int warpSize = 32;

namespace emulator {

inline int lane() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) & 31; }

inline void nothing(void**, unsigned) {}

template <class T> struct Shuffle {
    T value, result;
    int source;  // the lane whose value this lane wants
};

// Reading a lane that does not take part gives an undefined value: all ones, which is NaN for floats.
template <class T> EMULATOR_NOT_TRACED void exchange(void** messages, unsigned mask) {
    for (int i = 0; i < 32; ++i) {
        if (!(mask >> i & 1)) continue;
        auto* wish = static_cast<Shuffle<T>*>(messages[i]);
        if (mask >> wish->source & 1)
            wish->result = static_cast<Shuffle<T>*>(messages[wish->source])->value;
        else
            __builtin_memset(static_cast<void*>(&wish->result), 0xff, sizeof(T));
    }
}

template <class T>
EMULATOR_NOT_TRACED T shuffle(const Operation& operation, unsigned mask, T value, int source) {
    Shuffle<T> message{value, value, source & 31};
    collective(operation, mask, &message, exchange<T>, EMULATOR_PLACE);
    return message.result;
}

inline constexpr Operation SHFL{"__shfl_sync"}, SHFL_XOR{"__shfl_xor_sync"}, SHFL_UP{"__shfl_up_sync"},
    SHFL_DOWN{"__shfl_down_sync"}, VOTE{"a vote of the warp"}, REDUCE{"__reduce_..._sync"},
    MATCH{"__match_any_sync"}, SYNCWARP{"__syncwarp", true, true};

// Every lane leaves with `join` of all values.
template <class T, T (*join)(T, T)> EMULATOR_NOT_TRACED void fold(void** messages, unsigned mask) {
    T total{};
    bool first = true;
    for (int i = 0; i < 32; ++i) {
        if (!(mask >> i & 1)) continue;
        const T value = *static_cast<T*>(messages[i]);
        total = first ? value : join(total, value);
        first = false;
    }
    for (int i = 0; i < 32; ++i)
        if (mask >> i & 1) *static_cast<T*>(messages[i]) = total;
}
template <class T> T join_add(T a, T b) { return a + b; }
template <class T> T join_min(T a, T b) { return b < a ? b : a; }
template <class T> T join_max(T a, T b) { return a < b ? b : a; }
template <class T> T join_and(T a, T b) { return a & b; }
template <class T> T join_or(T a, T b) { return a | b; }
template <class T> T join_xor(T a, T b) { return a ^ b; }

template <class T> struct Match {
    T value;
    unsigned lanes;  // of those that take part, the ones with the same value
};
template <class T> EMULATOR_NOT_TRACED void match(void** messages, unsigned mask) {
    for (int i = 0; i < 32; ++i) {
        if (!(mask >> i & 1)) continue;
        auto* own = static_cast<Match<T>*>(messages[i]);
        for (int j = 0; j < 32; ++j)
            if (mask >> j & 1 && static_cast<Match<T>*>(messages[j])->value == own->value) own->lanes |= 1u << j;
    }
}

template <class T, T (*join)(T, T)>
EMULATOR_NOT_TRACED T reduce(const Operation& operation, unsigned mask, T value) {
    collective(operation, mask, &value, fold<T, join>, EMULATOR_PLACE);
    return value;
}

}  // namespace emulator

EMULATOR_NOT_TRACED inline void __syncwarp(unsigned mask = 0xffffffff) {
    emulator::collective(emulator::SYNCWARP, mask, nullptr, emulator::nothing, EMULATOR_PLACE);
}

// A warp can shuffle in groups of `width` lanes; a lane that would read past its group reads itself.
template <class T> __forceinline__ T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    const int first = emulator::lane() & ~(width - 1);
    return emulator::shuffle(emulator::SHFL, mask, value, first | (source & (width - 1)));
}
template <class T> __forceinline__ T __shfl_xor_sync(unsigned mask, T value, int pattern, int width = 32) {
    const int lane = emulator::lane(), other = lane ^ pattern;
    const bool past = (other & ~(width - 1)) > (lane & ~(width - 1));
    return emulator::shuffle(emulator::SHFL_XOR, mask, value, past ? lane : other);
}
template <class T> __forceinline__ T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const int lane = emulator::lane(), place = (lane & (width - 1)) + static_cast<int>(delta);
    return emulator::shuffle(emulator::SHFL_DOWN, mask, value, place >= width ? lane : lane + static_cast<int>(delta));
}
template <class T> __forceinline__ T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
    const int lane = emulator::lane(), place = (lane & (width - 1)) - static_cast<int>(delta);
    return emulator::shuffle(emulator::SHFL_UP, mask, value, place < 0 ? lane : lane - static_cast<int>(delta));
}

inline unsigned __activemask() { return emulator::active_mask(); }

__forceinline__ unsigned __ballot_sync(unsigned mask, int predicate) {
    const unsigned own = predicate ? 1u << emulator::lane() : 0;
    return emulator::reduce<unsigned, emulator::join_or>(emulator::VOTE, mask, own);
}
__forceinline__ int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
__forceinline__ int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

template <class T> EMULATOR_NOT_TRACED unsigned __match_any_sync(unsigned mask, T value) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "__match_any_sync compares 32 or 64 bits");
    emulator::Match<T> message{value, 0};
    emulator::collective(emulator::MATCH, mask, &message, emulator::match<T>, EMULATOR_PLACE);
    return message.lanes;
}

#define EMULATOR_REDUCE(name, T)                                                                 \
    __forceinline__ T __reduce_##name##_sync(unsigned mask, T value) {                            \
        return emulator::reduce<T, emulator::join_##name>(emulator::REDUCE, mask, value);         \
    }
EMULATOR_REDUCE(add, int) EMULATOR_REDUCE(min, int) EMULATOR_REDUCE(max, int)
EMULATOR_REDUCE(add, unsigned) EMULATOR_REDUCE(min, unsigned) EMULATOR_REDUCE(max, unsigned)
EMULATOR_REDUCE(and, unsigned) EMULATOR_REDUCE(or, unsigned) EMULATOR_REDUCE(xor, unsigned)
