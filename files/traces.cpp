#include "files/traces.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "base/prng.hpp"
#include "files/file_bytes.hpp"
#include "files/line_reader.hpp"
#include "speculation/catalog.hpp"
#include "speculation/protocol.hpp"

namespace forerun {
namespace {

/// A line below this cannot hold an output beyond output_bytes_max, even where canonical numbers
/// are longer than the recorded ones (1e20 becomes 21 digits), so only longer lines are measured.
constexpr std::size_t line_bytes_unmeasured = output_bytes_max / 8;

/// Reads the members of one line; the first problem stops it.
class SessionReader {
public:
  SessionReader(std::string place, std::size_t line_bytes, const TraceLimits& limits)
      : place_(std::move(place)), measured_(line_bytes > line_bytes_unmeasured), limits_(limits) {}

  /// Moves inputs and outputs out of `line`.
  Result<TraceSession> read(json::Value& line) {
    TraceSession session;
    if (line.object() == nullptr) {
      expected("the line", &line, "an object");
    } else if (name(line, "session", true, session.name) &&
               name(line, "group", false, session.group) &&
               name(line, "source", false, session.source) && context(line, session.context)) {
      steps(line.object()->find("steps"), session.steps);
    }
    if (error_) {
      return tl::unexpected<Error>(*error_);
    }
    return session;
  }

private:
  bool refuse(const std::string& member, const std::string& why, Errc code = Errc::invalid) {
    error_ = Error{code, place_ + ": " + member + ": " + why};
    return false;
  }
  bool expected(const std::string& member, const json::Value* found, const std::string& what) {
    return refuse(member, std::string(kind_of(found)) + ", expected " + what);
  }

  bool name(const json::Value& holder, const std::string& member, bool required, std::string& out) {
    const json::Value* value = holder.find(member);
    if (!required && (value == nullptr || value->is_null())) {
      return true;
    }
    if (value == nullptr || value->string() == nullptr) {
      return expected(prefix_ + member, value, "a text");
    }
    out = *value->string();
    if (required && out.empty()) {
      return refuse(prefix_ + member, "empty, expected a name");
    }
    static_assert(task_bytes_max == trace_name_bytes_max);
    if (out.size() > trace_name_bytes_max) {
      return refuse(prefix_ + member,
                    std::to_string(out.size()) + " bytes, expected at most " +
                        std::to_string(trace_name_bytes_max),
                    Errc::too_large);
    }
    return true;
  }

  bool context(const json::Value& line, std::string& out) {
    const json::Value* value = line.find("context");
    if (value == nullptr || value->is_null()) {
      return true;
    }
    if (value->string() == nullptr) {
      return expected("context", value, "a text or null");
    }
    out = *value->string();
    return true;
  }

  bool steps(json::Value* value, std::vector<TraceStep>& out) {
    if (value == nullptr || value->array() == nullptr) {
      return expected("steps", value, "a list");
    }
    json::Array& items = *value->array();
    if (items.size() > limits_.steps_per_session) {
      return refuse("steps",
                    std::to_string(items.size()) + ", expected at most " +
                        std::to_string(limits_.steps_per_session),
                    Errc::too_large);
    }
    out.reserve(items.size());
    for (json::Value& item : items) {
      prefix_ = "steps[" + std::to_string(out.size()) + "]";
      if (!step(item, out)) {
        return false;
      }
    }
    return true;
  }

  bool step(json::Value& item, std::vector<TraceStep>& out) {
    if (item.object() == nullptr) {
      return expected(prefix_, &item, "an object");
    }
    prefix_ += '.';
    std::string task;
    if (!name(item, "task", true, task)) {
      return false;
    }
    json::Value* input = item.object()->find("input");
    if (input == nullptr || input->object() == nullptr) {
      return expected(prefix_ + "input", input, "an object");
    }
    json::Value* output = item.object()->find("output");
    json::Value none;
    const bool has_output = output != nullptr;
    if (!has_output && !limits_.needs_outputs) {
      output = &none;
    }
    if (output == nullptr) {
      return expected(prefix_ + "output", output, "a value (null if the task returned nothing)");
    }
    if (!fits("input", *input, json::document_bytes_max) ||
        !fits("output", *output, output_bytes_max)) {
      return false;
    }
    TraceStep step{Call::make(std::move(task), std::move(*input->object())),
                   std::move(*output),
                   {},
                   {},
                   {},
                   false,
                   has_output};
    if (!time(item, "latency_ms", step.latency) || !time(item, "think_ms", step.think) ||
        !texts(item, step.texts) || !flag(item, "par", step.beside_previous)) {
      return false;
    }
    if (step.beside_previous && out.empty()) {
      return refuse(prefix_ + "par", "true, expected a step before this one");
    }
    out.push_back(std::move(step));
    return true;
  }

