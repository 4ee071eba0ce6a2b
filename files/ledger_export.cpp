#include "files/ledger_export.hpp"

#include <fstream>
#include <functional>
#include <utility>

#include "base/json.hpp"
#include "files/catalog_file.hpp"
#include "files/file_bytes.hpp"

namespace forerun {
namespace {

constexpr std::size_t head_bytes_max = 4096;
constexpr double seq_max = 9007199254740991;  ///< 2^53 - 1.

bool is_there(const std::filesystem::path& file) {
  std::error_code problem;
  return std::filesystem::exists(file, problem);
}

Result<void> each_line(const std::filesystem::path& file, const LedgerExportLimits& limits,
                       const std::function<Result<void>(std::string line)>& take) {
  std::error_code problem;
  const std::uintmax_t size = std::filesystem::file_size(file, problem);
  std::ifstream in(file, std::ios::binary);
  if (problem || !in) {
    return fail(
        is_there(file) ? Errc::io : Errc::not_found,
        file.string() + ": cannot be read, expected a file that `forerun ledger export` wrote");
  }
  if (size > limits.file_bytes) {
    return fail(Errc::too_large, file.string() + ": " + std::to_string(size) +
                                     " bytes, expected at most " +
                                     std::to_string(limits.file_bytes));
  }
  std::string line;
  for (std::uint64_t number = 1; std::getline(in, line); ++number) {
    const std::string place = file.filename().string() + " line " + std::to_string(number) + ": ";
    if (line.size() > limits.line_bytes) {
      return fail(Errc::too_large,
                  place + "expected at most " + std::to_string(limits.line_bytes) + " bytes");
    }
    if (auto taken = take(std::move(line)); !taken) {
      return fail(taken.error().code, place + taken.error().message);
    }
  }
  if (in.bad()) {
    return fail(Errc::io, file.string() + ": reading failed");
  }
  return {};
}

/// Reads `{"<hash>": …, "<value>": …}` lines into a map from hash to canonical text.
Result<std::map<Digest, std::string>> read_texts(const std::filesystem::path& file,
                                                 const std::string& value, const std::string& hash,
                                                 const LedgerExportLimits& limits) {
  std::map<Digest, std::string> texts;
  const auto read = each_line(file, limits, [&](std::string line) -> Result<void> {
    // C's wrapper does not count towards the nesting limit, and this is one more around it.
    const auto parsed = json::parse(line, {limits.line_bytes, json::depth_max + 2});
    if (!parsed) {
      return tl::unexpected(parsed.error());
    }
    const json::Value* text = parsed->find(value);
    const json::Value* stated = parsed->find(hash);
    if (text == nullptr || stated == nullptr || stated->string() == nullptr) {
      return fail(Errc::invalid, "expected members " + hash + " and " + value);
    }
    std::string canonical = json::canonical(*text);
    const Digest found = sha256(canonical);
    if (to_hex(found) != *stated->string()) {
      return fail(Errc::verification, hash + ": found " + *stated->string() + ", expected " +
                                          to_hex(found) + ", which is that of the " + value +
                                          " beside it");
    }
    texts.emplace(found, std::move(canonical));
    return {};
  });
  if (!read) {
    return tl::unexpected(read.error());
  }
  return texts;
}

Result<void> read_states(const std::filesystem::path& file, const LedgerExportLimits& limits,
                         LedgerExport& result) {
  const auto read = each_line(file, limits, [&](const std::string& line) -> Result<void> {
    const auto parsed = json::parse(line, {limits.line_bytes, json::depth_max + 1});
    const json::Value* seq = parsed ? parsed->find("seq") : nullptr;
    const json::Value* hash = parsed ? parsed->find("state_hash") : nullptr;
    const bool is_seq = seq != nullptr && seq->number() != nullptr && *seq->number() >= 0 &&
                        *seq->number() <= seq_max;
    const auto digest = hash != nullptr && hash->string() != nullptr
                            ? digest_from_hex(*hash->string())
                            : Result<Digest>(fail(Errc::invalid, "no digest"));
    if (!is_seq || !digest) {
      return fail(Errc::invalid, "expected members seq, a number, and state_hash, 64 hex digits");
    }
    const Seq at{static_cast<std::uint64_t>(*seq->number())};
    result.states.emplace(at, *digest);
    if (const json::Value* state = parsed->find("state")) {
      std::string text = json::canonical(*state);
      if (sha256(text) != *digest) {
        return fail(Errc::verification, "state_hash: it is not that of the state beside it");
      }
      result.opened_with.emplace(at, std::move(text));
    }
    return {};
  });
  return read;
}

Result<void> check_format(const std::filesystem::path& folder) {
  const auto file = folder / "format.json";
  if (!is_there(file)) {
    return {};
  }
  const auto text = read_file(file, head_bytes_max);
  const auto value = text ? json::parse(*text) : Result<json::Value>(tl::unexpected(text.error()));
  if (!value) {
    return fail(value.error().code, "format.json: " + value.error().message);
  }
  const json::Value* format = value->find("format");
  if (format == nullptr || format->number() == nullptr || *format->number() < 1) {
    return fail(Errc::invalid, "format.json: expected {\"format\": a number from 1}");
  }
  if (*format->number() > static_cast<double>(ledger_export_format)) {
    return fail(Errc::refused, "format.json: written by a newer Forerun: found format " +
                                   json::canonical(*format) + ", expected at most " +
                                   std::to_string(ledger_export_format) +
                                   ": read it with the version that wrote it, or a later one");
  }
  return {};
}

}  // namespace

std::string_view text_of(const std::map<Digest, std::string>& texts,
                         const std::optional<Digest>& hash) {
  const auto at = hash ? texts.find(*hash) : texts.end();
  return at == texts.end() ? std::string_view() : std::string_view(at->second);
}

std::string ledger_export_format_json() {
  return "{\"format\":" + std::to_string(ledger_export_format) + "}\n";
}

Result<LedgerExport> read_ledger_export(const std::filesystem::path& folder,
                                        const LedgerExportLimits& limits) {
  for (const char* name : ledger_export_files) {
    std::error_code problem;
    const auto status = std::filesystem::status(folder / name, problem);
    if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status)) {
      return fail(Errc::io, (folder / name).string() + ": not a file");
    }
  }
  LedgerExport result;
  if (const auto known = check_format(folder); !known) {
    return tl::unexpected(known.error());
  }
  const auto leaves = each_line(folder / "ledger.jsonl", limits, [&](std::string line) {
    result.leaves.push_back(std::move(line));
    return Result<void>();
  });
  if (!leaves) {
    return tl::unexpected(leaves.error());
  }
  auto calls = read_texts(folder / "inputs.jsonl", "call", "input_hash", limits);
  if (!calls) {
    return tl::unexpected(calls.error());
  }
  result.calls = std::move(*calls);
  auto outputs = read_texts(folder / "outputs.jsonl", "output", "output_hash", limits);
  if (!outputs) {
    return tl::unexpected(outputs.error());
  }
  result.outputs = std::move(*outputs);
  for (const auto& [name, texts] :
       {std::pair("writes", &result.writes), std::pair("effects", &result.effects)}) {
    const auto file = folder / (std::string(name) + ".jsonl");
    if (is_there(file)) {
      auto read = read_texts(file, name, std::string(name) + "_hash", limits);
      if (!read) {
        return tl::unexpected(read.error());
      }
      *texts = std::move(*read);
    }
  }
  if (const auto file = folder / "states.jsonl"; is_there(file)) {
    if (auto read = read_states(file, limits, result); !read) {
      return tl::unexpected(read.error());
    }
    result.has_states = true;
  }
  const auto head_text = read_file(folder / "head.json", head_bytes_max);
  if (!head_text) {
    return tl::unexpected(head_text.error());
  }
  auto head = head_from_json(head_text->substr(0, head_text->find_last_not_of("\r\n") + 1));
  if (!head) {
    return fail(head.error().code, "head.json: " + head.error().message);
  }
  result.head = *head;
  auto catalog = read_file(folder / "catalog.toml", catalog_bytes_max);
  if (!catalog) {
    return tl::unexpected(catalog.error());
  }
  result.catalog = std::move(*catalog);
  return result;
}

}  // namespace forerun
