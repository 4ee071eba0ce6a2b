#include "coordinator/prediction_graph.hpp"

#include <catch2/catch.hpp>
