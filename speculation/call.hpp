#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/json.hpp"
#include "base/sha256.hpp"

namespace forerun {

inline constexpr std::size_t task_bytes_max = 256;  ///< A task's, race's or pool's name.

/// A task name and its input, with everything derived from them: canonical text and hash. Immutable
/// and cheap to copy (shares one payload), so it may cross actors. Equal when task and canonical
/// input are equal.
class Call {
public:
  /// @pre task is not empty.
  static Call make(std::string task, json::Object input);
  /// Reads `{"input": {…}, "task": "…"}`, canonical or not. Errors: invalid (also for other
  /// members), too_large.
  static Result<Call> parse(std::string_view canonical_call);

  const std::string& task() const { return data_->task; }
  const json::Object& input() const { return data_->input; }
  /// C(call) = JCS({"input": …, "task": …}).
  const std::string& canonical() const { return data_->canonical; }
  /// The canonical text of the input alone.
  std::string_view canonical_input() const;
  /// SHA-256(C(call)).
  const Digest& hash() const { return data_->hash; }

  friend bool operator==(const Call& a, const Call& b) { return a.hash() == b.hash(); }

private:
  struct Data {
    std::string task;
    json::Object input;
    std::string canonical;
    std::size_t input_size = 0;  ///< Of the input's text inside `canonical`.
    Digest hash;
  };
  explicit Call(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

/// A canonical JSON text with its hash and value: an output. Immutable, cheap to copy.
class Output {
public:
  static Output make(json::Value value);
  /// Errors: invalid, too_large.
  static Result<Output> parse(std::string_view text, const json::Limits& limits = {});

  const json::Value& value() const { return data_->value; }
  const std::string& canonical() const { return data_->canonical; }
  const Digest& hash() const { return data_->hash; }

private:
  struct Data {
    json::Value value;
    std::string canonical;
    Digest hash;
  };
  explicit Output(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

}  // namespace forerun
