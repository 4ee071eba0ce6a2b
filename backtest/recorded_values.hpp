#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/prediction_hash.hpp"
#include "files/traces.hpp"

namespace forerun {

/// A value (a text or a number) among a call's arguments, as text.
struct ArgumentValue {
  prediction::Key place = 0;  ///< The task, the parameter and the value.
  std::string text;
};

/// Those that tell where they come from: three bytes and more; shorter ones occur everywhere.
std::vector<ArgumentValue> argument_values(const Call& call);

/// Where else in a session's record the values of its calls stand. Takes time and memory about in
/// proportion to the record. Pure; not thread-safe.
class RecordedValues {
public:
  /// Somewhere that a value can be read: a text before a step, or the step's output.
  struct Source {
    static constexpr std::size_t output = static_cast<std::size_t>(-1);
    std::size_t step = 0;
    std::size_t text = output;  ///< Which of the texts before it.
    bool is_whole = false;      ///< It is a value of the output, not a word in one.
  };
  struct Value {
    static constexpr std::size_t never = static_cast<std::size_t>(-1);
    std::string text;
    /// The first step before which the context or an earlier call tells it, or the value that comes
    /// before it in a count.
    std::size_t known_before = never;
    std::vector<Source> sources;  ///< In order, as far as nothing has told it before.
  };
  struct Wanted {
    prediction::Key place = 0;     ///< As argument_values() says.
    const Value* value = nullptr;  ///< Lives as long as this.
  };
  /// Of the values that begin with one and the same word, so many are looked for; the rest count as
  /// standing nowhere.
  static constexpr std::size_t alike_max = 256;

  explicit RecordedValues(const TraceSession& record);
  RecordedValues(const RecordedValues&) = delete;
  RecordedValues& operator=(const RecordedValues&) = delete;

  /// The values of the step's arguments. @pre step < the record's steps
  const std::vector<Wanted>& wanted(std::size_t step) const { return wanted_[step]; }

private:
  template <class Found>
  void search(std::string_view text, const Found& found);
  template <class Found>
  void search_values(const json::Value& value, const Found& found);
  void read(const TraceSession& record);

  std::map<std::string, Value, std::less<>> values_;
  std::map<std::string_view, std::vector<Value*>, std::less<>> by_first_word_;
  std::vector<std::vector<Wanted>> wanted_;  ///< By step.
};

}  // namespace forerun
