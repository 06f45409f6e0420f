#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

namespace emulator {

constexpr size_t EACH = STACK + GUARD;

Stacks::Stacks() {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* p = mmap(nullptr, EACH * COUNT, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    begin_ = static_cast<char*>(p);
}

Stacks::~Stacks() { munmap(begin_, EACH * COUNT); }

char* Stacks::top(int number) const {
    mprotect(begin_ + EACH * number, GUARD, PROT_NONE);
    // Frames that start at the same place of every stack would all fall into the same sets of the cache.
    return begin_ + EACH * (number + 1) - 64 - number % 61 * 192;
}

bool Stacks::contain(const void* address) const { return address >= begin_ && address < begin_ + EACH * COUNT; }

bool Stacks::guard(const void* address) const {
    return contain(address) && static_cast<size_t>(static_cast<const char*>(address) - begin_) % EACH < GUARD;
}

Fiber::Fiber(char* stack_top, void (*body)()) : stack_top_(stack_top) { restart(body); }

#ifdef EMULATOR_UCONTEXT

void Fiber::restart(void (*body)()) {
    getcontext(&context_);
    constexpr int size = STACK - (64 << 8);  // the top is up to 12 KB below the end
    context_.uc_stack.ss_sp = stack_top_ - size;
    context_.uc_stack.ss_size = size;
    context_.uc_link = nullptr;
    makecontext(&context_, body, 0);
}

void Fiber::switch_to(Fiber& other) { swapcontext(&context_, &other.context_); }

#else

// Saves on the stack the registers that a function must preserve, stores the stack pointer in *save, takes `load` as
// the stack pointer and restores the registers found there. Its `return` then continues the other fiber.
extern "C" void emulator_switch(void** save, void* load);

#if defined(__x86_64__)
asm(R"(
.text
.type emulator_switch, @function
emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
)");
constexpr int SAVED = 8, RETURN = 6;  // words: six registers, where to return to, and no caller above that
#else
asm(R"(
.text
.type emulator_switch, %function
emulator_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
)");
constexpr int SAVED = 20, RETURN = 11;  // x30 holds where to return to
#endif

// A new fiber looks as if it had been left at the start of its body.
void Fiber::restart(void (*body)()) {
    auto** top = reinterpret_cast<void**>(stack_top_) - SAVED;
    memset(top, 0, SAVED * sizeof *top);
    top[RETURN] = reinterpret_cast<void*>(body);
    stack_pointer_ = top;
}

void Fiber::switch_to(Fiber& other) { emulator_switch(&stack_pointer_, other.stack_pointer_); }

#endif

}  // namespace emulator
