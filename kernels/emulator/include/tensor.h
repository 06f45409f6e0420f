// The tensor cores' products, with the lanes' fragments as PTX lays them out: see ../../ptx.cuh for the pictures.
//
// Products are exact and summed in double, then rounded once. A GPU sums in an order of its own and truncates.
#pragma once

namespace emulator {

struct Product {
    float* d;            // 4 of the 16 x 8 sums of this lane
    const unsigned* a;   // 4 registers
    const unsigned* b;   // 2 registers
};

// A register holds `per` values along k: one of TF32, two of a half type. Row of A (or column of B) lane / 4.
template <int per, float (*widen)(unsigned register_, int index)>
EMULATOR_NOT_TRACED void multiply(void** messages, unsigned) {
    constexpr int K = 8 * per;
    float a[16][K], b[8][K];
    for (int lane = 0; lane < 32; ++lane) {
        auto* m = static_cast<Product*>(messages[lane]);
        const int group = lane / 4, k = lane % 4 * per;
        for (int i = 0; i < per; ++i)
            for (int far = 0; far < 2; ++far) {  // the second half of k
                a[group][k + i + far * K / 2] = widen(m->a[2 * far], i);
                a[group + 8][k + i + far * K / 2] = widen(m->a[2 * far + 1], i);
                b[group][k + i + far * K / 2] = widen(m->b[far], i);
            }
    }
    for (int lane = 0; lane < 32; ++lane) {
        auto* m = static_cast<Product*>(messages[lane]);
        for (int e = 0; e < 4; ++e) {
            const int row = lane / 4 + e / 2 * 8, column = lane % 4 * 2 + e % 2;
            double sum = m->d[e];
            for (int k = 0; k < K; ++k) sum += static_cast<double>(a[row][k]) * b[column][k];
            m->d[e] = static_cast<float>(sum);
        }
    }
}

inline constexpr Operation MMA{"mma.sync"}, LDMATRIX{"ldmatrix"};

inline float widen_tf32(unsigned r, int) { return bits<float>(r & 0xffffe000); }  // 10 bits of mantissa are used
inline float widen_low_high_float16(unsigned r, int i) { return widen_float16(r >> 16 * i); }
inline float widen_low_high_bfloat16(unsigned r, int i) { return widen_bfloat16(r >> 16 * i); }

template <int per, float (*widen)(unsigned, int)>
EMULATOR_NOT_TRACED void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    Product message{d, a, b};
    collective(MMA, 0xffffffff, &message, multiply<per, widen>, EMULATOR_PLACE);
}

struct MatrixLoad {
    const unsigned short* row;  // 8 values: row lane % 8 of matrix lane / 8
    unsigned* registers;
    int count;
    bool transposed;
};

EMULATOR_NOT_TRACED inline void load_matrices(void** messages, unsigned) {
    auto** loads = reinterpret_cast<MatrixLoad**>(messages);
    for (int lane = 0; lane < 32; ++lane)
        for (int matrix = 0; matrix < loads[lane]->count; ++matrix) {
            MatrixLoad** rows = loads + 8 * matrix;  // the lanes that gave this matrix's rows
            unsigned value = 0;
            for (int i = 0; i < 2; ++i) {
                const int near = lane / 4, far = lane % 4 * 2 + i;
                const unsigned short v = loads[lane]->transposed ? rows[far]->row[near] : rows[near]->row[far];
                value |= static_cast<unsigned>(v) << 16 * i;
            }
            loads[lane]->registers[matrix] = value;
        }
}

EMULATOR_NOT_TRACED inline void ldmatrix(unsigned* registers, const void* row, int count, bool transposed) {
    if (lane() < 8 * count) touch(row, 16, READ, EMULATOR_PLACE);
    MatrixLoad message{static_cast<const unsigned short*>(row), registers, count, transposed};
    collective(LDMATRIX, 0xffffffff, &message, load_matrices, EMULATOR_PLACE);
}

EMULATOR_NOT_TRACED inline void cp_async(void* to, const void* from, unsigned size, unsigned valid) {
    copy_async(to, from, size, valid, EMULATOR_PLACE);
}

}  // namespace emulator