  bool fits(const std::string& member, const json::Value& value, std::size_t bytes_max) {
    if (!measured_) {
      return true;
    }
    const std::size_t bytes = json::canonical(value).size();
    if (bytes > bytes_max) {
      return refuse(prefix_ + member,
                    std::to_string(bytes) + " bytes, expected at most " + std::to_string(bytes_max),
                    Errc::too_large);
    }
    return true;
  }

  bool time(const json::Value& item, const std::string& member, std::optional<Duration>& out) {
    const json::Value* value = item.find(member);
    if (value == nullptr || value->is_null()) {
      return true;
    }
    if (value->number() == nullptr) {
      return expected(prefix_ + member, value, "a number or null");
    }
    const double milliseconds = *value->number();
    if (milliseconds < 0 || milliseconds > milliseconds_of(trace_time_max)) {
      std::string written;
      json::append_number(written, milliseconds);
      return refuse(prefix_ + member,
                    written + ", expected 0 to " +
                        std::to_string(trace_time_max / std::chrono::milliseconds(1)));
    }
    out = Duration(std::llround(milliseconds * 1000));
    return true;
  }

  bool texts(const json::Value& item, std::vector<std::string>& out) {
    const json::Value* value = item.find("pre");
    if (value == nullptr || value->is_null()) {
      return true;
    }
    if (value->array() == nullptr) {
      return expected(prefix_ + "pre", value, "a list of texts");
    }
    if (value->array()->size() > trace_texts_max) {
      return refuse(prefix_ + "pre",
                    std::to_string(value->array()->size()) + " texts, expected at most " +
                        std::to_string(trace_texts_max),
                    Errc::too_large);
    }
    for (const json::Value& text : *value->array()) {
      if (text.string() == nullptr) {
        return expected(prefix_ + "pre[" + std::to_string(out.size()) + "]", &text, "a text");
      }
      out.push_back(*text.string());
    }
    return true;
  }

  bool flag(const json::Value& item, const std::string& member, bool& out) {
    const json::Value* value = item.find(member);
    if (value == nullptr || value->is_null()) {
      return true;
    }
    if (value->boolean() == nullptr) {
      return expected(prefix_ + member, value, "true or false");
    }
    out = *value->boolean();
    return true;
  }

