// What g++ calls from compiled kernels. -fsanitize=thread announces every load and store, -fsanitize=undefined what C++
// does not define. The libraries that come with them are not linked: these functions take their place.
#include "checker.h"

#define HOOK extern "C" __attribute__((visibility("default"))) void

namespace {

void announce(void* p, unsigned size, emulator::Access access, emulator::Place place) {
    auto* machine = emulator::sm;
    if (machine && machine->current && machine->checker) machine->checker->access(p, size, access, place);
}

// A piece of memory that is copied or filled as a whole.
void announce_range(void* p, size_t size, emulator::Access access, emulator::Place place) {
    auto* bytes = static_cast<char*>(p);
    const unsigned step = reinterpret_cast<uintptr_t>(p) % 4 || size % 4 ? 1 : 4;
    for (size_t i = 0; i < size; i += step) announce(bytes + i, step, access, place);
}

}  // namespace

#define HOOKS(prefix, size)                                                                                      \
    HOOK __tsan_##prefix##read##size(void* p) { announce(p, size, emulator::READ, EMULATOR_PLACE); }             \
    HOOK __tsan_##prefix##write##size(void* p) { announce(p, size, emulator::WRITE, EMULATOR_PLACE); }
#define HOOKS_OF_ALL_SIZES(prefix) \
    HOOKS(prefix, 1) HOOKS(prefix, 2) HOOKS(prefix, 4) HOOKS(prefix, 8) HOOKS(prefix, 16)

HOOKS_OF_ALL_SIZES()
HOOKS_OF_ALL_SIZES(unaligned_)
HOOKS_OF_ALL_SIZES(volatile_)
HOOKS_OF_ALL_SIZES(unaligned_volatile_)
HOOK __tsan_read_range(void* p, size_t n) { announce_range(p, n, emulator::READ, EMULATOR_PLACE); }
HOOK __tsan_write_range(void* p, size_t n) { announce_range(p, n, emulator::WRITE, EMULATOR_PLACE); }
HOOK __tsan_vptr_update(void*, void*) {}
HOOK __tsan_func_entry(void*) {}
HOOK __tsan_func_exit() {}
HOOK __tsan_init() {}

// The handlers get what they need to print the values; where it happened is enough here.
#define UNDEFINED(name, what)                                                                \
    HOOK __ubsan_handle_##name##_abort() {                                                   \
        emulator::find(emulator::MISSED_BOUND, EMULATOR_PLACE, nullptr, 0, -2, what);         \
        emulator::give_up();                                                                 \
    }
UNDEFINED(out_of_bounds, "an index is outside its array")
UNDEFINED(type_mismatch_v1, "the address is null or not a multiple of the type's alignment")
UNDEFINED(shift_out_of_bounds, "a shift by less than 0 or by more than the number of bits")
UNDEFINED(divrem_overflow, "an integer is divided by zero")
UNDEFINED(add_overflow, "a signed sum does not fit its type")
UNDEFINED(sub_overflow, "a signed difference does not fit its type")
UNDEFINED(mul_overflow, "a signed product does not fit its type")
UNDEFINED(negate_overflow, "a negated number does not fit its type")
