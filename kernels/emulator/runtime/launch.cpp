// One launch: its blocks on CPU threads, what ends it early, and what Python gets to know.
#include <dlfcn.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <numeric>
#include <thread>

#include "checker.h"
#ifdef __SSE__
#include <xmmintrin.h>
#endif

namespace emulator {
namespace {

std::mutex one_launch, findings_lock;
std::vector<Finding> findings;
std::vector<LineCost> costs;
std::atomic<uint64_t> next_block;
std::atomic<bool> stopped;
std::vector<std::unique_ptr<Multiprocessor>> machines;  // kept from launch to launch
constexpr size_t MOST_FINDINGS = 200;

// CuPy compiles with -ftz=true: numbers below the normal range count as zero. The CPU has a switch for it.
class FlushToZero {
  public:
#if defined(__SSE__)
    FlushToZero() : before_(_mm_getcsr()) { _mm_setcsr(before_ | 0x8040); }
    ~FlushToZero() { _mm_setcsr(before_); }
#elif defined(__aarch64__)
    FlushToZero() {
        asm volatile("mrs %0, fpcr" : "=r"(before_));
        asm volatile("msr fpcr, %0" : : "r"(before_ | 1 << 24));
    }
    ~FlushToZero() { asm volatile("msr fpcr, %0" : : "r"(before_)); }
#endif
  private:
    uint64_t before_ = 0;
};

// ---- signals: an address without memory, or the end of the time ----

const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGRTMIN + 7};
struct sigaction before[5];

Place interrupted_at(void* context) {
    auto* machine_state = &static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
    return reinterpret_cast<Place>(machine_state->gregs[REG_RIP] + 1);  // as a return address, one past the place
#elif defined(__aarch64__)
    return reinterpret_cast<Place>(machine_state->pc + 1);
#else
    return machine_state ? nullptr : nullptr;
#endif
}

void on_time(Place place) {
    sm->expired = true;
    const auto* p = static_cast<const char*>(place);
    // Elsewhere than in the kernel's own code somebody may hold a lock; the timer comes again.
    if (p > sm->image_begin && p <= sm->image_end) check_time(place);
}

void on_fault(int signal, void* address, Place place) {
    if (sm->doing) place = sm->doing;
    if (sm->stacks.guard(address)) fail(place, "the thread's stack of %d KB overflowed", STACK >> 10);
    if (signal == SIGFPE) fail(place, "an integer is divided by zero");
    if (signal == SIGILL) fail(place, "the program came to a place that it never should");
    const auto* p = static_cast<const char*>(address);
    for (int i = 0; i < sm->launch->buffer_count; ++i) {
        const Buffer& b = sm->launch->buffers[i];
        if (p < b.begin - (1 << 16) || p >= b.begin + b.size + (1 << 16)) continue;
        find(OUT_OF_BOUNDS, place, nullptr, p - b.begin, b.argument);
        give_up();
    }
    find(OUT_OF_BOUNDS, place);
    give_up();
}

void on_signal(int signal, siginfo_t* info, void* context) {
    if (!sm || !sm->running) {  // not ours: put back what was there, and let it happen again
        for (int i = 0; i < 4; ++i)
            if (SIGNALS[i] == signal) sigaction(signal, &before[i], nullptr);
        return;
    }
    const Place place = interrupted_at(context);
    if (signal == SIGNALS[4]) on_time(place);
    else on_fault(signal, info->si_addr, place);
}

void watch_signals() {
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    for (int i = 0; i < 5; ++i) sigaction(SIGNALS[i], &action, &before[i]);
}

void forget_signals() {
    for (int i = 0; i < 5; ++i) sigaction(SIGNALS[i], &before[i], nullptr);
}

// Signals on a stack of their own, as the one in use may have overflowed; and an alarm after so many seconds of work.
class Watch {
  public:
    explicit Watch(double seconds) {
        stack_t stack = {};
        stack.ss_sp = stack_;
        stack.ss_size = sizeof stack_;
        sigaltstack(&stack, &before_);
        if (seconds <= 0) return;
        sigevent event = {};
        event.sigev_notify = SIGEV_THREAD_ID;
        event.sigev_signo = SIGNALS[4];
        event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
        timed_ = timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer_) == 0;
        itimerspec times = {};
        times.it_value.tv_sec = static_cast<time_t>(seconds);
        times.it_value.tv_nsec = static_cast<long>((seconds - static_cast<double>(times.it_value.tv_sec)) * 1e9);
        times.it_interval.tv_nsec = 10'000'000;
        if (timed_) timer_settime(timer_, 0, &times, nullptr);
    }
    ~Watch() {
        if (timed_) timer_delete(timer_);
        sigaltstack(&before_, nullptr);
    }

  private:
    char stack_[1 << 16];
    stack_t before_;
    timer_t timer_;
    bool timed_ = false;
};

// ---- the kernel's module ----

struct Module {
    const void* inside;
    Multiprocessor* machine;
};

