#include "messages/codec.hpp"

#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>

#include "base/hex.hpp"
#include "base/prng.hpp"

using namespace forerun;

namespace {

template <std::size_t size>
std::array<std::uint8_t, size> filled(char byte) {
  std::array<std::uint8_t, size> bytes{};
  bytes.fill(static_cast<std::uint8_t>(byte));
  return bytes;
}

Uuid uuid_of(std::string_view text) {
  Uuid uuid;
  std::copy_n(text.begin(), uuid.bytes.size(), uuid.bytes.begin());
  return uuid;
}

const WorkerId worker_a{uuid_of("0123456789abcdef")};
const WorkerId worker_b{uuid_of("fedcba9876543210")};

LedgerHead head_of(std::uint64_t size, char root, std::uint64_t epoch) {
  return {size, Digest{filled<32>(root)}, Epoch{epoch}};
}

SignedHead signed_head(std::uint64_t size) {
  return {head_of(size, 'c', 3), Signature{filled<64>('s')}, PublicKey{filled<32>('k')}};
}

/// One message of every kind, every field set to what the golden file says.
std::vector<NodeMessage> node_messages() {
  return {
      Join{1,
           "0.1.0",
           "rack-7",
           ~0ULL,
           {{worker_a, 4, 4096}, {worker_b, 1024, 0}},
           head_of(3, 'r', 2),
           {},
           {}},
      Heartbeat{Epoch{2},
                head_of(3, 'r', 2),
                {BranchToken{7}, BranchToken{300}},
                {BranchToken{(1ULL << 53U) + 1}}},
      BranchEnded{Epoch{2}, BranchToken{7}, Ending::returned, "{\"a\":1}", "{\"w\":null}", "[1]",
                  "", Duration(12500), Duration(0), 0},
      BranchEnded{Epoch{2}, BranchToken{8}, Ending::cancelled, "", "", "", "cancelled",
                  Duration(900), Duration(350), 2},
      FetchEntries{Seq{41}},
      MarkStored{worker_a, 8192},
      Diverged{head_of(4, 'o', 2), head_of(5, 'c', 3), "entry 3: root differs"},
  };
}

std::vector<CoordinatorMessage> coordinator_messages() {
  return {
      Welcome{Epoch{3}, "0.1.0", 47001, "{\"tasks\":{}}", signed_head(5)},
      JoinRefused{"two live workers with one UUID", true},
      JoinAgain{Epoch{3}},
      Dispatch{Epoch{3}, BranchToken{7}, worker_a,
               BranchOwner{RunId{worker_b, 12}, StepNumber{0}, SpeculationNumber{4}, {}},
               "order_lookup", "{\"order_id\":\"A\xc3\xa9\"}", "{}", true, std::chrono::seconds(2),
               "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
               WorldPosition{"airline-12", 3, 0}},
      ConfirmBranch{Epoch{3}, BranchToken{7}, StepNumber{2}, std::chrono::seconds(30)},
      CancelBranch{Epoch{3}, BranchToken{7}},
      ResendResult{Epoch{3}, BranchToken{9}},
      ReserveRunIds{worker_a, 12288},
      Entries{Seq{5},
              {{"{\"kind\":\"commit\"}", "{\"input\":{},\"task\":\"t\"}"},
               {"{\"kind\":\"epoch\"}", ""}},
              signed_head(7)},
  };
}

Dispatch dispatch_of_400_bytes() {
  Dispatch dispatch = std::get<Dispatch>(coordinator_messages()[3]);
  dispatch.outside_key.clear();
  dispatch.world.reset();
  dispatch.input = "{\"order_id\":\"" + std::string(240, 'x') + "\"}";
  dispatch.state = "{\"cart\":\"" + std::string(40, 'y') + "\"}";
  return dispatch;
}

template <class Variant>
std::string one(const Variant& message) {
  return encode(std::span<const Variant>(&message, 1));
}

std::string node_frame(NodeMessage message) {
  return one(message);
}

std::string coordinator_frame(CoordinatorMessage message) {
  return one(message);
}

std::map<std::string, std::string> golden_frames() {
  std::ifstream file(std::string(FORERUN_GOLDEN) + "/wire_v1.hex");
  std::map<std::string, std::string> frames;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string name;
    std::string hex;
    if (words >> name >> hex && name != "#") {
      const auto bytes = from_hex(hex);
      REQUIRE(bytes);
      frames[name] = std::string(bytes->begin(), bytes->end());
    }
  }
  return frames;
}

