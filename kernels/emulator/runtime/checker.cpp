#include "checker.h"

#include <algorithm>
#include <new>

namespace emulator {
namespace {

constexpr uint16_t SEVERAL = 0xffff;  // readers are of more than one warp
constexpr uint32_t GLOBAL_EPOCH = 1;

// threadIdx and the others, which a GPU has in registers.
bool is_an_index(const void* p) {
    const auto within = [p](const auto& v) { return p >= &v && p < &v + 1; };
    return within(threadIdx) || within(blockIdx) || within(blockDim) || within(gridDim);
}

}  // namespace

void Shadow::allocate() {
    // calloc takes large memory from the system, which is zero and costs nothing where it is not touched.
    cells_ = static_cast<Cell*>(calloc(size / granule_ + 1, sizeof(Cell)));
    if (!cells_) throw std::bad_alloc();
}

// Makes the granules as small as this access; what was known of a granule holds for each part.
void Shadow::refine(const char* p, unsigned access_size) {
    size_t granule = granule_;
    while (access_size % granule || (p - begin) % granule) granule /= 2;
    if (granule == granule_) return;
    Cell* coarse = cells_;
    const size_t parts = granule_ / granule, count = size / granule_ + 1;
    granule_ = granule;
    allocate();
    for (size_t i = 0; i <= size / granule; ++i)
        if (i / parts < count) cells_[i] = coarse[i / parts];
    free(coarse);
}

Checker::Checker(Multiprocessor& machine, const Launch& launch)
    : machine_(machine), launch_(launch), static_(machine.shared, machine.shared_size),
      dynamic_(machine.dynamic, launch.dynamic_size) {
    for (int i = 0; i < launch.buffer_count; ++i)
        buffers_.push_back(std::make_unique<Shadow>(launch.buffers[i].begin, launch.buffers[i].size));
}

void Checker::start_block() {
    first_barrier_ = machine_.barrier_time;
    for (int i = 0; i < machine_.count; ++i)
        for (auto& time : machine_.threads[i].known) time = 0;
    for (int w = 0; w * WARP < machine_.count; ++w) machine_.warps[w].time = 1;
}

void Checker::finish_block() {
    if (launch_.counted) statistics.finish_block(machine_.threads, machine_.count);
}

// ---- where an address lies ----

Shadow* Checker::find_shadow(const char* p, unsigned size, int& buffer, bool& shared, Place place) {
    const auto holds = [&](const Shadow& s) { return p >= s.begin && p + size <= s.begin + s.size; };
    shared = true;
    buffer = -1;
    if (holds(static_)) return &static_;
    if (holds(dynamic_)) return &dynamic_;
    shared = false;
    for (size_t i = 0; i < buffers_.size(); ++i)
        if (holds(*buffers_[i])) {
            buffer = launch_.buffers[i].argument;
            return buffers_[i].get();
        }
    if (p >= machine_.image_begin && p < machine_.image_end) return nullptr;  // constants and __device__ variables
    out_of_bounds(p, place);
}

// Names the memory that was probably meant: the nearest one. The launch ends here, before the access is made.
void Checker::out_of_bounds(const char* p, Place place) {
    int64_t nearest = 1 << 20, offset = 0;
    int buffer = -2;
    const auto consider = [&](const char* begin, size_t size, int name) {
        const int64_t distance = p < begin ? begin - p : p - (begin + size);
        if (distance < nearest) nearest = distance, offset = p - begin, buffer = name;
    };
    for (int i = 0; i < launch_.buffer_count; ++i)
        consider(launch_.buffers[i].begin, launch_.buffers[i].size, launch_.buffers[i].argument);
    consider(dynamic_.begin, dynamic_.size, -1);
    consider(static_.begin, static_.size, -1);
    find(OUT_OF_BOUNDS, place, nullptr, offset, buffer);
    give_up();
}

// ---- one access ----

void Checker::access(const void* address, unsigned size, Access access, Place place) {
    const auto* p = static_cast<const char*>(address);
    if (machine_.stacks.contain(p) || is_an_index(p)) return;  // a thread's own
    check_time(place);
    int buffer;
    bool shared;
    Shadow* shadow = find_shadow(p, size, buffer, shared, place);
    if (!shadow) return;
    const int64_t offset = p - shadow->begin;
    const auto* guards_end = launch_.guards + launch_.guard_count;
    if (shadow == &static_ && size == 1 && std::find(launch_.guards, guards_end, offset) != guards_end) return;
    if ((size & (size - 1)) == 0 && reinterpret_cast<uintptr_t>(p) % size)
        find(MISALIGNED, place, nullptr, offset, buffer);
    shadow->refine(p, size);
    shadow->each(p, size, [&](Cell& cell) { visit(cell, access, place, offset, buffer, shared); });
    if (launch_.counted) statistics.add(*machine_.current, p, size, access != READ, shared, place);
}

void Checker::visit(Cell& cell, Access access, Place place, int64_t offset, int buffer, bool shared) {
    const uint32_t epoch = shared ? first_barrier_ : GLOBAL_EPOCH;
    if (cell.epoch != epoch) {
        cell = Cell{};
        cell.epoch = epoch;
    }
    if (cell.copying) find(NOT_WAITED_FOR, place, cell.write_place, offset, buffer);
    if (shared && access != WRITE && !cell.has_write) find(UNINITIALISED, place, nullptr, offset, buffer);
    if (cell.has_write && !(access == ATOMIC && cell.atomic) && !cell.copying && !after_write(cell))
        find(RACE, place, cell.write_place, offset, buffer);
    if (access == READ) return add_reader(cell, place);
    if (cell.readers && !after_reads(cell)) find(RACE, place, cell.read_place, offset, buffer);
    note_write(cell, access, place);
}

bool Checker::after_write(const Cell& cell) const {
    const Thread& me = *machine_.current;
    if (cell.write_barrier < first_barrier_) return false;  // by another block: nothing orders blocks
    if (cell.write_barrier != machine_.barrier_time || cell.write_thread == me.number) return true;
    return cell.write_thread / WARP == me.warp() && me.known[cell.write_thread % WARP] >= cell.write_time;
}

bool Checker::after_reads(const Cell& cell) const {
    const Thread& me = *machine_.current;
    if (cell.read_by_other_blocks || cell.read_barrier < first_barrier_) return false;
    if (cell.read_barrier != machine_.barrier_time) return true;
    const uint32_t others = cell.read_warp == me.warp() ? cell.readers & ~(1u << me.lane()) : cell.readers;
    if (others && cell.read_warp != me.warp()) return false;
    for (int lane = 0; lane < WARP; ++lane)
        if (others >> lane & 1 && me.known[lane] < cell.read_time) return false;
    return true;
}

void Checker::add_reader(Cell& cell, Place place) const {
    const Thread& me = *machine_.current;
    const bool go_on = cell.readers && cell.read_barrier == machine_.barrier_time;
    if (cell.readers && cell.read_barrier < first_barrier_) cell.read_by_other_blocks = true;
    cell.read_warp = go_on && cell.read_warp != me.warp() ? SEVERAL : me.warp();
    cell.readers = (go_on ? cell.readers : 0) | 1u << me.lane();
    cell.read_barrier = machine_.barrier_time;
    cell.read_time = machine_.warps[me.warp()].time;
    cell.read_place = place;
}

void Checker::note_write(Cell& cell, Access access, Place place) const {
    const Thread& me = *machine_.current;
    cell.has_write = true;
    cell.atomic = access == ATOMIC;
    cell.write_barrier = machine_.barrier_time;
    cell.write_time = machine_.warps[me.warp()].time;
    cell.write_thread = me.number;
    cell.write_place = place;
    cell.readers = 0;
    cell.read_by_other_blocks = false;
}

// ---- cp.async: a write that lasts from the copy to the wait ----

void Checker::start_copy(const Copy& copy) {
    if (copy.valid) access(copy.from, copy.valid, READ, copy.place);
    access(copy.to, copy.size, WRITE, copy.place);
    int buffer;
    bool shared;
    Shadow* shadow = find_shadow(copy.to, copy.size, buffer, shared, copy.place);
    if (shadow) shadow->each(copy.to, copy.size, [](Cell& cell) { cell.copying = true; });
}

void Checker::finish_copy(const Copy& copy) {
    int buffer;
    bool shared;
    Shadow* shadow = find_shadow(copy.to, copy.size, buffer, shared, copy.place);
    if (!shadow) return;
    shadow->each(copy.to, copy.size, [&](Cell& cell) {
        cell.copying = false;
        note_write(cell, WRITE, copy.place);
    });
}

// What the shim tells of its own accesses.
void touch(const void* address, unsigned size, Access access, Place place) {
    if (sm->checker) sm->checker->access(address, size, access, place);
}

}  // namespace emulator
