// Instructions that CUDA C++ has no words for, one function each: PTX on a GPU, the same by C++ in the emulator.
//
// Needs sm_80 (Ampere), except ldmatrix (sm_75). Every lane of the warp must call mma_* and ldmatrix together.
//
// The matrices of a product are spread over the registers of the 32 lanes. With group = lane / 4 and t = lane % 4:
//
//   mma_m16n8k8_tf32: D (16 x 8) += A (16 x 8) B (8 x 8), TF32 in 32-bit registers
//     a[0] = A[group][t]      a[1] = A[group + 8][t]      a[2] = A[group][t + 4]      a[3] = A[group + 8][t + 4]
//     b[0] = B[t][group]      b[1] = B[t + 4][group]
//     d[0] = D[group][2t]     d[1] = D[group][2t + 1]     d[2] = D[group + 8][2t]     d[3] = D[group + 8][2t + 1]
//
//   mma_m16n8k16_float16, mma_m16n8k16_bfloat16: D (16 x 8) += A (16 x 16) B (16 x 8), two values in a register, the
//   one with the lower k in the lower half; D as above
//     a[0] = A[group][2t, 2t + 1]          a[1] = A[group + 8][2t, 2t + 1]
//     a[2] = A[group][2t + 8, 2t + 9]      a[3] = A[group + 8][2t + 8, 2t + 9]
//     b[0] = B[2t, 2t + 1][group]          b[1] = B[2t + 8, 2t + 9][group]
//
// Source: PTX ISA, "Warp-level matrix instructions".
#pragma once

// The float with the 10 bits of mantissa that TF32 has, rounded to the nearest, a tie away from zero.
__device__ __forceinline__ unsigned to_tf32(float value) {
#ifdef TINYSEG_EMULATED
    const unsigned u = __float_as_uint(value);
    return ((u & 0x7f800000) == 0x7f800000 ? u : u + 0x1000) & 0xffffe000;
#else
    unsigned result;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(result) : "f"(value));
    return result;
#endif
}

#define PTX_MMA(what)                                                                                        \
    asm volatile("mma.sync.aligned." what " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                            \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef TINYSEG_EMULATED
    emulator::mma<1, emulator::widen_tf32>(d, a, b);
#else
    PTX_MMA("m16n8k8.row.col.f32.tf32.tf32.f32");
#endif
}

__device__ __forceinline__ void mma_m16n8k16_float16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef TINYSEG_EMULATED
    emulator::mma<2, emulator::widen_low_high_float16>(d, a, b);
#else
    PTX_MMA("m16n8k16.row.col.f32.f16.f16.f32");
#endif
}

__device__ __forceinline__ void mma_m16n8k16_bfloat16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#ifdef TINYSEG_EMULATED
    emulator::mma<2, emulator::widen_low_high_bfloat16>(d, a, b);
#else
    PTX_MMA("m16n8k16.row.col.f32.bf16.bf16.f32");
#endif
}

// Loads `count` (1, 2, 4) matrices of 8 x 8 16-bit values from shared memory. Lane l gives the address of row l % 8 of
// matrix l / 8, 16 bytes that start at a multiple of 16; lanes from 8 count on give any such address. Register i of a
// lane gets M_i[group][2t, 2t + 1], with `transposed` M_i[2t, 2t + 1][group].
//
// A (16 x 16, row by row) as a[0..3]: rows lane % 16, columns from 8 (lane / 16). B (16 x 8, row by row) as b[0..1]:
// transposed, rows lane % 16.
template <int count, bool transposed = false>
__device__ __forceinline__ void ldmatrix(unsigned (&registers)[count], const void* row) {
    static_assert(count == 1 || count == 2 || count == 4, "ldmatrix loads 1, 2 or 4 matrices");
#ifdef TINYSEG_EMULATED
    emulator::ldmatrix(registers, row, count, transposed);
#else
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(row));
    if constexpr (count == 1 && !transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
                     : "=r"(registers[0]) : "r"(address) : "memory");
    else if constexpr (count == 1)
        asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
                     : "=r"(registers[0]) : "r"(address) : "memory");
    else if constexpr (count == 2 && !transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                     : "=r"(registers[0]), "=r"(registers[1]) : "r"(address) : "memory");
    else if constexpr (count == 2)
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                     : "=r"(registers[0]), "=r"(registers[1]) : "r"(address) : "memory");
    else if constexpr (!transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                     : "r"(address) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
                     : "r"(address) : "memory");
#endif
}

// Starts to copy `bytes` (4, 8, 16) from global to shared memory past the registers; both addresses are multiples of
// `bytes`. With `valid` false it writes zeros and reads nothing, which is how padding is made. The bytes are there, for
// this thread, after cp_async_wait; for the others of the block after a __syncthreads that follows it.
template <int bytes> __device__ __forceinline__ void cp_async(void* shared, const void* global, bool valid = true) {
    static_assert(bytes == 4 || bytes == 8 || bytes == 16, "cp_async copies 4, 8 or 16 bytes");
#ifdef TINYSEG_EMULATED
    emulator::cp_async(shared, global, bytes, valid ? bytes : 0);
#else
    const unsigned address = static_cast<unsigned>(__cvta_generic_to_shared(shared));
    if constexpr (bytes == 16)  // .cg: past the first-level cache, which 4 and 8 bytes cannot
        asm volatile("cp.async.cg.shared.global [%0], [%1], %2, %3;"
                     :: "r"(address), "l"(global), "n"(bytes), "r"(valid ? bytes : 0) : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                     :: "r"(address), "l"(global), "n"(bytes), "r"(valid ? bytes : 0) : "memory");
#endif
}

// Closes the group of this thread's copies since the last commit; an empty group counts too.
__device__ __forceinline__ void cp_async_commit() {
#ifdef TINYSEG_EMULATED
    emulator::copy_async_commit();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until at most `groups` of this thread's latest groups are under way.
template <int groups> __device__ __forceinline__ void cp_async_wait() {
#ifdef TINYSEG_EMULATED
    emulator::copy_async_wait(groups);
#else
    asm volatile("cp.async.wait_group %0;" :: "n"(groups) : "memory");
#endif
}

// The value, which the compiler from here on takes as it is: it neither works it out again to save a register, nor
// joins what went into it with what is added to it, which may cost an inner loop three instructions for an address.
__device__ __forceinline__ int settled(int value) {
#ifndef TINYSEG_EMULATED
    asm("" : "+r"(value));
#endif
    return value;
}
template <class T> __device__ __forceinline__ T* settled(T* global) {  // not to shared memory
#ifndef TINYSEG_EMULATED
    asm("" : "+l"(global));
    __builtin_assume(__isGlobal(global));
#endif
    return global;
}
