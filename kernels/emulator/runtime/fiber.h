// A fiber: a stack and a place in a program, to be left and entered again by hand. One CUDA thread runs on one.
#pragma once
#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(EMULATOR_UCONTEXT)
#define EMULATOR_UCONTEXT  // a processor without a hand-written switch: the C library's, 20 times slower
#endif
#ifdef EMULATOR_UCONTEXT
#include <ucontext.h>
#endif

namespace emulator {

constexpr int STACK = 128 << 10, GUARD = 64 << 10;  // bytes; the guard below each stack cannot be touched

// Memory for the stacks of a block's threads. It is taken from the system page by page, when it is touched.
class Stacks {
  public:
    static constexpr int COUNT = 1024;
    Stacks();
    ~Stacks();
    char* top(int number) const;  // of a stack; it grows downwards
    bool contain(const void* address) const;
    bool guard(const void* address) const;  // is it below a stack, where an overflow lands?

  private:
    char* begin_;
};

class Fiber {
  public:
    Fiber() = default;  // the stack that this CPU thread already has, to come back to
    Fiber(char* stack_top, void (*body)());
    void restart(void (*body)());   // forget where it was
    void switch_to(Fiber& other);   // until somebody switches to this one

  private:
    char* stack_top_ = nullptr;
#ifdef EMULATOR_UCONTEXT
    ucontext_t context_;
#else
    void* stack_pointer_ = nullptr;
#endif
};

}  // namespace emulator
