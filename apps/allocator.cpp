// What jemalloc is told, in programs that it is linked into (cmake/Forerun.cmake).

/// Huge pages: what sessions remember grows step by step, and faults and misses of small pages cost
/// a fifth of a step on a virtual machine. A few arenas, since few threads allocate and each arena
/// holds huge pages of its own.
extern "C" const char* malloc_conf;
const char* malloc_conf = "thp:always,metadata_thp:auto,narenas:4";
