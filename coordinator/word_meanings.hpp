#pragma once

#include <vector>

#include "coordinator/argument_bindings.hpp"
#include "coordinator/learned_contexts.hpp"
#include "coordinator/session_memory.hpp"

/// What words of texts were told to mean: values of parameters that followed them and that nothing
/// else told. Kept among a tenant's learned contexts.
namespace forerun::prediction {

/// Gathers what the words of all of a session's texts mean, by value, ascending; done once a text.
void gather_meanings(const SessionMemory& memory, Key tenant, const LearnedContexts& contexts,
                     std::vector<Meaning>& meanings);

/// A call of this task gave this value to the parameter of this name: where nothing that the
/// session has seen holds it, it may be what its words mean.
void learn_meaning(const SessionMemory& memory, Key tenant, Key task, Key name,
                   const json::Value& value, LearnedContexts& contexts);

}  // namespace forerun::prediction