/// Both decoders; whatever they answer, they must answer.
std::size_t decode_both(std::string_view frame) {
  return (decode_node_frame(frame) ? 1U : 0U) + (decode_coordinator_frame(frame) ? 1U : 0U);
}

}  // namespace

TEST_CASE("every message kind comes back field by field", "[codec]") {
  const auto node = node_messages();
  REQUIRE(decode_node_frame(encode(std::span(node))) == node);
  const auto coordinator = coordinator_messages();
  REQUIRE(decode_coordinator_frame(encode(std::span(coordinator))) == coordinator);
}

TEST_CASE("every ending comes back, and what is absent stays absent", "[codec]") {
  for (const Ending ending : {Ending::returned, Ending::failed, Ending::timed_out, Ending::expired,
                              Ending::cancelled, Ending::lost}) {
    const NodeMessage message =
        BranchEnded{Epoch{1}, BranchToken{2}, ending, "", "", "", "", {}, {}, 0};
    REQUIRE(decode_node_frame(one(message)) == std::vector{message});
  }
  Dispatch dispatch = dispatch_of_400_bytes();
  dispatch.owner.step.reset();
  dispatch.owner.speculation.reset();
  const CoordinatorMessage bare = dispatch;
  REQUIRE(decode_coordinator_frame(one(bare)) == std::vector{bare});
  const CoordinatorMessage no_step = [&] {
    dispatch.world = WorldPosition{"s", 0, std::nullopt};
    return dispatch;
  }();
  REQUIRE(decode_coordinator_frame(one(no_step)) == std::vector{no_step});
  const CoordinatorMessage entries = Entries{Seq{1}, {}, std::nullopt};
  REQUIRE(decode_coordinator_frame(one(entries)) == std::vector{entries});
}

TEST_CASE("old bytes stay readable", "[codec]") {
  const auto frames = golden_frames();
  REQUIRE(frames.size() == 2);
  REQUIRE(decode_node_frame(frames.at("node")) == node_messages());
  REQUIRE(decode_coordinator_frame(frames.at("coordinator")) == coordinator_messages());
}

TEST_CASE("kinds and fields that this version does not know are skipped", "[codec]") {
  const NodeMessage fetch = FetchEntries{Seq{7}};
  const std::string known = one(fetch);
  const std::string later_kind("\x0a\x05\xc2\x3e\x02hi", 7);  // Envelope{1000: "hi"}
  const std::string later_frame_field("\x12\x03yes", 5);      // Frame{2: "yes"}
  REQUIRE(decode_node_frame(later_kind + known + later_frame_field) == std::vector{fetch});
  REQUIRE(decode_node_frame(later_kind) == std::vector<NodeMessage>{});
  const std::string later_field("\x0a\x08\x22\x06\x08\x07\xfa\x01\x01z",
                                10);  // FetchEntries{1: 7, 31: "z"}
  REQUIRE(decode_node_frame(later_field) == std::vector{fetch});
  REQUIRE(decode_node_frame("") == std::vector<NodeMessage>{});
}

TEST_CASE("a message of the other direction, or two in one envelope, is refused", "[codec]") {
  REQUIRE(decode_node_frame(coordinator_frame(JoinAgain{Epoch{1}})).error().code == Errc::invalid);
  REQUIRE(decode_coordinator_frame(node_frame(FetchEntries{Seq{1}})).error().code == Errc::invalid);
  const std::string two("\x0a\x08\x22\x02\x08\x01\x22\x02\x08\x02", 10);
  REQUIRE(decode_node_frame(two).error().message ==
          "wire: envelope: two kinds, expected one message");
}

