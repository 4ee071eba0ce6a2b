#pragma once

#include <array>
#include <string>
#include <tuple>
#include <vector>

#include "coordinator/context_keys.hpp"
#include "coordinator/learned_contexts.hpp"
#include "coordinator/session_memory.hpp"
#include "coordinator/step_labels.hpp"

/// The contexts of a tenant's session, as it is: keys under which it is learned what follows. What
/// each contains is told to people in the same order. Tables of what contexts are worth
/// (ContextTrust, first weights of rankers) go by that order too.
namespace forerun::prediction {

/// Of the next form of call, or the end, from the most general to the most special. While the last
/// output is open, contexts that need it are left out.
ContextKeys next_contexts(const SessionMemory& memory, Key tenant, bool is_open);
std::vector<std::string> texts_of_next_contexts(const SessionMemory& memory, bool is_open,
                                                const StepLabels& labels);
/// The first so many are the same whether or not the last output is open.
inline constexpr std::size_t contexts_of_tasks = 3;
/// The first of them, which holds anywhere in the tenant's sessions.
Key anywhere_context(Key tenant);

/// Of the last step's output. @pre a step was added
ContextKeys output_contexts(const SessionMemory& memory, Key tenant);
std::vector<std::string> texts_of_output_contexts(const SessionMemory& memory,
                                                  const StepLabels& labels);

/// Long and whole contexts of the next form, each for itself. The last two need the last output.
ContextKeys long_contexts(const SessionMemory& memory, Key tenant);
using LongContexts = std::array<const Context*, 6>;
inline constexpr std::size_t long_contexts_of_outputs = 2;
extern const std::array<const char*, std::tuple_size_v<LongContexts>> texts_of_long_contexts;

/// How many steps there were: whether the session ends.
Key number_context(const SessionMemory& memory, Key tenant);
/// What tells whether the last call is made again: its task, and with an answer that is there what
/// it says. Empty before the first step.
ContextKeys repeat_contexts(const SessionMemory& memory, Key tenant, bool is_open);
/// Whether the model is asked.
ContextKeys model_contexts(const SessionMemory& memory, Key tenant);

}  // namespace forerun::prediction
