// The machine: a multiprocessor runs one block at a time, thread by thread, on one CPU thread.
#pragma once
#include <csetjmp>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "fiber.h"
#define EMULATOR_RUNTIME
#include "../include/runtime.h"

extern EMULATOR_THREAD_LOCAL uint3 threadIdx, blockIdx;
extern EMULATOR_THREAD_LOCAL dim3 blockDim, gridDim;

namespace emulator {

constexpr int MOST_THREADS = 1024, WARP = 32;
constexpr size_t MOST_DYNAMIC = 227 << 10;

// What was found. Python knows the same numbers (findings.py).
enum Kind {
    FAILURE,  // `text` says what; the launch stopped
    OUT_OF_BOUNDS,
    RACE,
    UNINITIALISED,
    MISALIGNED,
    NOT_WAITED_FOR,   // memory that a cp.async still writes to
    DIVERGED,         // threads met at different lines
    RETURNED,         // threads had returned when the others met at a barrier
    STUCK,            // one group of waiting threads of a deadlock
    MISSED_BOUND,     // -fsanitize=bounds and its kin: `text` says which
};

struct Finding {
    int kind;
    int buffer;        // which argument; -1 shared memory, -2 neither
    Place place, other;  // where it happened, and where the access stands that it collides with
    int64_t offset;    // in bytes
    uint64_t count;
    uint3 block, thread;
    char text[96];
};

struct Buffer {
    char* begin;
    size_t size;
    int argument;
};

enum Order { FORWARD, REVERSE, RANDOM };

// One launch as Python asks for it (launch.py has the same fields), and what came of it.
struct Launch {
    const Kernel* kernel;
    void* (*shared_anchor)();
    void** arguments;
    const Buffer* buffers;
    int buffer_count;
    const uint64_t* guards;  // where among the __shared__ variables g++ keeps flags of its own
    int guard_count;
    unsigned grid[3], block[3];
    unsigned dynamic_size;
    int order;
    uint64_t seed;
    int cpu_threads;
    int checked;     // trace mode
    int counted;     // statistics
    double seconds;  // that one CPU thread may spend; 0 for no limit
};

struct Copy {  // a cp.async under way
    char* to;
    const char* from;
    unsigned size, valid;
    Place place;
};

struct Thread {
    uint3 index;
    int number;
    Fiber* fiber = nullptr;
    bool done = false;
    Place waits_at = nullptr;         // where, or null while it can run
    const char* waits_for = nullptr;
    std::vector<std::vector<Copy>> copies;  // groups of cp.async; the last one is not committed yet
    uint32_t known[WARP];             // up to which time of the warp it knows the memory accesses of each lane
    std::vector<uint32_t> visits;     // how often it made the access of each line: to group a warp's requests
    int warp() const { return number / WARP; }
    int lane() const { return number % WARP; }
};

struct Meeting {  // lanes of a warp that came to the same intrinsic
    unsigned mask, arrived;
    const Operation* operation;
    Place place;
    void* messages[WARP];
};

struct Warp {
    unsigned existing, alive;  // lanes
    uint32_t time;             // counts the moments at which memory was ordered
    Meeting meetings[WARP];    // by their lowest lane
};

class Checker;

class Multiprocessor {
  public:
    Multiprocessor();
    ~Multiprocessor();
    void prepare(const Launch& launch);
    void run_block(uint64_t number);
    void abandon();  // after a failure: no fiber is where it seems to be

    // Called from the fibers.
    void run_threads();
    void arrive_at_barrier(Place place);
    int vote_at_barrier(int predicate, int kind, Place place);
    void meet(const Operation& operation, unsigned mask, void* message, Perform perform, Place place);
    void start_copy(const Copy& copy);
    void commit_copies();
    void finish_copies(unsigned in_flight);

    const Launch* launch = nullptr;
    Thread* current = nullptr;
    Thread threads[MOST_THREADS];
    Warp warps[MOST_THREADS / WARP];
    int count = 0, alive = 0;
    uint32_t block_number = 0, barrier_time = 0;
    char *shared = nullptr, *dynamic;  // where this block's shared memory lies
    size_t shared_size = 0;
    char *image_begin = nullptr, *image_end = nullptr;  // where the compiled kernel lies
    Stacks stacks;
    std::unique_ptr<Checker> checker;

    sigjmp_buf escape;
    bool running = false;
    volatile bool expired = false;  // the time for this launch is over
    Place doing = nullptr;  // the line for which the runtime copies memory

  private:
    Thread* next_thread();
    void go_on();
    void resume(Thread& thread);
    void wake(Thread** waiting, int n);
    void finish_thread();
    void release_barrier();
    void order_memory(Warp& warp, unsigned mask);
    [[noreturn]] void deadlock();
    uint32_t random();

    Fiber main_;
    std::deque<Fiber> fibers_;
    std::vector<Fiber*> idle_;
    Fiber* running_fiber_ = nullptr;
    std::vector<Thread*> unstarted_;  // taken from the back
    std::deque<Thread*> ready_;
    Thread* at_barrier_[MOST_THREADS];
    int waiting_ = 0, returned_ = 0, votes_ = 0, tally_ = 0, outcome_ = 0;
    uint64_t random_state_ = 1;
};

extern EMULATOR_THREAD_LOCAL Multiprocessor* sm;  // the one that this CPU thread plays

void find(int kind, Place place, Place other = nullptr, int64_t offset = 0, int buffer = -2, const char* text = "");
[[noreturn]] void fail(Place place, const char* text, ...) __attribute__((format(printf, 2, 3)));
[[noreturn]] void give_up();
void check_time(Place place);

}  // namespace emulator