  std::string place_;
  bool measured_;
  const TraceLimits& limits_;
  std::string prefix_;
  std::optional<Error> error_;
};

/// A session around a document of the greatest depth adds the line, its list and the step.
constexpr std::size_t line_depth_max = json::depth_max + 3;

/// Puts quotes around the NaN, Infinity and -Infinity of `line` that stand where a value does,
/// which JSON lacks but Python's writer knows. Nothing else changes.
struct Quoted {
  std::string text;
  std::uint32_t count = 0;
};
Quoted quote_non_numbers(std::string_view line) {
  static constexpr std::array<std::string_view, 3> words = {"NaN", "Infinity", "-Infinity"};
  Quoted quoted;
  char before = ' ';  // The last character that is no space.
  for (std::size_t i = 0; i < line.size();) {
    std::size_t length = 1;
    if (line[i] == '"') {
      while (i + length < line.size() && line[i + length] != '"') {
        length += line[i + length] == '\\' ? 2 : 1;
      }
      length = std::min(length + 1, line.size() - i);
    } else if (before == ':' || before == ',' || before == '[') {
      for (const std::string_view word : words) {
        const std::size_t after = line.find_first_not_of(" \t\r", i + word.size());
        if (line.substr(i).starts_with(word) && after != std::string_view::npos &&
            std::string_view(",]}").find(line[after]) != std::string_view::npos) {
          length = word.size();
          ++quoted.count;
        }
      }
    }
    const std::string_view piece = line.substr(i, length);
    quoted.text +=
        length > 1 && line[i] != '"' ? '"' + std::string(piece) + '"' : std::string(piece);
    if (std::string_view(" \t\r").find(line[i]) == std::string_view::npos) {
      before = piece.back();
    }
    i += length;
  }
  return quoted;
}

Result<TraceSession> parse_line(const std::string& line, const std::string& place,
                                const TraceLimits& limits) {
  Result<json::Value> value =
      json::parse(line, {.bytes = limits.line_bytes, .depth = line_depth_max});
  std::uint32_t non_numbers = 0;
  if (!value && value.error().code == Errc::invalid) {
    const Quoted quoted = quote_non_numbers(line);
    non_numbers = quoted.count;
    if (non_numbers > 0) {
      value = json::parse(quoted.text, {.bytes = quoted.text.size(), .depth = line_depth_max});
    }
  }
  if (!value) {
    return fail(value.error().code, place + ": " + value.error().message);
  }
  Result<TraceSession> session = SessionReader(place, line.size(), limits).read(*value);
  if (session) {
    session->non_numbers = non_numbers;
  }
  return session;
}

/// A generator of its own for each step and kind of time, so that no draw depends on another.
Prng draw_for(std::uint64_t seed, std::string_view kind, std::string_view session,
              std::size_t index) {
  std::string place(kind);
  place += '\n';
  place += std::to_string(seed);
  place += '\n';
  place += std::to_string(index);
  place += '\n';
  place += session;
  const Digest digest = sha256(place);
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    value = (value << 8U) | digest.bytes[i];
  }
  return Prng(value);
}

/// Shell-style: `*` any characters, `?` one. Linear in the text for each `*`.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;
  std::size_t from = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      from = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++from;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

std::string stem_of(const std::filesystem::path& trace_file) {
  std::filesystem::path name = trace_file.filename();
  if (name.extension() == ".gz") {
    name.replace_extension();
  }
  if (name.extension() == ".jsonl") {
    name.replace_extension();
  }
  return name.string();
}

/// The parts between commas. Errors: invalid for an empty one.
Result<std::vector<std::string>> split_patterns(const std::string& list) {
  std::vector<std::string> patterns;
  std::size_t from = 0;
  while (from <= list.size()) {
    const std::size_t comma = std::min(list.find(',', from), list.size());
    if (comma == from) {
      return fail(
          Errc::invalid,
          "read-only tasks: \"" + list +
              "\" has an empty pattern, expected a list such as Get*,Find* or a .json file");
    }
    patterns.push_back(list.substr(from, comma - from));
    from = comma + 1;
  }
  return patterns;
}

/// The list under `stem` in `value`, read from `file`.
Result<std::vector<std::string>> listed_names(const json::Value& value, const std::string& stem,
                                              const std::string& file) {
  if (value.object() == nullptr) {
    return fail(Errc::invalid, file + ": " + std::string(kind_of(&value)) + ", expected an object");
  }
  const json::Value* listed = value.find(stem);
  if (listed == nullptr) {
    std::vector<std::string> known;
    for (const json::Member& member : *value.object()) {
      known.push_back(member.name);
    }
    const std::optional<std::string> near = nearest_name(stem, known);
    return fail(Errc::not_found, file + ": no entry for " + stem +
                                     (near ? "; did you mean \"" + *near + "\"?"
                                           : ", expected a list of its tasks that only read"));
  }
  if (listed->array() == nullptr) {
    return fail(Errc::invalid, file + ": " + stem + ": " + std::string(kind_of(listed)) +
                                   ", expected a list of task names");
  }
  std::vector<std::string> names;
  for (const json::Value& name : *listed->array()) {
    if (name.string() == nullptr || name.string()->empty()) {
      return fail(Errc::invalid, file + ": " + stem + "[" + std::to_string(names.size()) + "]: " +
                                     std::string(kind_of(&name)) + ", expected a task's name");
    }
    names.push_back(*name.string());
  }
  return names;
}

Result<std::vector<std::string>> read_names(const std::string& file, const std::string& stem) {
  const Result<std::string> text = read_file(file, read_only_bytes_max);
  if (!text) {
    return tl::unexpected<Error>(text.error());
  }
  const Result<json::Value> value = json::parse(*text, {.bytes = read_only_bytes_max});
  if (!value) {
    return fail(value.error().code, file + ": " + value.error().message);
  }
  return listed_names(*value, stem, file);
}

}  // namespace

