#include "apps/selftest.hpp"

#include <fstream>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "speculation/merkle.hpp"
#include "speculation/seed_chain.hpp"
#include "speculation/tie_break.hpp"

namespace forerun {
namespace {

/// A vector's line holds a document as a string, so it is longer than one document may be.
constexpr json::Limits line_limits{16U << 20U, 64};

/// One line under check; every mismatch is written once with its place.
class Check {
public:
  Check(std::string place, std::ostream& log) : place_(std::move(place)), log_(log) {}

  void equal(const std::string& field, const std::string& found, const std::string& expected) {
    if (found != expected) {
      ok_ = false;
      log_ << place_ << ": " << field << ": found " << found << ", expected " << expected << '\n';
    }
  }
  void holds(const std::string& field, bool fact) { equal(field, fact ? "true" : "false", "true"); }
  const json::Value& member(const json::Value& value, const std::string& name) {
    static const json::Value nothing;
    const json::Value* found = value.find(name);
    holds("has \"" + name + "\"", found != nullptr);
    return found == nullptr ? nothing : *found;
  }
  std::string text(const json::Value& value, const std::string& name) {
    const std::string* found = member(value, name).string();
    holds(name + " is a string", found != nullptr);
    return found == nullptr ? std::string() : *found;
  }
  bool ok() const { return ok_; }

private:
  std::string place_;
  std::ostream& log_;
  bool ok_ = true;
};

void check_jcs(Check& check, const json::Value& line) {
  const auto value = json::parse(check.text(line, "json"));
  if (!value) {
    check.equal("json", value.error().message, "accepted");
    return;
  }
  const std::string canonical = json::canonical(*value);
  check.equal("jcs", canonical, check.text(line, "jcs"));
  check.equal("sha256", to_hex(sha256(canonical)), check.text(line, "sha256"));
  const auto again = json::parse(canonical);
  check.holds("canonical text reads back as itself",
              again.has_value() && json::canonical(*again) == canonical);
}

void check_reject(Check& check, const json::Value& line) {
  const auto value = json::parse(check.text(line, "json"));
  check.equal(check.text(line, "why"), value ? "accepted" : "refused", "refused");
}

std::vector<Digest> digests(Check& check, const json::Value& value) {
  std::vector<Digest> result;
  const json::Array* items = value.array();
  check.holds("proof is a list", items != nullptr);
  for (const json::Value& item : items == nullptr ? json::Array() : *items) {
    const auto digest = item.string() == nullptr
                            ? Result<Digest>(fail(Errc::invalid, "not a string"))
                            : digest_from_hex(*item.string());
    check.holds("proof holds digests", digest.has_value());
    result.push_back(digest.value_or(Digest{}));
  }
  return result;
}

/// Follows one growing tree over the lines of merkle.jsonl.
class MerkleFollower {
public:
  void check_line(Check& check, const json::Value& line) {
    const double* wanted = check.member(line, "size").number();
    const std::string entry = check.text(line, "entry");
    if (wanted == nullptr || *wanted < 0 || *wanted > 100'000) {
      check.holds("size is a number up to 100000", false);
      return;
    }
    const auto size = static_cast<std::uint64_t>(*wanted);
    while (leaves_.size() < size) {
      std::string leaf = entry;
      const std::size_t at = leaf.find("<i>");
      if (at != std::string::npos) {
        leaf.replace(at, 3, std::to_string(leaves_.size()));
      }
      leaves_.push_back(merkle::leaf_hash(leaf));
    }
    const auto leaf_at = [this](std::uint64_t i) { return leaves_[i]; };
    const Digest root = merkle::root(leaf_at, size);
    check.equal("root", to_hex(root), check.text(line, "root"));
    merkle::Frontier frontier;
    for (std::uint64_t i = 0; i < size; ++i) {
      frontier.append(leaves_[i]);
    }
    check.equal("root by appending", to_hex(frontier.root()), to_hex(root));
    each(check, line, "inclusion", size,
         [&](std::uint64_t index, const std::vector<Digest>& proof) {
           if (index < size) {
             check.holds("inclusion " + std::to_string(index),
                         merkle::inclusion_proof(leaf_at, index, size) == proof);
             check.holds("inclusion verifies",
                         merkle::verify_inclusion(leaves_[index], index, size, proof, root));
           }
         });
    each(check, line, "consistency", size,
         [&](std::uint64_t first, const std::vector<Digest>& proof) {
           check.holds("consistency " + std::to_string(first),
                       merkle::consistency_proof(leaf_at, first, size) == proof);
           check.holds(
               "consistency verifies",
               merkle::verify_consistency(first, size, proof, merkle::root(leaf_at, first), root));
         });
  }

private:
  template <class Function>
  void each(Check& check, const json::Value& line, const std::string& name, std::uint64_t size,
            Function&& function) {
    const json::Object* proofs = check.member(line, name).object();
    check.holds(name + " is an object", proofs != nullptr);
    if (proofs == nullptr) {
      return;
    }
    for (const json::Member& member : *proofs) {
      const auto number = json::parse(member.name);
      const double* at = number ? number->number() : nullptr;
      if (at == nullptr || *at < 0 || *at > static_cast<double>(size)) {
        check.equal(name, member.name, "a position in the tree");
        continue;
      }
      function(static_cast<std::uint64_t>(*at), digests(check, member.value));
    }
  }
  std::vector<Digest> leaves_;
};

void check_session(Check& check, const json::Value& line) {
  const std::string run_id = check.text(line, "run_id");
  const json::Array* steps = check.member(line, "steps").array();
  check.holds("steps is a list", steps != nullptr);
  ChainValue chain;
  bool is_first = true;
  for (const json::Value& step : steps == nullptr ? json::Array() : *steps) {
    const auto input = json::parse(check.text(step, "input"));
    const json::Array* names = check.member(step, "branch_names").array();
    const json::Array* flags = check.member(step, "branch_validities").array();
    const json::Object* winners = check.member(step, "winning_branch_index").object();
    if (!input || names == nullptr || flags == nullptr || winners == nullptr ||
        names->size() != flags->size() || names->empty()) {
      check.holds("step is well-formed", false);
      return;
    }
    const std::string call = canonical_call(check.text(step, "task"), *input);
    check.equal("input_hash", to_hex(call_hash(call)), check.text(step, "input_hash"));
    chain = is_first ? chain_start(call, run_id) : chain_next(chain, call);
    is_first = false;
    check.equal("seed_chain", to_hex(chain), check.text(step, "seed_chain"));
    check.equal("deterministic_tie_breaker_seed", seed_text(chain),
                check.text(step, "deterministic_tie_breaker_seed"));
    std::vector<std::string> branches;
    std::vector<std::optional<bool>> validities;
    for (std::size_t i = 0; i < names->size(); ++i) {
      const std::string* name = (*names)[i].string();
      const bool* flag = (*flags)[i].boolean();
      branches.push_back(name == nullptr ? std::string() : *name);
      validities.push_back(flag == nullptr ? std::nullopt : std::optional<bool>(*flag));
    }
    for (const json::Member& winner : *winners) {
      const auto rule = select_rule_from(winner.name);
      if (!rule || winner.value.number() == nullptr) {
        check.equal("winning_branch_index", winner.name, "a rule with a number");
        continue;
      }
      const Selection selection = select(*rule, chain, branches, validities, {});
      const int found =
          selection.state == Selection::State::winner ? static_cast<int>(selection.index) : -1;
      check.equal("winning_branch_index/" + winner.name, std::to_string(found),
                  std::to_string(static_cast<int>(*winner.value.number())));
    }
  }
}

struct Totals {
  int passed = 0;
  int failed = 0;
};

/// False when the file is missing or holds no vector.
template <class Function>
bool each_line(const std::filesystem::path& path, Totals& totals, std::ostream& log,
               Function&& function) {
  std::ifstream file(path);
  std::string line;
  int number = 0;
  while (std::getline(file, line)) {
    ++number;
    Check check(path.filename().string() + ":" + std::to_string(number), log);
    if (const auto value = json::parse(line, line_limits)) {
      function(check, *value);
    } else {
      check.equal("line", value.error().message, "one JSON object");
    }
    ++(check.ok() ? totals.passed : totals.failed);
  }
  if (number == 0) {
    log << path.string() << ": no vectors, expected a file of JSON Lines\n";
  }
  return number != 0;
}

}  // namespace

int selftest(const std::filesystem::path& folder, std::ostream& out, std::ostream& log) {
  Totals totals;
  MerkleFollower merkle;
  bool all_there = each_line(folder / "jcs.jsonl", totals, log, check_jcs);
  all_there = each_line(folder / "jcs_rejects.jsonl", totals, log, check_reject) && all_there;
  all_there =
      each_line(folder / "merkle.jsonl", totals, log,
                [&](Check& check, const json::Value& line) { merkle.check_line(check, line); }) &&
      all_there;
  all_there = each_line(folder / "tie_break.jsonl", totals, log, check_session) && all_there;
  out << totals.passed << " passed, " << totals.failed << " failed\n";
  return totals.failed != 0 ? 5 : all_there ? 0 : 3;
}

}  // namespace forerun
