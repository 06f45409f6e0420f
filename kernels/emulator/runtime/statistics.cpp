// What a warp's accesses cost. The lanes' accesses from one line belong together if it is the same visit of the line
// for each of them: lane 3's fifth time there goes with lane 4's fifth time.
#include <algorithm>

#include "checker.h"

namespace emulator {
namespace {

constexpr int SECTOR = 32, BANK = 4, BANKS = 32;  // bytes, bytes, banks

template <class T> size_t distinct(std::vector<T>& values) {
    std::sort(values.begin(), values.end());
    return std::unique(values.begin(), values.end()) - values.begin();
}

// Global memory comes in sectors of 32 bytes, however little of one is wanted.
void count_sectors(LineCost& cost, const std::vector<uintptr_t>& addresses) {
    std::vector<uintptr_t> sectors, places = addresses;
    for (uintptr_t p : addresses)
        for (uintptr_t s = p / SECTOR; s <= (p + cost.size - 1) / SECTOR; ++s) sectors.push_back(s);
    cost.transactions += distinct(sectors);
    cost.ideal += (distinct(places) * cost.size + SECTOR - 1) / SECTOR;
}

// Shared memory has 32 banks of 4 bytes. Each gives one word a cycle, to all lanes that want this word. Accesses of 8
// and 16 bytes are served half a warp and a quarter of a warp at a time.
void count_banks(LineCost& cost, const std::vector<uintptr_t>& words) {
    std::vector<uintptr_t> per_bank[BANKS];
    for (uintptr_t word : words) per_bank[word % BANKS].push_back(word);
    size_t most = 0;
    for (auto& bank : per_bank) most = std::max(most, distinct(bank));
    cost.transactions += most;
    cost.ideal += 1;
}

}  // namespace

void Statistics::add(Thread& thread, const char* p, unsigned size, bool writes, bool shared, Place place) {
    const uintptr_t key = reinterpret_cast<uintptr_t>(place) * 2 + shared;  // a cp.async is both
    const auto [entry, is_new] = index_.try_emplace(key, static_cast<int>(costs.size()));
    if (is_new) costs.push_back({place, 0, 0, 0, shared, writes, static_cast<int>(size)});
    const int line = entry->second;
    if (thread.visits.size() <= static_cast<size_t>(line)) thread.visits.resize(line + 16);
    const uint64_t visit = thread.visits[line]++;
    const uint64_t warp = thread.warp(), line_of_warp = warp << 56 | static_cast<uint64_t>(line) << 40;
    Request& request = requests_[line_of_warp | visit];
    request.lanes |= 1u << thread.lane();
    request.addresses[thread.lane()] = p;
}

void Statistics::finish_block(Thread* threads, int count) {
    for (const auto& [key, request] : requests_) {
        LineCost& cost = costs[key >> 40 & 0xffff];
        ++cost.requests;
        const int step = !cost.shared || cost.size <= 4 ? 32 : cost.size == 8 ? 16 : 8;
        for (int first = 0; first < WARP; first += step) {
            std::vector<uintptr_t> places;
            for (int lane = first; lane < first + step; ++lane) {
                if (!(request.lanes >> lane & 1)) continue;
                const auto p = reinterpret_cast<uintptr_t>(request.addresses[lane]);
                if (!cost.shared) places.push_back(p);
                for (int b = 0; cost.shared && b < cost.size; b += BANK) places.push_back((p + b) / BANK);
            }
            if (places.empty()) continue;
            if (cost.shared) count_banks(cost, places);
            else count_sectors(cost, places);
        }
    }
    requests_.clear();
    for (int i = 0; i < count; ++i) threads[i].visits.clear();
}

}  // namespace emulator
