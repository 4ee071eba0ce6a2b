#include "apps/verify.hpp"

#include <ostream>
#include <string_view>
#include <vector>

#include "apps/process.hpp"
#include "base/json.hpp"
#include "files/ledger_export.hpp"
#include "speculation/ledger_audit.hpp"

namespace forerun {
namespace {

/// What was judged, and what does not hold.
struct Verdict {
  std::uint64_t nodes = 0;
  std::uint64_t entries = 0;
  CheckCounts counts;
  std::uint64_t re_executed = 0;
  std::vector<std::string> findings;
};

int tell(const Verdict& verdict, std::ostream& out, std::ostream& problems) {
  json::Object report;
  report.set("nodes", verdict.nodes);
  report.set("agree", verdict.findings.empty());
  report.set("entries", verdict.entries);
  report.set("recomputed", verdict.counts.recomputed);
  report.set("not_recomputed", verdict.counts.not_recomputed);
  report.set("re_executed", verdict.re_executed);
  out << json::canonical(report) << '\n' << std::flush;
  for (const std::string& finding : verdict.findings) {
    problems << "forerun: " << finding << '\n';
  }
  return verdict.findings.empty() ? exit_ok : exit_verification;
}

Result<std::optional<PublicKey>> pinned_key(const std::string& text) {
  if (text.empty()) {
    return std::nullopt;
  }
  const auto key = public_key_from_hex(text);
  if (!key) {
    return fail(Errc::invalid, "--key: " + key.error().message);
  }
  return *key;
}

std::string_view text_of(const std::map<Digest, std::string>& texts, const Digest& hash) {
  const auto at = texts.find(hash);
  return at == texts.end() ? std::string_view() : std::string_view(at->second);
}

/// Every entry of an export with what lies beside it, then its head.
Result<void> judge(const LedgerExport& exported, LedgerAudit& audit) {
  for (const std::string& leaf : exported.leaves) {
    std::string_view call;
    std::string_view output;
    // A leaf that cannot be read is refused, with its reason, by the audit.
    if (const auto entry = entry_of(leaf)) {
      if (const auto* commit = std::get_if<CommitEntry>(&entry->body)) {
        call = text_of(exported.calls, commit->input_hash);
        output = commit->output_hash ? text_of(exported.outputs, *commit->output_hash) : "";
      }
    }
    if (const auto taken = audit.take(leaf, call, output); !taken) {
      return tl::unexpected<Error>(taken.error());
    }
  }
  return audit.check_whole(exported.head);
}

}  // namespace

Result<int> verify_export(const VerifySettings& settings, std::ostream& out,
                          std::ostream& problems) {
  const auto key = pinned_key(settings.first_key);
  if (!key) {
    return tl::unexpected<Error>(key.error());
  }
  Verdict verdict;
  const auto exported = read_ledger_export(settings.export_folder);
  if (!exported) {
    const bool is_content =
        exported.error().code == Errc::verification || exported.error().code == Errc::invalid;
    if (!is_content) {
      return tl::unexpected<Error>(exported.error());
    }
    verdict.findings.push_back("export: " + exported.error().message);
    return tell(verdict, out, problems);
  }
  LedgerAudit audit("export", *key);
  if (const auto held = judge(*exported, audit); !held) {
    verdict.findings.push_back(held.error().message);
  }
  verdict.entries = audit.size();
  verdict.counts = audit.counts();
  return tell(verdict, out, problems);
}

}  // namespace forerun
