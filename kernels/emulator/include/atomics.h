// Atomic operations: read, change and write one value with nobody in between; the old value is returned.
//
// Blocks may run on several CPU threads, so these are real atomics of the CPU: a loop around compare-and-swap.
#pragma once

namespace emulator {

template <class T, class Change> EMULATOR_NOT_TRACED T change_atomically(T* p, Change change) {
    T old, changed;
    __atomic_load(p, &old, __ATOMIC_RELAXED);
    do changed = change(old);
    while (!__atomic_compare_exchange(p, &old, &changed, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}

}  // namespace emulator

#define EMULATOR_ATOMIC(name, T, expression)                                                     \
    EMULATOR_NOT_TRACED inline T name(T* p, T v) {                                               \
        emulator::touch(p, sizeof(T), emulator::ATOMIC, EMULATOR_PLACE);                          \
        return emulator::change_atomically(p, [v](T old) -> T { return expression; });            \
    }
#define EMULATOR_ATOMIC_CAS(T)                                                                   \
    EMULATOR_NOT_TRACED inline T atomicCAS(T* p, T expected, T v) {                              \
        emulator::touch(p, sizeof(T), emulator::ATOMIC, EMULATOR_PLACE);                          \
        __atomic_compare_exchange(p, &expected, &v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);   \
        return expected;                                                                         \
    }
#define EMULATOR_ATOMICS(T)                                                                      \
    EMULATOR_ATOMIC(atomicAdd, T, static_cast<T>(old + v))                                       \
    EMULATOR_ATOMIC(atomicExch, T, (static_cast<void>(old), v))                                  \
    EMULATOR_ATOMIC(atomicMin, T, v < old ? v : old)                                             \
    EMULATOR_ATOMIC(atomicMax, T, old < v ? v : old)                                             \
    EMULATOR_ATOMIC(atomicAnd, T, old & v)                                                       \
    EMULATOR_ATOMIC(atomicOr, T, old | v)                                                        \
    EMULATOR_ATOMIC(atomicXor, T, old ^ v)                                                       \
    EMULATOR_ATOMIC_CAS(T)

EMULATOR_ATOMICS(int) EMULATOR_ATOMICS(unsigned) EMULATOR_ATOMICS(unsigned long long)
EMULATOR_ATOMIC(atomicSub, int, old - v) EMULATOR_ATOMIC(atomicSub, unsigned, old - v)
EMULATOR_ATOMIC(atomicMin, long long, v < old ? v : old) EMULATOR_ATOMIC(atomicMax, long long, old < v ? v : old)
EMULATOR_ATOMIC(atomicAdd, float, old + v) EMULATOR_ATOMIC(atomicAdd, double, old + v)
EMULATOR_ATOMIC(atomicExch, float, (static_cast<void>(old), v))
