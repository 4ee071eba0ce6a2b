#include "node/replica_audit.hpp"

#include <catch2/catch.hpp>

#include "speculation/merkle.hpp"

using namespace forerun;

namespace {

const SigningKey key = SigningKey::from_seed({7});

/// The entries of two terms, as a replica stores them, with the root of every size.
struct Replica {
  Replica() {
    roots.push_back(merkle::empty_root());
    add(Epoch{1}, {});
    add(Epoch{2}, tree.root());
    add(Epoch{3}, tree.root());
  }
  void add(Epoch epoch, std::optional<Digest> root) {
    EpochEntry body{"start", "test", key.public_key(), root, {}};
    const Seq seq{entries.size()};
    if (root) {
      body.previous_signature = key.sign(handover_message(epoch, body.public_key, *root, seq));
    }
    StoredEntry stored;
    stored.seq = seq;
    stored.epoch = epoch;
    stored.leaf = leaf_of(Entry{seq, epoch, body});
    tree.append(merkle::leaf_hash(stored.leaf));
    roots.push_back(tree.root());
    entries.push_back(std::move(stored));
  }
  ReplicaAudited audit(std::vector<std::uint64_t> sizes, std::uint64_t size,
                       std::optional<PublicKey> pinned = key.public_key()) const {
    AuditReplica request{Epoch{3}, AuditNumber{5}, std::move(sizes)};
    ReplicaAuditor auditor({request, size}, pinned);
    for (const StoredEntry& entry : entries) {
      auditor.take(entry);
    }
    return auditor.finish(std::nullopt);
  }
  merkle::Frontier tree;
  std::vector<Digest> roots;
  std::vector<StoredEntry> entries;
};

}  // namespace

TEST_CASE("a replica that holds is answered with its head and the roots asked for",
          "[replica_audit]") {
  const Replica replica;
  const ReplicaAudited audited = replica.audit({1, 3}, 3);
  CHECK(audited.problem.empty());
  CHECK(audited.audit == AuditNumber{5});
  CHECK(audited.head == LedgerHead{3, replica.roots[3], Epoch{3}});
  CHECK(audited.roots == std::vector<Digest>{replica.roots[1], replica.roots[3]});
}

TEST_CASE("what came after the order is not looked at", "[replica_audit]") {
  const Replica replica;
  CHECK(replica.audit({2}, 2).head == LedgerHead{2, replica.roots[2], Epoch{2}});
}

TEST_CASE("a replica that ends early, or does not hold, is told with the roots before that",
          "[replica_audit]") {
  Replica cut;
  cut.entries.pop_back();
  const ReplicaAudited ended = cut.audit({1, 3}, 3);
  CHECK(ended.problem.find("entry 2: found nothing (its store ends here)") == 0);
  CHECK(ended.roots == std::vector<Digest>{cut.roots[1]});

  Replica changed;
  std::string& leaf = changed.entries[1].leaf;
  leaf.replace(leaf.find("\"test\""), 6, "\"TEST\"");
  // The change shows at the next term, which names the root; the root before it tells where.
  const ReplicaAudited found = changed.audit({1, 2, 3}, 3);
  CHECK(found.problem.find("entry 2: root: found ") == 0);
  REQUIRE(found.roots.size() == 2);
  CHECK(found.roots[0] == changed.roots[1]);
  CHECK(found.roots[1] != changed.roots[2]);

  CHECK(Replica()
            .audit({}, 3, SigningKey::from_seed({8}).public_key())
            .problem.find("entry 0: public_key") == 0);
}
