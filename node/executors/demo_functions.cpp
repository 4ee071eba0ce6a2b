#include "node/executors/demo_functions.hpp"

#include <fcntl.h>
#include <sys/file.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>

#include "base/assert.hpp"
#include "base/sha256.hpp"
#include "node/executors/child_process.hpp"

namespace forerun {
namespace {

constexpr std::size_t remembered_puts_max = 256;  ///< Outside keys kept with a value, newest last.
constexpr std::array<std::string_view, 4> labels = {"complaint", "praise", "question", "refund"};

/// Waits out a modelled latency. False when stopped.
bool wait_out(Duration latency, double speedup, const std::stop_token& stop) {
  const auto time = std::chrono::duration<double, Duration::period>(
      static_cast<double>(latency.count()) / speedup);
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, std::chrono::duration_cast<Duration>(time), [] { return false; });
  return !stop.stop_requested();
}

tl::unexpected<Error> was_stopped() {
  return fail(Errc::refused, "stopped");
}

/// What the store knows of one key.
struct StoredValue {
  json::Value value;
  std::uint64_t version = 0;
  json::Array puts;  ///< Of [outside key, version].
};

class DemoStore {
public:
  explicit DemoStore(std::filesystem::path folder) : folder_(std::move(folder)) {}

  Result<StoredValue> get(std::string_view key) const {
    StoredValue stored;
    std::ifstream file(path(key), std::ios::binary);
    if (!file) {
      return stored;
    }
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const auto document = json::parse(text, json::Limits{.bytes = 2 * json::document_bytes_max});
    if (!document) {
      return fail(Errc::io, "demo store: " + path(key).string() + ": " + document.error().message);
    }
    const json::Value* const value = document->find("value");
    const json::Value* const version = document->find("version");
    const json::Value* const puts = document->find("puts");
    if (value == nullptr || version == nullptr || version->number() == nullptr || puts == nullptr ||
        puts->array() == nullptr) {
      return fail(Errc::io, "demo store: " + path(key).string() +
                                ": a field is missing, expected puts, value and version");
    }
    stored.value = *value;
    stored.version = static_cast<std::uint64_t>(*version->number());
    stored.puts = *puts->array();
    return stored;
  }

  /// Returns the version written, or the earlier one of the same outside key.
  Result<std::uint64_t> put(std::string_view key, const json::Value& value,
                            std::string_view outside_key) const {
    std::error_code problem;
    std::filesystem::create_directories(folder_, problem);
    const Descriptor lock = locked(key);
    if (problem || !lock.is_open()) {
      return fail(Errc::io, "demo store: " + folder_.string() + ": " +
                                (problem ? problem.message() : std::strerror(errno)));
    }
    auto stored = get(key);
    if (!stored) {
      return tl::unexpected<Error>(stored.error());
    }
    if (const auto earlier = version_of_put(*stored, outside_key)) {
      return *earlier;
    }
    ++stored->version;
    stored->value = value;
    if (!outside_key.empty()) {
      stored->puts.push_back(json::Array{outside_key, stored->version});
      if (stored->puts.size() > remembered_puts_max) {
        stored->puts.erase(stored->puts.begin());
      }
    }
    return write(key, *stored);
  }

private:
  std::filesystem::path path(std::string_view key) const { return folder_ / to_hex(sha256(key)); }

