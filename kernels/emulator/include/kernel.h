// The list of a module's kernels, with the types of their parameters: Python checks the arguments of a launch by it.
#pragma once

namespace emulator {

template <class T> struct NumpyType { static constexpr const char* name = ""; };

}  // namespace emulator

#define EMULATOR_TYPE(T, numpy_name) \
    template <> struct emulator::NumpyType<T> { static constexpr const char* name = numpy_name; };

EMULATOR_TYPE(bool, "bool")
EMULATOR_TYPE(char, "int8") EMULATOR_TYPE(signed char, "int8") EMULATOR_TYPE(unsigned char, "uint8")
EMULATOR_TYPE(short, "int16") EMULATOR_TYPE(unsigned short, "uint16")
EMULATOR_TYPE(int, "int32") EMULATOR_TYPE(unsigned, "uint32")
EMULATOR_TYPE(long, "int64") EMULATOR_TYPE(unsigned long, "uint64")
EMULATOR_TYPE(long long, "int64") EMULATOR_TYPE(unsigned long long, "uint64")
EMULATOR_TYPE(float, "float32") EMULATOR_TYPE(double, "float64")
EMULATOR_TYPE(float2, "float32") EMULATOR_TYPE(float4, "float32")
EMULATOR_TYPE(int2, "int32") EMULATOR_TYPE(int4, "int32")
EMULATOR_TYPE(double2, "float64")

namespace emulator {

template <class T> struct Plain { using type = T; static constexpr bool constant = false; };
template <class T> struct Plain<const T> { using type = T; static constexpr bool constant = true; };

template <class T> struct Describe {
    static constexpr Parameter parameter{NumpyType<typename Plain<T>::type>::name, false, true, sizeof(T)};
};
template <class T> struct Describe<T*> {
    static constexpr Parameter parameter{NumpyType<typename Plain<T>::type>::name, true, Plain<T>::constant, 8};
};
template <> struct Describe<void*> { static constexpr Parameter parameter{"", true, false, 8}; };
template <> struct Describe<const void*> { static constexpr Parameter parameter{"", true, true, 8}; };

template <int... I> struct Indices {};

// Calls the kernel with arguments that are known by their addresses only, as a driver does it.
template <auto function> struct Caller;
template <class... Parameters, void (*function)(Parameters...)> struct Caller<function> {
    static constexpr int count = sizeof...(Parameters);
    static constexpr Parameter parameters[count + 1] = {Describe<Parameters>::parameter...};

    template <int... I> __attribute__((no_sanitize("thread"))) static void call(void** arguments, Indices<I...>) {
        function(*static_cast<typename Plain<Parameters>::type*>(arguments[I])...);
    }
    __attribute__((no_sanitize("thread"))) static void run(void** arguments) {
        call(arguments, Indices<__integer_pack(count)...>{});
    }
};

}  // namespace emulator

#define EMULATOR_KERNEL(name, max_threads, ...)                                                                     \
    {name, emulator::Caller<__VA_ARGS__>::run, emulator::Caller<__VA_ARGS__>::parameters,                           \
     emulator::Caller<__VA_ARGS__>::count, max_threads},

// The runtime finds the module's __shared__ variables beside this one.
#define EMULATOR_EXPORT __attribute__((visibility("default")))
extern "C" EMULATOR_EXPORT void* emulator_shared_anchor() {
    static __thread int anchor;
    return &anchor;
}