int look_at_module(dl_phdr_info* info, size_t, void* data) {
    auto* module = static_cast<Module*>(data);
    Multiprocessor& m = *module->machine;
    const auto* inside = static_cast<const char*>(module->inside);
    char *begin = nullptr, *end = nullptr;
    size_t shared_size = 0;
    for (int i = 0; i < info->dlpi_phnum; ++i) {
        const auto& part = info->dlpi_phdr[i];
        if (part.p_type == PT_TLS) shared_size = part.p_memsz;
        if (part.p_type != PT_LOAD) continue;
        char* p = reinterpret_cast<char*>(info->dlpi_addr + part.p_vaddr);
        if (!begin || p < begin) begin = p;
        if (p + part.p_memsz > end) end = p + part.p_memsz;
    }
    if (inside < begin || inside >= end) return 0;
    m.image_begin = begin;
    m.image_end = end;
    m.shared = static_cast<char*>(info->dlpi_tls_data);  // this CPU thread's own copy of the __shared__ variables
    m.shared_size = shared_size;
    return 1;
}

// ---- the blocks ----

uint64_t block_of(const Launch& launch, uint64_t turn, uint64_t count) {
    if (launch.order == REVERSE) return count - 1 - turn;
    if (launch.order == FORWARD || count == 1) return turn;
    uint64_t step = launch.seed % count | 1;  // a stride without a common divisor comes to every block once
    while (std::gcd(step, count) != 1) ++step;
    return (turn * step + launch.seed) % count;
}

void take_blocks(Multiprocessor& machine, const Launch& launch) {
    const uint64_t count = static_cast<uint64_t>(launch.grid[0]) * launch.grid[1] * launch.grid[2];
    Watch watch(launch.seconds);
    FlushToZero mode;
    if (sigsetjmp(machine.escape, 1) == 0) {
        machine.running = true;
        for (uint64_t turn; !stopped && (turn = next_block++) < count;)
            machine.run_block(block_of(launch, turn, count));
    } else {  // from give_up
        machine.abandon();
    }
    machine.running = false;
}

// What each CPU thread does.
void run_blocks(Multiprocessor& machine, const Launch& launch) try {
    launch.shared_anchor();  // the loader makes a CPU thread's copy when it is first touched
    Module module{reinterpret_cast<const void*>(launch.shared_anchor), &machine};
    dl_iterate_phdr(look_at_module, &module);
    machine.prepare(launch);
    machine.checker.reset(launch.checked ? new Checker(machine, launch) : nullptr);
    sm = &machine;
    take_blocks(machine, launch);
    sm = nullptr;
    if (machine.checker) costs = std::move(machine.checker->statistics.costs);
    machine.checker.reset();
} catch (const std::bad_alloc&) {
    stopped = true;
    find(FAILURE, nullptr, nullptr, 0, -2, "not enough memory to watch these arrays: 64 bytes for each 4 of theirs");
}

uint64_t offset_in_module(Place place, Place inside) {
    if (!place) return 0;
    Dl_info module, found;
    if (!dladdr(inside, &module) || !dladdr(place, &found) || module.dli_fbase != found.dli_fbase) return 0;
    return static_cast<const char*>(place) - static_cast<const char*>(module.dli_fbase) - 1;
}

}  // namespace

// ---- what was found ----

void find(int kind, Place place, Place other, int64_t offset, int buffer, const char* text) {
    const std::lock_guard<std::mutex> guard(findings_lock);
    for (auto& f : findings)
        if (f.kind == kind && f.place == place && f.other == other) {
            ++f.count;
            return;
        }
    if (findings.size() >= MOST_FINDINGS) return;
    Finding f{kind, buffer, place, other, offset, 1, blockIdx, threadIdx, ""};
    snprintf(f.text, sizeof f.text, "%s", text);
    findings.push_back(f);
}

void give_up() {
    stopped = true;
    siglongjmp(sm->escape, 1);
}

void fail(Place place, const char* text, ...) {
    char line[sizeof(Finding::text)];
    va_list values;
    va_start(values, text);
    vsnprintf(line, sizeof line, text, values);
    va_end(values);
    find(FAILURE, place, nullptr, 0, -2, line);
    give_up();
}

void check_time(Place place) {
    if (!sm->expired) return;
    sm->expired = false;
    fail(place, "still running after %g seconds", sm->launch->seconds);
}

}  // namespace emulator

using namespace emulator;

#define API extern "C" __attribute__((visibility("default")))

// Runs a kernel; false if it could not run to its end. The findings stay until the next launch.
API int emulator_launch(const Launch* launch, int* finding_count, int* cost_count) {
    const std::lock_guard<std::mutex> guard(one_launch);
    findings.clear();
    costs.clear();
    next_block = 0;
    stopped = false;
    while (machines.size() < static_cast<size_t>(launch->cpu_threads))
        machines.push_back(std::make_unique<Multiprocessor>());
    watch_signals();
    std::vector<std::thread> others;
    for (int i = 1; i < launch->cpu_threads; ++i)
        others.emplace_back([launch, i] { run_blocks(*machines[i], *launch); });
    run_blocks(*machines[0], *launch);
    for (auto& thread : others) thread.join();
    forget_signals();
    const auto inside = reinterpret_cast<Place>(launch->shared_anchor);
    for (auto& f : findings) {
        f.place = reinterpret_cast<Place>(offset_in_module(f.place, inside));
        f.other = reinterpret_cast<Place>(offset_in_module(f.other, inside));
    }
    for (auto& c : costs) c.place = reinterpret_cast<Place>(offset_in_module(c.place, inside));
    *finding_count = static_cast<int>(findings.size());
    *cost_count = static_cast<int>(costs.size());
    return !stopped;
}

API const Finding* emulator_findings() { return findings.data(); }
API const LineCost* emulator_costs() { return costs.data(); }
