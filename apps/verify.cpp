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
  std::uint64_t unanswered = 0;  ///< Of the sample: neither right nor wrong.
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
  if (!verdict.findings.empty()) {
    return exit_verification;
  }
  if (verdict.unanswered > 0) {
    problems
        << "forerun: coordinator: " << verdict.unanswered
        << " steps of the sample had no second answer before the deadline, though nothing that "
           "was checked is wrong: slots are busy, or a worker does not answer; ask again "
           "later, or for fewer with --sample\n";
    return exit_error;
  }
  return exit_ok;
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

/// Every entry of an export with what lies beside it, then its head.
Result<void> judge(const LedgerExport& exported, LedgerAudit& audit) {
  for (const std::string& leaf : exported.leaves) {
    EntryTexts texts;
    // A leaf that cannot be read is refused, with its reason, by the audit.
    if (const auto entry = entry_of(leaf)) {
      if (const auto* commit = std::get_if<CommitEntry>(&entry->body)) {
        texts.call = text_of(exported.calls, commit->input_hash);
        texts.output = text_of(exported.outputs, commit->output_hash);
        texts.writes = text_of(exported.writes, commit->writes_hash);
        texts.effects = text_of(exported.effects, commit->effects_hash);
      }
    }
    if (const auto taken = audit.take(leaf, texts); !taken) {
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

struct RunReport {
  std::string by;  ///< "worker UUID on node NAME".
  std::optional<Digest> output_hash;
  std::string cause;

  std::string told() const { return output_hash ? to_hex(*output_hash) : "none (" + cause + ")"; }
};

struct RerunReport {
  std::string recorded_node;  ///< Empty when its worker is not in the cluster.
  RunReport second;
  std::optional<RunReport> third;  ///< Asked where the second answer differs from the recorded one.
};

struct AuditReport {
  SignedHead head;
  std::vector<ReplicaReport> replicas;
  std::map<std::uint64_t, RerunReport> reruns;
  std::uint64_t without_verdict = 0;
  std::vector<std::string> absent;  ///< What does not hold of nodes that belong to the cluster.
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

RunReport run_of(const Reader& run) {
  return {"worker " + run.text("worker") + " on node " + run.text("node"),
          run.digest("output_hash"), run.text("cause")};
}

RerunReport rerun_of(const json::Value& value) {
  const Reader reader(value);
  RerunReport rerun{reader.text("recorded_node"), run_of(reader), std::nullopt};
  if (const json::Value* third = value.find("third"); third != nullptr && !third->is_null()) {
    rerun.third = run_of(Reader(*third));
  }
  return rerun;
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
  if (replica.head) {
    // A root too, and where its own check found a problem, the last one before that.
    replica.roots.emplace_back(replica.head->size, replica.head->root);
    std::sort(replica.roots.begin(), replica.roots.end());
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
      : settings_(settings), http_(settings.url, settings.http), audit_("coordinator", first_key) {}

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
      blame_coordinator(*report);
      for (const ReplicaReport& replica : report->replicas) {
        if (!replica.problem.empty()) {
          find(replica.name + ": " + replica.problem);
        }
      }
    }
    verdict_.findings.insert(verdict_.findings.end(), report->absent.begin(), report->absent.end());
    verdict_.nodes = report->replicas.size();
    if (verdict_.nodes < settings_.nodes_min) {
      find("cluster: nodes: found " + std::to_string(verdict_.nodes) + ", expected at least " +
           std::to_string(settings_.nodes_min));
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
    body.set("deadline_ms", std::uint64_t{settings_.deadline_s} * 1000);
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
    AuditReport report{*head, {}, {}, reader.number("without_verdict"), {}};
    for (const json::Value& node : reader.list("absent")) {
      const Reader absent(node);
      report.absent.push_back("node " + absent.text("name") + " (" + absent.text("node") +
                              "): found no replica to read (" + absent.text("why") +
                              "), expected one: start the node, with --resync if its ledger "
                              "diverged, or take its key off with `forerun keys revoke`");
    }
    for (const json::Value& node : reader.list("nodes")) {
      report.replicas.push_back(replica_of(node, sizes));
    }
    for (const json::Value& step : reader.list("re_executed")) {
      report.reruns[Reader(step).number("seq")] = rerun_of(step);
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
        auto taken = take(row);
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

  Result<Entry> take(const Reader& row) {
    const std::string call = row.text("call");
    const std::string output = row.text("output");
    const std::string writes = row.text("writes");
    const std::string effects = row.text("effects");
    return audit_.take(row.text("leaf"), {call, output, writes, effects});
  }

  void remember(const Entry& entry, const AuditReport& report) {
    if (const auto* commit = std::get_if<CommitEntry>(&entry.body);
        commit != nullptr && report.reruns.contains(entry.seq.value)) {
      recorded_.emplace(entry.seq.value, *commit);
    }
  }

  void judge_replicas(const AuditReport& report) {
    for (const ReplicaReport& replica : report.replicas) {
      // An entry that was changed may show only later, where a term's first entry names the root.
      if (const auto wrong = first_wrong_root(replica)) {
        const Difference at = locate(replica.name, *wrong);
        find(replica.name + ": " + at.place + "found " + at.root + ", expected " +
             to_hex(audit_.root_at(at.size)));
      } else if (!replica.problem.empty()) {
        find(replica.name + ": " + replica.problem);
      } else if (const auto held = audit_.check_prefix(replica.name, *replica.head); !held) {
        find(held.error().message);
      } else if (replica.signed_head) {
        if (const auto is_signed = audit_.check_signed(replica.name, *replica.signed_head);
            !is_signed) {
          find(is_signed.error().message);
        }
      }
    }
  }

  /// What the coordinator's store holds does not follow, or is not what its head signs. A replica
  /// that holds tells which entry was changed.
  void blame_coordinator(const AuditReport& report) {
    for (const ReplicaReport& replica : report.replicas) {
      const auto wrong = replica.problem.empty() ? first_wrong_root(replica) : std::nullopt;
      if (wrong) {
        const Difference at = locate(replica.name, *wrong);
        verdict_.findings.front() = "coordinator: " + at.place + "found " +
                                    to_hex(audit_.root_at(at.size)) + ", expected " + at.root +
                                    ", as " + replica.name + " holds";
        return;
      }
    }
  }

  /// A root up to `right` is right, that of size `wrong` is not.
  struct Bounds {
    std::uint64_t right = 0;
    std::uint64_t wrong = 0;
  };
  /// Of a replica, as far as this ledger was read.
  std::optional<Bounds> first_wrong_root(const ReplicaReport& replica) const {
    std::uint64_t right = 0;
    for (const auto& [size, root] : replica.roots) {
      if (size > audit_.size()) {
        break;
      }
      if (audit_.root_at(size) != root) {
        return Bounds{right, size};
      }
      right = size;
    }
    return std::nullopt;
  }

  struct Difference {
    std::string place;  ///< "entry N: root up to it: ".
    std::string root;   ///< The replica's.
    std::uint64_t size = 0;
  };

  /// Asks again, closer each time, until one entry is between a right root and a wrong one.
  Difference locate(const std::string& name, Bounds bounds) {
    std::string roots;
    for (bool is_asking = true; is_asking;) {
      is_asking = false;
      const auto report = ask(spread(bounds.right, bounds.wrong), 0);
      if (!report) {
        break;
      }
      for (const ReplicaReport& replica : report->replicas) {
        const auto at = replica.name == name ? first_wrong_root(replica) : std::nullopt;
        if (at) {
          const std::uint64_t right = std::max(at->right, bounds.right);
          const bool is_closer = right > bounds.right || at->wrong < bounds.wrong;
          is_asking = is_closer && at->wrong - right > 1;
          bounds = {right, at->wrong};
          for (const auto& [size, root] : replica.roots) {
            roots = size == bounds.wrong ? to_hex(root) : roots;
          }
        }
      }
    }
    const bool is_found = bounds.wrong - bounds.right <= 1;
    return {"entry " + std::to_string(bounds.wrong - 1) +
                (is_found ? "" : " (or one from " + std::to_string(bounds.right) + " on)") +
                ": root up to it: ",
            roots, bounds.wrong};
  }

  void judge_reruns(const AuditReport& report) {
    for (const auto& [seq, rerun] : report.reruns) {
      const auto at = recorded_.find(seq);
      if (at == recorded_.end()) {
        find(rerun.second.by + ": entry " + std::to_string(seq) +
             ": found no commit, expected the step that ran again");
        continue;
      }
      ++verdict_.re_executed;
      if (at->second.output_hash && rerun.second.output_hash != at->second.output_hash) {
        judge_answers(at->second, seq, rerun);
      }
    }
    verdict_.unanswered += report.without_verdict;
  }

  /// Two answers differ; whom a third one agrees with is right.
  void judge_answers(const CommitEntry& commit, std::uint64_t seq, const RerunReport& rerun) {
    const auto& worker = commit.winner ? commit.workers[*commit.winner] : std::nullopt;
    const std::string host =
        rerun.recorded_node.empty() ? std::string() : " on node " + rerun.recorded_node;
    const RunReport recorded{
        "worker " + (worker ? to_string(*worker) : std::string("unknown")) + host,
        commit.output_hash,
        {}};
    const RunReport& second = rerun.second;
    const std::string place = ": entry " + std::to_string(seq) + ": output_hash: found ";
    const auto name = [&](const RunReport& wrong, const RunReport& right) {
      find(wrong.by + place + wrong.told() + ", expected " + right.told() + ", which " + right.by +
           " and " + rerun.third->by + " answered");
    };
    if (!rerun.third) {
      find("cluster" + place + second.told() + " by " + second.by + ", expected " +
           recorded.told() + " as " + recorded.by +
           " answered: one of the two is wrong, and there was no third node to tell which");
    } else if (rerun.third->output_hash == recorded.output_hash) {
      name(second, recorded);
    } else if (rerun.third->output_hash == second.output_hash) {
      name(recorded, second);
    } else {
      find("cluster" + place + recorded.told() + " by " + recorded.by + ", " + second.told() +
           " by " + second.by + " and " + rerun.third->told() + " by " + rerun.third->by +
           ", expected one answer: the task is not deterministic, or two nodes are wrong");
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