TEST_CASE("a field of the wrong length is named", "[codec]") {
  std::string frame = node_frame(MarkStored{worker_a, 1});
  frame[1] = static_cast<char>(frame[1] - 1);
  frame[3] = static_cast<char>(frame[3] - 1);
  frame[5] = 15;
  frame.erase(6, 1);
  REQUIRE(decode_node_frame(frame).error().message ==
          "wire: mark_stored: worker: 15 bytes, expected 16");
  const auto missing = decode_node_frame(std::string("\x0a\x02\x12\x00", 4));  // Heartbeat{}
  REQUIRE(missing.error().message == "wire: heartbeat: head: nothing, expected a value");
  const auto ending = decode_node_frame(std::string("\x0a\x02\x1a\x00", 4));  // BranchEnded{}
  REQUIRE(ending.error().message == "wire: branch_ended: ending: 0, expected 1 to 6");
  REQUIRE(decode_coordinator_frame(coordinator_frame(ConfirmBranch{Epoch{1}, BranchToken{1},
                                                                   StepNumber{1}, Duration(-1)}))
              .error()
              .code == Errc::invalid);
}

TEST_CASE("numbers and times that no store could keep are refused", "[codec]") {
  const auto problem = [](const NodeMessage& message) {
    const auto decoded = decode_node_frame(node_frame(message));
    return decoded ? std::string() : decoded.error().message;
  };
  const std::uint64_t most = (std::uint64_t{1} << 53U) - 1;
  CHECK(problem(FetchEntries{Seq{most}}).empty());
  CHECK(problem(FetchEntries{Seq{most + 1}}) ==
        "wire: fetch_entries: from: 9007199254740992, expected at most 9007199254740991");
  CHECK_THAT(problem(FetchEntries{Seq{~std::uint64_t{0}}}), Catch::Contains("from"));
  CHECK_THAT(problem(MarkStored{worker_a, most + 1}), Catch::Contains("mark"));
  Join join = std::get<Join>(node_messages()[0]);
  join.workers = {{worker_a, 1, most + 1}};
  CHECK_THAT(problem(join), Catch::Contains("run_mark"));
  join = std::get<Join>(node_messages()[0]);
  join.head.size = most + 1;
  CHECK_THAT(problem(join), Catch::Contains("size"));
  join = std::get<Join>(node_messages()[0]);
  join.epoch.value = most + 1;
  CHECK_THAT(problem(join), Catch::Contains("epoch"));
  BranchEnded ended = std::get<BranchEnded>(node_messages()[2]);
  ended.latency = Duration::max();
  CHECK_THAT(problem(ended), Catch::Contains("latency_us"));
}

TEST_CASE("what exceeds a limit is refused", "[codec]") {
  const auto refused = [](const std::string& frame) {
    const auto node = decode_node_frame(frame);
    const auto coordinator = decode_coordinator_frame(frame);
    return (!node && node.error().code == Errc::too_large) ||
           (!coordinator && coordinator.error().code == Errc::too_large);
  };
  REQUIRE(refused(std::string(frame_bytes_max + 1, '\0')));
  const std::vector<NodeMessage> most(frame_messages_max, FetchEntries{Seq{1}});
  REQUIRE(decode_node_frame(encode(std::span(most)))->size() == frame_messages_max);
  const std::vector<NodeMessage> too_many(frame_messages_max + 1, FetchEntries{Seq{1}});
  REQUIRE(refused(encode(std::span(too_many))));

  BranchEnded ended = std::get<BranchEnded>(node_messages()[2]);
  ended.output = std::string(output_bytes_max, 'x');
  REQUIRE_FALSE(refused(node_frame(ended)));
  ended.output += 'x';
  REQUIRE(refused(node_frame(ended)));

  Join join = std::get<Join>(node_messages()[0]);
  join.workers.assign(workers_per_node_max, {worker_a, 1, 1});
  REQUIRE_FALSE(refused(node_frame(join)));
  join.workers.push_back({worker_a, 1, 1});
  REQUIRE(refused(node_frame(join)));
  join.workers = {{worker_a, slots_per_worker_max + 1, 0}};
  REQUIRE(refused(node_frame(join)));
  join.workers.clear();
  join.name = std::string(label_bytes_max + 1, 'n');
  REQUIRE(refused(node_frame(join)));

  Heartbeat heartbeat = std::get<Heartbeat>(node_messages()[1]);
  heartbeat.running.assign(heartbeat_tokens_max + 1, BranchToken{1});
  REQUIRE(refused(node_frame(heartbeat)));

  Entries entries{Seq{0}, std::vector<EntryRecord>(fetch_entries_max + 1), std::nullopt};
  REQUIRE(refused(coordinator_frame(entries)));
  entries.records.pop_back();
  REQUIRE_FALSE(refused(coordinator_frame(entries)));
}

