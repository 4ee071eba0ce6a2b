#pragma once

#include "coordinator/prediction_hash.hpp"

/// What contexts know beside tasks, forms of calls and outputs.
namespace forerun::prediction {

inline constexpr Key start_task = 0x41;     ///< Stands before a session's first step.
inline constexpr Key end_symbol = 0x42;     ///< The session ends.
inline constexpr Key failed_symbol = 0x43;  ///< The step has no output.
inline constexpr Key large_symbol = 0x44;   ///< An output too large to be predicted.
inline constexpr Key model_symbol = 0x45;   ///< The model is asked with all that was said.
inline constexpr Key other_symbol = 0x46;   ///< The model is asked when more has been said.

inline constexpr Key same_symbol = 0x47;  ///< The last call is made again; else other_symbol.

}  // namespace forerun::prediction
