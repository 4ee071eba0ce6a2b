#pragma once

#include "node/executors/native_function.hpp"

namespace forerun {

/// The main() of a node of one's own: `forerun node`, with its flags and environment, that offers
/// these functions beside what every node offers. Returns the exit code. Call it once, before the
/// program has started a thread: signals are blocked in all of them.
int native_node_main(int argc, char** argv, NativeFunctions functions);

}  // namespace forerun
