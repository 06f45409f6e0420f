// Who runs next: threads start one after another, wait at barriers and in warps, and wake each other.
//
// A thread that never waits runs from start to end on the fiber of its predecessor, so that a kernel without barriers
// is a plain loop. The order of threads is free in CUDA; a correct kernel gives the same result in each of ours.
#include <cstring>
#include <utility>

#include "checker.h"
#include "machine.h"

EMULATOR_THREAD_LOCAL uint3 threadIdx, blockIdx;
EMULATOR_THREAD_LOCAL dim3 blockDim, gridDim;

namespace emulator {

EMULATOR_THREAD_LOCAL Multiprocessor* sm;

namespace {

unsigned lanes(int n) { return n >= WARP ? ~0u : (1u << n) - 1; }

void fiber_body() { sm->run_threads(); }

}  // namespace

Multiprocessor::Multiprocessor() : dynamic(new (std::align_val_t(256)) char[MOST_DYNAMIC]) {}
Multiprocessor::~Multiprocessor() { operator delete[](dynamic, std::align_val_t(256)); }

void Multiprocessor::prepare(const Launch& l) {
    launch = &l;
    gridDim = dim3(l.grid[0], l.grid[1], l.grid[2]);
    blockDim = dim3(l.block[0], l.block[1], l.block[2]);
    count = l.block[0] * l.block[1] * l.block[2];
    for (unsigned i = 0; i < static_cast<unsigned>(count); ++i) {
        threads[i].number = i;
        threads[i].index = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    }
    random_state_ = l.seed * 0x9e3779b97f4a7c15ull + 0x2545f4914f6cdd1dull;
    barrier_time = 0;
    expired = false;
}

void Multiprocessor::abandon() {
    idle_.clear();
    for (auto& fiber : fibers_) {
        fiber.restart(fiber_body);
        idle_.push_back(&fiber);
    }
    current = nullptr;
}

uint32_t Multiprocessor::random() {  // xorshift
    random_state_ ^= random_state_ << 13;
    random_state_ ^= random_state_ >> 7;
    random_state_ ^= random_state_ << 17;
    return random_state_ >> 16;
}

// ---- one block ----

void Multiprocessor::run_block(uint64_t number) {
    const uint64_t x = launch->grid[0], y = launch->grid[1];
    block_number = static_cast<uint32_t>(number);
    blockIdx = {static_cast<unsigned>(number % x), static_cast<unsigned>(number / x % y),
                static_cast<unsigned>(number / x / y)};
    ++barrier_time;
    alive = count;
    waiting_ = returned_ = votes_ = tally_ = 0;
    ready_.clear();
    unstarted_.clear();
    for (int i = 0; i < count; ++i) {
        Thread& t = threads[i];
        t.done = false;
        t.fiber = nullptr;
        t.waits_at = nullptr;
        if (!t.copies.empty()) t.copies.clear();
        unstarted_.push_back(&threads[launch->order == REVERSE ? i : count - 1 - i]);
    }
    for (int w = 0; w * WARP < count; ++w) {
        warps[w].existing = warps[w].alive = lanes(count - w * WARP);
        for (auto& meeting : warps[w].meetings) meeting.arrived = 0;
    }
    // What nobody has written is NaN, in whatever float format it is read.
    memset(shared, 0xff, shared_size);
    memset(dynamic, 0xff, launch->dynamic_size);
    if (checker) checker->start_block();
    running_fiber_ = &main_;
    go_on();
    current = nullptr;
    if (alive) deadlock();
    if (checker) checker->finish_block();
}

void Multiprocessor::deadlock() {
    for (int i = 0; i < count; ++i) {
        Thread& t = threads[i];
        if (t.done) continue;
        current = &t;
        threadIdx = t.index;
        find(STUCK, t.waits_at, nullptr, 0, -2, t.waits_for);
    }
    give_up();
}

// ---- choosing the next thread ----

Thread* Multiprocessor::next_thread() {
    const bool random_order = launch->order == RANDOM;
    const bool start = !unstarted_.empty() && (ready_.empty() || (random_order && random() & 1));
    if (start) {
        if (random_order) std::swap(unstarted_[random() % unstarted_.size()], unstarted_.back());
        Thread* t = unstarted_.back();
        unstarted_.pop_back();
        return t;
    }
    if (ready_.empty()) return nullptr;
    if (random_order) std::swap(ready_[random() % ready_.size()], ready_.front());
    Thread* t = ready_.front();
    ready_.pop_front();
    return t;
}

// Leaves the running fiber until somebody comes back to it.
void Multiprocessor::go_on() {
    Thread* t = next_thread();
    if (t) return resume(*t);
    Fiber* from = std::exchange(running_fiber_, &main_);  // all have returned, or all wait
    from->switch_to(main_);
}

void Multiprocessor::resume(Thread& t) {
    current = &t;
    threadIdx = t.index;
    if (!t.fiber) {
        if (idle_.empty()) {
            fibers_.emplace_back(stacks.top(static_cast<int>(fibers_.size())), fiber_body);
            idle_.push_back(&fibers_.back());
        }
        t.fiber = idle_.back();
        idle_.pop_back();
    }
    if (t.fiber == running_fiber_) return;
    Fiber* from = std::exchange(running_fiber_, t.fiber);
    from->switch_to(*t.fiber);
}

// The body of every fiber.
void Multiprocessor::run_threads() {
    for (;;) {
        launch->kernel->run(launch->arguments);
        finish_thread();
        idle_.push_back(running_fiber_);  // the last one in is the first one out: an unstarted thread gets this fiber
        go_on();
    }
}

void Multiprocessor::finish_thread() {
    current->done = true;
    --alive;
    ++returned_;
    warps[current->warp()].alive &= ~(1u << current->lane());
    if (waiting_ && waiting_ == alive) release_barrier();
}

void Multiprocessor::wake(Thread** waiting, int n) {
    for (int i = 0; i < n; ++i) {
        Thread* t = waiting[launch->order == REVERSE ? n - 1 - i : i];
        t->waits_at = nullptr;
        ready_.push_back(t);
    }
}

// ---- barriers of the block ----

void Multiprocessor::arrive_at_barrier(Place place) {
    check_time(place);
    if (waiting_ && at_barrier_[0]->waits_at != place) find(DIVERGED, place, at_barrier_[0]->waits_at);
    current->waits_at = place;
    current->waits_for = "__syncthreads";
    at_barrier_[waiting_++] = current;
    if (waiting_ == alive) release_barrier();
    go_on();
}

void Multiprocessor::release_barrier() {
    if (returned_) find(RETURNED, at_barrier_[0]->waits_at, nullptr, returned_);
    ++barrier_time;
    outcome_ = tally_;
    votes_ = tally_ = 0;
    const int n = std::exchange(waiting_, 0);
    wake(at_barrier_, n);
}

int Multiprocessor::vote_at_barrier(int predicate, int kind, Place place) {
    const int yes = predicate != 0;
    tally_ = !votes_++ ? yes : kind == '+' ? tally_ + yes : kind == '&' ? tally_ & yes : tally_ | yes;
    arrive_at_barrier(place);
    return outcome_;  // nobody can complete the next barrier before this thread has come to it
}

// ---- meetings of a warp ----

void Multiprocessor::meet(const Operation& operation, unsigned mask, void* message, Perform perform, Place place) {
    check_time(place);
    Warp& warp = warps[current->warp()];
    const int lane = current->lane();
    mask &= warp.existing;  // lanes past the end of the block never were there
    const char* name = operation.name;
    if (!(mask >> lane & 1)) fail(place, "%s: the mask 0x%08x does not name its own lane %d", name, mask, lane);
    if (const unsigned gone = mask & ~warp.alive)
        fail(place, "%s: the mask 0x%08x names lanes that have returned (0x%08x)", name, mask, gone);
    Meeting& meeting = warp.meetings[__builtin_ctz(mask)];
    if (!meeting.arrived) {
        meeting.mask = mask;
        meeting.operation = &operation;
        meeting.place = place;
    } else if (meeting.mask != mask) {
        fail(place, "%s: lanes came with different masks, 0x%08x and 0x%08x", name, mask, meeting.mask);
    } else if (strcmp(meeting.operation->name, name) != 0) {
        fail(place, "%s: other lanes of the same mask came to %s", name, meeting.operation->name);
    } else if (meeting.place != place && !operation.any_line) {
        find(DIVERGED, place, meeting.place);
    }
    meeting.messages[lane] = message;
    meeting.arrived |= 1u << lane;
    current->waits_at = place;
    current->waits_for = name;
    if (meeting.arrived != mask) return go_on();
    perform(meeting.messages, mask);
    meeting.arrived = 0;
    if (operation.orders_memory) order_memory(warp, mask);
    Thread* waiting[WARP];
    int n = 0;
    for (int i = 0; i < WARP; ++i)
        if (mask >> i & 1 && i != lane) waiting[n++] = current - lane + i;
    const bool stay = launch->order != RANDOM;  // the last one to come goes on at once
    if (!stay) waiting[n++] = current;
    current->waits_at = nullptr;
    wake(waiting, n);
    if (!stay) go_on();
}

// From now on each lane in the mask knows what each of them knew, and all they have done themselves.
void Multiprocessor::order_memory(Warp& warp, unsigned mask) {
    if (!checker) return;
    Thread* first = current - current->lane();
    uint32_t joined[WARP] = {};
    for (int i = 0; i < WARP; ++i)
        for (int j = 0; j < WARP && mask >> i & 1; ++j)
            if (first[i].known[j] > joined[j]) joined[j] = first[i].known[j];
    for (int i = 0; i < WARP; ++i)
        if (mask >> i & 1) joined[i] = warp.time;
    for (int i = 0; i < WARP; ++i)
        if (mask >> i & 1) memcpy(first[i].known, joined, sizeof joined);
    ++warp.time;
}

// ---- cp.async: the copy happens when it is waited for; until then nobody may look ----

void Multiprocessor::start_copy(const Copy& copy) {
    const auto aligned = [&](const void* p) { return reinterpret_cast<uintptr_t>(p) % copy.size == 0; };
    if (!aligned(copy.to) || (copy.valid && !aligned(copy.from)))
        fail(copy.place, "cp.async: addresses must be multiples of its %u bytes", copy.size);
    if (checker) checker->start_copy(copy);
    memset(copy.to, 0xff, copy.size);
    auto& groups = current->copies;
    if (groups.empty()) groups.emplace_back();
    groups.back().push_back(copy);
}

void Multiprocessor::commit_copies() {
    if (current->copies.empty()) current->copies.emplace_back();
    current->copies.emplace_back();
}

void Multiprocessor::finish_copies(unsigned in_flight) {
    auto& groups = current->copies;
    while (groups.size() > in_flight + 1) {
        for (const Copy& copy : groups.front()) {
            doing = copy.place;
            memcpy(copy.to, copy.from, copy.valid);
            doing = nullptr;
            memset(copy.to + copy.valid, 0, copy.size - copy.valid);
            if (checker) checker->finish_copy(copy);
        }
        groups.erase(groups.begin());
    }
}

// ---- what kernels call (include/runtime.h) ----

void collective(const Operation& operation, unsigned mask, void* message, Perform perform, Place place) {
    sm->meet(operation, mask, message, perform, place);
}
unsigned active_mask() { return sm->warps[sm->current->warp()].alive; }
void* dynamic_shared_memory() { return sm->dynamic; }
void copy_async(void* to, const void* from, unsigned size, unsigned valid, Place place) {
    sm->start_copy({static_cast<char*>(to), static_cast<const char*>(from), size, valid, place});
}
void copy_async_commit() { sm->commit_copies(); }
void copy_async_wait(unsigned in_flight) { sm->finish_copies(in_flight); }
void trap(Place place) { fail(place, "__trap() was called"); }

}  // namespace emulator

void __syncthreads() { emulator::sm->arrive_at_barrier(EMULATOR_PLACE); }
int __syncthreads_count(int p) { return emulator::sm->vote_at_barrier(p, '+', EMULATOR_PLACE); }
int __syncthreads_and(int p) { return emulator::sm->vote_at_barrier(p, '&', EMULATOR_PLACE); }
int __syncthreads_or(int p) { return emulator::sm->vote_at_barrier(p, '|', EMULATOR_PLACE); }