Result<std::vector<TraceSession>> read_traces(const std::filesystem::path& file,
                                              const TraceLimits& limits) {
  Result<LineReader> reader = LineReader::open(file, {limits.line_bytes, limits.file_bytes});
  if (!reader) {
    return tl::unexpected<Error>(reader.error());
  }
  std::vector<TraceSession> sessions;
  std::map<std::string, std::size_t, std::less<>> lines_by_name;
  std::string line;
  while (true) {
    const Result<bool> more = reader->next(line);
    if (!more) {
      return tl::unexpected<Error>(more.error());
    }
    if (!*more) {
      return sessions;
    }
    if (is_blank(line)) {
      continue;
    }
    if (sessions.size() == limits.sessions) {
      return fail(Errc::too_large,
                  reader->place() + ": more than " + std::to_string(limits.sessions) + " sessions");
    }
    Result<TraceSession> session = parse_line(line, reader->place(), limits);
    if (!session) {
      return tl::unexpected<Error>(session.error());
    }
    const auto [at, is_new] = lines_by_name.try_emplace(session->name, reader->number());
    if (!is_new) {
      return fail(Errc::invalid, reader->place() + ": session: \"" + session->name +
                                     "\" is the name of line " + std::to_string(at->second) +
                                     ", expected a new one");
    }
    sessions.push_back(std::move(*session));
  }
}

void model_missing_times(std::vector<TraceSession>& sessions, std::uint64_t seed,
                         const TimeModels& models) {
  for (TraceSession& session : sessions) {
    for (std::size_t i = 0; i < session.steps.size(); ++i) {
      TraceStep& step = session.steps[i];
      if (!step.latency) {
        step.latency = models.latency.draw(draw_for(seed, "latency", session.name, i));
      }
      if (!step.think) {
        step.think = step.beside_previous
                         ? Duration{}
                         : models.think.draw(draw_for(seed, "think", session.name, i));
      }
    }
  }
}

ReadOnlyTasks ReadOnlyTasks::all() {
  ReadOnlyTasks tasks;
  tasks.all_ = true;
  return tasks;
}

ReadOnlyTasks ReadOnlyTasks::of(std::set<std::string, std::less<>> names) {
  ReadOnlyTasks tasks;
  tasks.names_ = std::move(names);
  return tasks;
}

void ReadOnlyTasks::add(std::string name_or_pattern) {
  if (name_or_pattern == "*") {
    all_ = true;
  } else if (name_or_pattern.find_first_of("*?") == std::string::npos) {
    names_.insert(std::move(name_or_pattern));
  } else {
    patterns_.push_back(std::move(name_or_pattern));
  }
}

Result<ReadOnlyTasks> ReadOnlyTasks::parse(const std::string& file_or_pattern,
                                           const std::filesystem::path& trace_file) {
  Result<std::vector<std::string>> names = file_or_pattern.ends_with(".json")
                                               ? read_names(file_or_pattern, stem_of(trace_file))
                                               : split_patterns(file_or_pattern);
  if (!names) {
    return tl::unexpected<Error>(std::move(names.error()));
  }
  ReadOnlyTasks tasks;
  for (std::string& name : *names) {
    tasks.add(std::move(name));
  }
  return tasks;
}

bool ReadOnlyTasks::contains(std::string_view task) const {
  return all_ || names_.contains(task) ||
         std::any_of(patterns_.begin(), patterns_.end(),
                     [&](const std::string& pattern) { return matches(pattern, task); });
}

}  // namespace forerun