TEST_CASE("a join of empty workers is refused by its size, before it is parsed", "[codec]") {
  std::string workers;
  for (int i = 0; i < 100'000; ++i) {
    workers += std::string("\x2a\x00", 2);
  }
  std::string frame("\x0a\xc4\x9a\x0c\x0a\xc0\x9a\x0c", 8);
  const auto result = decode_node_frame(frame + workers);
  REQUIRE(result.error().code == Errc::too_large);
  REQUIRE(result.error().message == "wire: join: bytes: 200000, expected at most 65536");
}

TEST_CASE("groups nested without end are refused", "[codec]") {
  const std::string groups(50'000, '\x7b');  // FetchEntries{15: a group in a group in …}
  REQUIRE(decode_node_frame("\x0a\xd4\x86\x03\x22\xd0\x86\x03" + groups).error().message ==
          "wire: fetch_entries: malformed bytes");
}

TEST_CASE("a long cause is cut between characters", "[codec]") {
  JoinRefused refused{std::string(cause_bytes_max - 1, 'a') + "\xc3\xa9", false};
  const auto back = decode_coordinator_frame(coordinator_frame(refused));
  REQUIRE(std::get<JoinRefused>(back->at(0)).why == std::string(cause_bytes_max - 1, 'a'));
}

TEST_CASE("more than one frame's worth is split, in order and losing nothing", "[codec]") {
  REQUIRE(encode_frames(std::span<const NodeMessage>()).empty());
  std::vector<NodeMessage> many;
  for (std::uint64_t i = 0; i < 2 * frame_messages_max + 1; ++i) {
    many.emplace_back(FetchEntries{Seq{i}});
  }
  BranchEnded big = std::get<BranchEnded>(node_messages()[2]);
  big.output = std::string(output_bytes_max, 'x');
  many.insert(many.end(), 20, big);
  std::vector<NodeMessage> back;
  for (const std::string& frame : encode_frames(std::span<const NodeMessage>(many))) {
    const auto part = decode_node_frame(frame);
    REQUIRE(part);
    back.insert(back.end(), part->begin(), part->end());
  }
  REQUIRE(back == many);
}

TEST_CASE("entries are split at their limits and the head comes last", "[codec]") {
  Entries entries{Seq{10}, {}, signed_head(5000)};
  for (std::size_t i = 0; i < fetch_entries_max + 5; ++i) {
    entries.records.push_back({"leaf " + std::to_string(i), ""});
  }
  for (int i = 0; i < 12; ++i) {
    entries.records.push_back({"big", std::string(output_bytes_max, 'c')});
  }
  const std::vector<CoordinatorMessage> messages{entries};
  Entries joined{Seq{10}, {}, std::nullopt};
  std::size_t parts = 0;
  for (const std::string& frame : encode_frames(std::span(messages))) {
    const auto decoded = decode_coordinator_frame(frame);
    REQUIRE(decoded);
    for (const auto& message : *decoded) {
      const auto& part = std::get<Entries>(message);
      REQUIRE_FALSE(joined.head);
      REQUIRE(part.first.value == 10 + joined.records.size());
      joined.records.insert(joined.records.end(), part.records.begin(), part.records.end());
      joined.head = part.head;
      ++parts;
    }
  }
  REQUIRE(parts >= 3);
  REQUIRE(joined == entries);
}

TEST_CASE("cut, changed and random bytes are answered, never followed", "[codec]") {
  const auto node = node_messages();
  const auto coordinator = coordinator_messages();
  const std::array whole{encode(std::span(node)), encode(std::span(coordinator))};
  std::size_t readable = 0;
  for (const std::string& frame : whole) {
    for (std::size_t size = 0; size < frame.size(); ++size) {
      readable += decode_both(std::string_view(frame).substr(0, size));
    }
  }
  Prng prng(42);
  for (int round = 0; round < 40'000; ++round) {
    std::string frame = whole[prng.below(2)];
    for (std::uint64_t change = 0; change <= prng.below(4); ++change) {
      const std::size_t at = prng.below(frame.size());
      switch (prng.below(3)) {
        case 0:
          frame[at] = static_cast<char>(prng.below(256));
          break;
        case 1:
          frame.erase(at, 1 + prng.below(8));
          break;
        default:
          frame.insert(at, 1, static_cast<char>(prng.below(256)));
      }
    }
    readable += decode_both(frame);
  }
  for (int round = 0; round < 10'000; ++round) {
    std::string noise(prng.below(64), '\0');
    for (char& byte : noise) {
      byte = static_cast<char>(prng.below(256));
    }
    readable += decode_both(noise);
  }
  REQUIRE(readable > 0);
  REQUIRE(decode_node_frame(whole[0]) == node);
}

TEST_CASE("cost of a dispatch of 400 bytes", "[.measure]") {
  constexpr int rounds = 4000;
  const std::vector<CoordinatorMessage> messages(64, dispatch_of_400_bytes());
  std::cout << one(messages[0]).size() << " bytes\n";
  // The quickest round: other work on the machine only adds.
  const auto measure = [&](const char* what, auto&& work) {
    auto best = std::chrono::nanoseconds::max();
    for (int i = 0; i < rounds; ++i) {
      const auto start = std::chrono::steady_clock::now();
      work();
      best = std::min(best, std::chrono::nanoseconds(std::chrono::steady_clock::now() - start));
    }
    std::cout << what << ": " << best.count() / 64 << " ns a message\n";
  };
  std::string frame;
  measure("encode", [&] { frame = encode(std::span(messages)); });
  measure("decode", [&] { REQUIRE(decode_coordinator_frame(frame)->size() == 64); });
}

TEST_CASE("an audit's messages and the owner of its branches come back as they were sent",
          "[codec]") {
  Dispatch effect;
  effect.token = BranchToken{10};
  effect.owner.effect = true;
  effect.outside_key = "key-0";
  effect.http = R"({"http":{"method":"POST","url":"https://a.example/"}})";
  effect.tenant = "acme";
  const std::vector<CoordinatorMessage> orders = {
      AuditReplica{Epoch{3}, AuditNumber{2}, {1, 64, 1000}},
      Dispatch{Epoch{3}, BranchToken{9}, worker_a, BranchOwner{{}, {}, {}, AuditNumber{2}}, "t",
               "{}", "{}", false, std::chrono::seconds(2), "", std::nullopt},
      effect};
  for (const CoordinatorMessage& order : orders) {
    const auto read = decode_coordinator_frame(coordinator_frame(order));
    REQUIRE(read);
    CHECK(*read == std::vector<CoordinatorMessage>{order});
  }
  const NodeMessage answer = ReplicaAudited{Epoch{3},
                                            AuditNumber{2},
                                            head_of(64, 'r', 2),
                                            signed_head(5),
                                            {sha256("1"), sha256("64")},
                                            60,
                                            1,
                                            "entry 64: seq: found 66, expected 64"};
  const auto read = decode_node_frame(node_frame(answer));
  REQUIRE(read);
  CHECK(*read == std::vector<NodeMessage>{answer});
  AuditReplica too_many{Epoch{3}, AuditNumber{2}, {}};
  too_many.sizes.resize(audit_sizes_max + 1);
  CHECK_FALSE(decode_coordinator_frame(coordinator_frame(too_many)));
}

TEST_CASE("what a coordinator asks before its term comes back as it was sent", "[codec]") {
  const CoordinatorMessage question = FetchReplica{Seq{70'000}};
  const auto asked = decode_coordinator_frame(coordinator_frame(question));
  REQUIRE(asked);
  CHECK(*asked == std::vector<CoordinatorMessage>{question});
  Join join = std::get<Join>(node_messages().front());
  join.epoch = Epoch{4};
  const auto heard = decode_node_frame(node_frame(join));
  REQUIRE(heard);
  CHECK(*heard == std::vector<NodeMessage>{join});
  const NodeMessage page =
      ReplicaEntries{{Seq{9}, {{"{\"a\":1}", "{}"}, {"{\"b\":2}", ""}}, signed_head(11)}};
  const auto read = decode_node_frame(node_frame(page));
  REQUIRE(read);
  CHECK(*read == std::vector<NodeMessage>{page});
}