  /// Keeps other writers of the key out, of this process and of others, until it is closed.
  Descriptor locked(std::string_view key) const {
    const std::string name = path(key).string() + ".lock";
    Descriptor file(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
    if (file.is_open() && ::flock(file.get(), LOCK_EX) != 0) {
      file.close();
    }
    return file;
  }

  static std::optional<std::uint64_t> version_of_put(const StoredValue& stored,
                                                     std::string_view outside_key) {
    for (const json::Value& put : stored.puts) {
      const json::Array* const pair = put.array();
      if (pair == nullptr || pair->size() != 2 || (*pair)[0].string() == nullptr ||
          (*pair)[1].number() == nullptr) {
        continue;
      }
      if (!outside_key.empty() && *(*pair)[0].string() == outside_key) {
        return static_cast<std::uint64_t>(*(*pair)[1].number());
      }
    }
    return std::nullopt;
  }

  /// Readers see the old file or the new one. The lock makes the name of the temporary file ours.
  Result<std::uint64_t> write(std::string_view key, const StoredValue& stored) const {
    json::Object document;
    document.set("key", key);
    document.set("puts", stored.puts);
    document.set("value", stored.value);
    document.set("version", stored.version);
    const std::filesystem::path temporary = path(key).string() + ".tmp";
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    file << json::canonical(document);
    file.close();
    std::error_code problem;
    std::filesystem::rename(temporary, path(key), problem);
    if (!file || problem) {
      return fail(Errc::io, "demo store: " + path(key).string() + ": cannot write");
    }
    return stored.version;
  }

  std::filesystem::path folder_;
};

Result<std::string> key_of(const NativeCall& call, std::string_view function) {
  const json::Value* const key = call.input.find("key");
  if (key == nullptr || key->string() == nullptr) {
    return fail(Errc::invalid, std::string(function) + ": key: absent, expected a string");
  }
  return *key->string();
}

NativeFunction store_get(const DemoStore& store, double speedup) {
  return [store, speedup](const NativeCall& call) -> Result<json::Value> {
    const auto key = key_of(call, "demo.store_get");
    const auto stored = key ? store.get(*key) : tl::unexpected<Error>(key.error());
    if (!stored) {
      return tl::unexpected<Error>(stored.error());
    }
    if (!wait_out(std::chrono::milliseconds(60), speedup, call.stop)) {
      return was_stopped();
    }
    json::Object output;
    output.set("value", stored->value);
    output.set("version", stored->version);
    return output;
  };
}

NativeFunction store_put(const DemoStore& store, double speedup) {
  return [store, speedup](const NativeCall& call) -> Result<json::Value> {
    const auto key = key_of(call, "demo.store_put");
    if (!key) {
      return tl::unexpected<Error>(key.error());
    }
    const json::Value* const value = call.input.find("value");
    if (value == nullptr) {
      return fail(Errc::invalid, "demo.store_put: value: absent, expected any value");
    }
    if (!wait_out(std::chrono::milliseconds(80), speedup, call.stop)) {
      return was_stopped();
    }
    const auto version = store.put(*key, *value, call.outside_key);
    if (!version) {
      return tl::unexpected<Error>(version.error());
    }
    json::Object output;
    output.set("version", *version);
    return output;
  };
}

NativeFunction note(double speedup) {
  return [speedup](const NativeCall& call) -> Result<NativeAnswer> {
    const auto key = key_of(call, "demo.note");
    if (!key) {
      return tl::unexpected<Error>(key.error());
    }
    const json::Value* const value = call.input.find("value");
    if (!wait_out(std::chrono::milliseconds(20), speedup, call.stop)) {
      return was_stopped();
    }
    const json::Value* const before = call.state.find(*key);
    NativeAnswer answer;
    json::Object output;
    output.set("before", before == nullptr ? json::Value() : *before);
    answer.output = std::move(output);
    json::Object writes;
    writes.set(*key, value == nullptr ? json::Value() : *value);
    answer.writes = std::move(writes);
    return answer;
  };
}

NativeFunction classify(std::string name, Duration latency, double speedup) {
  return [name = std::move(name), latency, speedup](const NativeCall& call) -> Result<json::Value> {
    if (!wait_out(latency, speedup, call.stop)) {
      return was_stopped();
    }
    const json::Value* const text = call.input.find("text");
    const std::string subject = text != nullptr && text->string() != nullptr
                                    ? *text->string()
                                    : json::canonical(call.input);
    const Digest digest = sha256(name + "\n" + subject);
    json::Object output;
    output.set("by", name);
    output.set("confidence", (50 + digest.bytes[1] % 50) / 100.0);
    output.set("label", labels[digest.bytes[0] % labels.size()]);
    return output;
  };
}

}  // namespace

NativeFunctions make_demo_functions(std::filesystem::path store_folder, double speedup) {
  FORERUN_ASSERT(speedup > 0);
  const DemoStore store(std::move(store_folder));
  NativeFunctions functions;
  functions["demo.store_get"] = store_get(store, speedup);
  functions["demo.store_put"] = store_put(store, speedup);
  functions["demo.note"] = note(speedup);
  functions["demo.classify_fast"] = classify("fast", std::chrono::milliseconds(40), speedup);
  functions["demo.classify_slow"] = classify("slow", std::chrono::milliseconds(400), speedup);
  functions["demo.classify_rules"] = classify("rules", std::chrono::milliseconds(5), speedup);
  return functions;
}

}  // namespace forerun
