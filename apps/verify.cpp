#include "apps/verify.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <ostream>
#include <string_view>
#include <vector>

#include "apps/process.hpp"
#include "base/hex.hpp"
#include "base/json.hpp"
#include "demo/http_client.hpp"
#include "files/ledger_export.hpp"
#include "speculation/client_api.hpp"
#include "speculation/ledger_audit.hpp"
#include "speculation/protocol.hpp"

namespace forerun {
namespace {

/// What was judged, and what does not hold.
struct Judgement {
  std::uint64_t nodes = 0;
  std::uint64_t entries = 0;
  CheckCounts counts;
  std::uint64_t re_executed = 0;
  std::vector<std::string> findings;
};

int tell(const Judgement& verdict, std::ostream& out, std::ostream& problems) {
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

// ---- a running cluster --------------------------------------------------------------------------

constexpr std::uint64_t entries_max = 50'000'000;  ///< 32 bytes each are held.

struct ReplicaReport {
  std::string name;  ///< "node NAME".
  std::string problem;
  std::optional<LedgerHead> head;
  std::optional<SignedHead> signed_head;
  std::vector<std::pair<std::uint64_t, Digest>> roots;  ///< By size.
};

struct RerunReport {
  std::uint64_t seq = 0;
  std::string by;  ///< "worker UUID on node NAME".
  std::optional<Digest> output_hash;
  std::string cause;
};

struct AuditReport {
  SignedHead head;
  std::vector<ReplicaReport> replicas;
  std::map<std::uint64_t, RerunReport> reruns;
  std::uint64_t without_verdict = 0;
};

/// Reads members of the coordinator's answers; a missing one is the coordinator's fault, kept once.
class Reader {
public:
  explicit Reader(const json::Value& value) : value_(value) {}
  std::string text(std::string_view name) const {
    const json::Value* found = value_.find(name);
    return found != nullptr && found->string() != nullptr ? *found->string() : std::string();
  }
  std::uint64_t number(std::string_view name) const {
    const json::Value* found = value_.find(name);
    const double* number = found == nullptr ? nullptr : found->number();
    return number != nullptr && *number >= 0 && *number < 9007199254740992.0
               ? static_cast<std::uint64_t>(*number)
               : 0;
  }
  std::optional<Digest> digest(std::string_view name) const { return digest_of(text(name)); }
  std::optional<SignedHead> head(std::string_view name) const {
    const json::Value* found = value_.find(name);
    if (found == nullptr || found->is_null()) {
      return std::nullopt;
    }
    const auto head = head_from_json(json::canonical(*found));
    return head ? std::optional(*head) : std::nullopt;
  }
  const json::Array& list(std::string_view name) const {
    static const json::Array none;
    const json::Value* found = value_.find(name);
    return found != nullptr && found->array() != nullptr ? *found->array() : none;
  }
  static std::optional<Digest> digest_of(const std::string& text) {
    const auto digest = digest_from_hex(text);
    return digest ? std::optional(*digest) : std::nullopt;
  }

private:
  const json::Value& value_;
};

Result<json::Value> answer_of(const std::string& url, const Result<HttpAnswer>& answer) {
  if (!answer) {
    return tl::unexpected<Error>(answer.error());
  }
  if (answer->status != 200) {
    const Errc code = answer->status == 409 ? Errc::refused : Errc::io;
    return fail(code, url + ": status " + std::to_string(answer->status) + ": " +
                          Reader(answer->body).text("detail"));
  }
  return answer->body;
}

ReplicaReport replica_of(const json::Value& value, const std::vector<std::uint64_t>& sizes) {
  const Reader node(value);
  ReplicaReport replica;
  replica.name = "node " + node.text("name") + " (" + node.text("node") + ")";
  replica.problem = node.text("problem");
  const auto root = node.digest("root");
  if (root) {
    replica.head = LedgerHead{node.number("size"), *root, Epoch{node.number("epoch")}};
  } else if (replica.problem.empty()) {
    replica.problem = "found no head, expected one";
  }
  replica.signed_head = node.head("signed_head");
  const json::Array& roots = node.list("roots");
  for (std::size_t i = 0; i < std::min(roots.size(), sizes.size()); ++i) {
    const auto digest =
        Reader::digest_of(roots[i].string() != nullptr ? *roots[i].string() : std::string());
    if (digest) {
      replica.roots.emplace_back(sizes[i], *digest);
    }
  }
  return replica;
}

/// Up to audit_sizes_max sizes in (low, high], the last one `high`, evenly spread.
std::vector<std::uint64_t> spread(std::uint64_t low, std::uint64_t high) {
  std::vector<std::uint64_t> sizes;
  const std::uint64_t count = std::min<std::uint64_t>(high - low, audit_sizes_max);
  for (std::uint64_t i = 1; i <= count; ++i) {
    sizes.push_back(low + (high - low) / count * i + (high - low) % count * i / count);
  }
  return sizes;
}

class ClusterAudit {
public:
  explicit ClusterAudit(const VerifySettings& settings, std::optional<PublicKey> first_key)
      : settings_(settings), http_(settings.url), audit_("coordinator", first_key) {}

  /// Errors: nothing could be judged.
  Result<Judgement> run() {
    const auto first = page(0, 1);
    if (!first) {
      return tl::unexpected<Error>(first.error());
    }
    const auto head = Reader(*first).head("head");
    if (!head || head->head.size > entries_max) {
      return fail(Errc::io, settings_.url + ": found no head of at most " +
                                std::to_string(entries_max) + " entries, is this a coordinator?");
    }
    auto report = ask(spread(0, head->head.size), settings_.sample);
    if (!report) {
      return tl::unexpected<Error>(report.error());
    }
    if (const auto read = read_ledger(*report); !read) {
      return tl::unexpected<Error>(read.error());
    }
    if (verdict_.findings.empty()) {
      judge_replicas(*report);
      judge_reruns(*report);
    } else {
      for (const ReplicaReport& replica : report->replicas) {
        if (!replica.problem.empty()) {
          find(replica.name + ": " + replica.problem);
        }
      }
    }
    verdict_.nodes = report->replicas.size();
    if (verdict_.nodes < settings_.nodes_min) {
      find("cluster: nodes: found " + std::to_string(verdict_.nodes) + ", expected at least " +
           std::to_string(settings_.nodes_min) +
           ": a node that was lost, or that stopped because its ledger diverged, is not asked");
    }
    verdict_.entries = audit_.size();
    verdict_.counts = audit_.counts();
    return std::move(verdict_);
  }

private:
  void find(std::string finding) { verdict_.findings.push_back(std::move(finding)); }

  Result<json::Value> page(std::uint64_t from, std::size_t count) {
    const auto answer =
        http_.get("/v1/ledger?from=" + std::to_string(from) + "&count=" + std::to_string(count));
    return answer_of(settings_.url, answer);
  }

  Result<AuditReport> ask(const std::vector<std::uint64_t>& sizes, std::uint32_t sample) {
    json::Object body;
    json::Array list;
    for (const std::uint64_t size : sizes) {
      list.emplace_back(size);
    }
    body.set("sizes", std::move(list));
    body.set("sample", std::uint64_t{sample});
    body.set("seed", settings_.seed);
    const auto answer = answer_of(settings_.url, http_.post("/v1/audits", json::canonical(body)));
    if (!answer) {
      return tl::unexpected<Error>(answer.error());
    }
    const Reader reader(*answer);
    const auto head = reader.head("head");
    if (!head) {
      return fail(Errc::io, settings_.url + ": the audit's report has no head");
    }
    AuditReport report{*head, {}, {}, reader.number("without_verdict")};
    for (const json::Value& node : reader.list("nodes")) {
      report.replicas.push_back(replica_of(node, sizes));
    }
    for (const json::Value& step : reader.list("re_executed")) {
      const Reader rerun(step);
      report.reruns[rerun.number("seq")] = {
          rerun.number("seq"), "worker " + rerun.text("worker") + " on node " + rerun.text("node"),
          rerun.digest("output_hash"), rerun.text("cause")};
    }
    return report;
  }

  /// Everything up to the largest size that anyone spoke of, recomputed here.
  Result<void> read_ledger(const AuditReport& report) {
    std::uint64_t target = report.head.head.size;
    audit_.watch(target);
    for (const ReplicaReport& replica : report.replicas) {
      for (const auto& [size, root] : replica.roots) {
        audit_.watch(size);
      }
      if (replica.head) {
        audit_.watch(replica.head->size);
        target = std::max(target, std::min(replica.head->size, entries_max));
      }
    }
    SignedHead head = report.head;
    while (audit_.size() < target) {
      const auto rows = page(audit_.size(), ledger_page_entries_max);
      if (!rows) {
        return tl::unexpected<Error>(rows.error());
      }
      head = Reader(*rows).head("head").value_or(head);
      const json::Array& entries = Reader(*rows).list("entries");
      for (const json::Value& entry : entries) {
        const Reader row(entry);
        auto taken = audit_.take(row.text("leaf"), row.text("call"), row.text("output"));
        if (!taken) {
          find(taken.error().message);
          return {};
        }
        remember(*taken, report);
      }
      if (entries.empty()) {
        find("coordinator: entry " + std::to_string(audit_.size()) +
             ": found nothing, expected an entry: its head has " + std::to_string(head.head.size));
        return {};
      }
    }
    if (const auto held = audit_.check_signed("coordinator", report.head); !held) {
      find(held.error().message);
    }
    return {};
  }

  void remember(const Entry& entry, const AuditReport& report) {
    if (const auto* commit = std::get_if<CommitEntry>(&entry.body);
        commit != nullptr && report.reruns.contains(entry.seq.value)) {
      recorded_.emplace(entry.seq.value, *commit);
    }
  }

  void judge_replicas(const AuditReport& report) {
    for (const ReplicaReport& replica : report.replicas) {
      if (!replica.problem.empty()) {
        find(replica.name + ": " + replica.problem);
        continue;
      }
      if (const auto wrong = first_wrong_root(replica)) {
        locate(replica.name, wrong->first, wrong->second);
        continue;
      }
      if (const auto held = audit_.check_prefix(replica.name, *replica.head); !held) {
        find(held.error().message);
      } else if (replica.signed_head) {
        if (const auto is_signed = audit_.check_signed(replica.name, *replica.signed_head);
            !is_signed) {
          find(is_signed.error().message);
        }
      }
    }
  }

  /// The largest size before the first wrong root, and that root's size.
  std::optional<std::pair<std::uint64_t, std::uint64_t>> first_wrong_root(
      const ReplicaReport& replica) const {
    std::uint64_t right = 0;
    for (const auto& [size, root] : replica.roots) {
      if (audit_.root_at(size) != root) {
        return std::pair(right, size);
      }
      right = size;
    }
    return std::nullopt;
  }

  /// Asks again, closer each time, until one entry is between a right root and a wrong one.
  void locate(const std::string& name, std::uint64_t right, std::uint64_t wrong) {
    std::string roots;
    for (bool is_asking = true; is_asking;) {
      is_asking = false;
      const auto report = ask(spread(right, wrong), 0);
      if (!report) {
        break;
      }
      for (const ReplicaReport& replica : report->replicas) {
        const auto at = replica.name == name ? first_wrong_root(replica) : std::nullopt;
        if (at) {
          is_asking = wrong - right > 1 && at->second - std::max(at->first, right) > 1;
          right = std::max(at->first, right);
          wrong = at->second;
          for (const auto& [size, root] : replica.roots) {
            roots = size == wrong ? to_hex(root) : roots;
          }
        }
      }
    }
    find(name + ": entry " + std::to_string(wrong - 1) + ": root up to it: found " + roots +
         ", expected " + to_hex(audit_.root_at(wrong)) +
         (wrong - right > 1 ? " (or an entry from " + std::to_string(right) + " on)" : ""));
  }

  void judge_reruns(const AuditReport& report) {
    for (const auto& [seq, rerun] : report.reruns) {
      const auto at = recorded_.find(seq);
      const std::string place = rerun.by + ": entry " + std::to_string(seq) + ": ";
      if (at == recorded_.end()) {
        find(place + "found no commit, expected the step that ran again");
        continue;
      }
      ++verdict_.re_executed;
      const CommitEntry& commit = at->second;
      if (!commit.output_hash || rerun.output_hash == commit.output_hash) {
        continue;
      }
      const auto& by = commit.winner ? commit.workers[*commit.winner] : std::nullopt;
      find(place + "output_hash: found " +
           (rerun.output_hash ? to_hex(*rerun.output_hash) : "none (" + rerun.cause + ")") +
           ", expected " + to_hex(*commit.output_hash) + ", which worker " +
           (by ? to_string(*by) : "unknown") + " answered");
    }
    if (report.without_verdict > 0) {
      find("coordinator: " + std::to_string(report.without_verdict) +
           " steps: found no second answer before the deadline, expected one each");
    }
  }

  const VerifySettings& settings_;
  HttpClient http_;
  LedgerAudit audit_;
  std::map<std::uint64_t, CommitEntry> recorded_;
  Judgement verdict_;
};

}  // namespace

Result<int> verify_cluster(const VerifySettings& settings, std::ostream& out,
                           std::ostream& problems) {
  const auto key = pinned_key(settings.first_key);
  if (!key) {
    return tl::unexpected<Error>(key.error());
  }
  const auto verdict = ClusterAudit(settings, *key).run();
  if (!verdict) {
    return tl::unexpected<Error>(verdict.error());
  }
  return tell(*verdict, out, problems);
}

Result<int> verify_export(const VerifySettings& settings, std::ostream& out,
                          std::ostream& problems) {
  const auto key = pinned_key(settings.first_key);
  if (!key) {
    return tl::unexpected<Error>(key.error());
  }
  Judgement verdict;
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
