// Trace mode: every access to memory is looked at before it happens.
//
// Each granule of memory has a cell with its last write and the reads since then. Two accesses of different threads to
// one granule, of which one writes, must be ordered by something: a barrier of the block, or, inside a warp, a
// __syncwarp that both took part in. Otherwise it is a race, whichever of them came first this time.
#pragma once
#include <cstdlib>
#include <unordered_map>

#include "machine.h"

namespace emulator {

struct Cell {
    uint32_t epoch;           // of what it tells: a block for shared memory, a launch for global memory
    uint32_t write_barrier, write_time, read_barrier, read_time;
    uint32_t readers;         // lanes of read_warp since the last write
    uint16_t write_thread, read_warp;
    bool has_write, atomic, copying, read_by_other_blocks;
    Place write_place, read_place;
};

// The cells of one piece of memory. A granule is 4 bytes until somebody makes a smaller access.
class Shadow {
  public:
    Shadow(const char* begin, size_t size) : begin(begin), size(size) { allocate(); }
    Shadow(const Shadow&) = delete;
    ~Shadow() { free(cells_); }
    void refine(const char* p, unsigned access_size);
    template <class Visit> void each(const char* p, unsigned access_size, Visit visit) {
        const size_t first = (p - begin) / granule_, last = (p - begin + access_size - 1) / granule_;
        for (size_t i = first; i <= last; ++i) visit(cells_[i]);
    }
    const char* begin;
    const size_t size;

  private:
    void allocate();
    size_t granule_ = 4;
    Cell* cells_ = nullptr;
};

// What the accesses of one line cost (python: profile.py has the same fields).
struct LineCost {
    Place place;
    uint64_t requests;      // instructions of a warp
    uint64_t transactions;  // sectors of 32 bytes (global memory) or cycles of the banks (shared memory)
    uint64_t ideal;         // transactions if the same bytes lay side by side
    int shared, writes, size;
};

// Collects which lanes of a warp make an access together, and what the memory system does with it.
class Statistics {
  public:
    void add(Thread& thread, const char* p, unsigned size, bool writes, bool shared, Place place);
    void finish_block(Thread* threads, int count);
    std::vector<LineCost> costs;

  private:
    struct Request {
        uint32_t lanes = 0;
        const char* addresses[WARP];
    };
    std::unordered_map<uintptr_t, int> index_;
    std::unordered_map<uint64_t, Request> requests_;
};

class Checker {
  public:
    Checker(Multiprocessor& machine, const Launch& launch);
    void start_block();
    void finish_block();
    void access(const void* p, unsigned size, Access access, Place place);
    void start_copy(const Copy& copy);
    void finish_copy(const Copy& copy);
    Statistics statistics;

  private:
    Shadow* find_shadow(const char* p, unsigned size, int& buffer, bool& shared, Place place);
    [[noreturn]] void out_of_bounds(const char* p, Place place);
    void visit(Cell& cell, Access access, Place place, int64_t offset, int buffer, bool shared);
    bool after_write(const Cell& cell) const;
    bool after_reads(const Cell& cell) const;
    void add_reader(Cell& cell, Place place) const;
    void note_write(Cell& cell, Access access, Place place) const;

    Multiprocessor& machine_;
    const Launch& launch_;
    std::vector<std::unique_ptr<Shadow>> buffers_;
    Shadow static_, dynamic_;
    uint32_t first_barrier_ = 0;  // the barrier time at which this block started
};

}  // namespace emulator
