// The border between a kernel (compiled by g++ with shim.h in front) and the machine that runs it (../runtime).
//
// A kernel is compiled without any host header, as NVRTC does it; so this file declares all that it shares with the
// runtime, and the runtime includes it too.
#pragma once

// What the shim does by itself must not look like an access of the kernel's to the checker.
#define EMULATOR_NOT_TRACED __attribute__((noinline, no_sanitize("thread"), no_sanitize("undefined")))
#define EMULATOR_THREAD_LOCAL __thread __attribute__((tls_model("initial-exec")))
#define EMULATOR_PLACE __builtin_return_address(0)  // in a function that is not inlined: the line that calls it

using size_t = decltype(sizeof 0);
using ptrdiff_t = decltype(static_cast<char*>(nullptr) - static_cast<char*>(nullptr));

#pragma GCC visibility push(default)  // all of this is the runtime's; a kernel's own names are its own

struct uint3 { unsigned x, y, z; };

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

#ifndef EMULATOR_RUNTIME  // for a kernel they are constants: they never change while one of its threads runs
extern const EMULATOR_THREAD_LOCAL uint3 threadIdx, blockIdx;
extern const EMULATOR_THREAD_LOCAL dim3 blockDim, gridDim;
#endif

void __syncthreads();
int __syncthreads_count(int predicate);
int __syncthreads_and(int predicate);
int __syncthreads_or(int predicate);

namespace emulator {

using Place = const void*;  // an address in the compiled kernel; Python turns it into a file and a line

enum Access { READ, WRITE, ATOMIC };

// An access to memory that the shim makes for the kernel. Without trace mode it costs a call and does nothing.
void touch(const void* address, unsigned size, Access access, Place place);

// Something that the lanes of a warp do together. Each lane in `mask` comes with a message; the last one to come
// runs `perform` on the messages of all, and then they all go on.
using Perform = void (*)(void** messages, unsigned mask);
struct Operation {
    const char* name;
    bool orders_memory;  // __syncwarp: what was written before it is seen after it
    bool any_line;       // the lanes may call it from different lines
};
void collective(const Operation& operation, unsigned mask, void* message, Perform perform, Place place);

unsigned active_mask();         // the lanes of this warp that have not returned
void* dynamic_shared_memory();  // extern __shared__ T name[];

void copy_async(void* to, const void* from, unsigned size, unsigned valid, Place place);
void copy_async_commit();
void copy_async_wait(unsigned groups_in_flight);

[[noreturn]] void trap(Place place);

// One parameter of a kernel as Python checks it, and one kernel of a module.
struct Parameter {
    const char* type;  // NumPy's name of it, or of what it points to; "" if NumPy has none
    int is_pointer, is_constant;
    unsigned size;
};
struct Kernel {
    const char* name;
    void (*run)(void** arguments);
    const Parameter* parameters;
    int count, max_threads;
};

}  // namespace emulator

#pragma GCC visibility pop
