#include "messages/codec.hpp"

#include <google/protobuf/io/coded_stream.h>
#include <messages/wire/v1/wire.pb.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

namespace forerun {
namespace {

namespace pb = google::protobuf;
namespace wire = forerun::wire::v1;

constexpr std::size_t small_bytes_max =
    64U << 10U;  ///< One message of a kind without lists or documents.
constexpr std::size_t entries_bytes_target = 1U << 20U;
constexpr std::size_t outside_key_bytes = 80;  ///< hex(Sk), and an effect's index.

// ---- the kinds
// -----------------------------------------------------------------------------------------------------

/// How a struct travels: its generated type, its number in the envelope, its name in errors, and
/// the size above which its bytes are not even parsed. (A Join of two-byte workers would take forty
/// times its size in memory.)
template <class Message>
struct Kind;

#define FORERUN_KIND(Struct, Number, Name, BytesMax)      \
  template <>                                             \
  struct Kind<Struct> {                                   \
    using Wire = wire::Struct;                            \
    static constexpr int number = wire::Envelope::Number; \
    static constexpr std::string_view name = Name;        \
    static constexpr std::size_t bytes_max = BytesMax;    \
  }

FORERUN_KIND(Join, kJoinFieldNumber, "join", small_bytes_max);
FORERUN_KIND(Heartbeat, kHeartbeatFieldNumber, "heartbeat", frame_bytes_max);
FORERUN_KIND(BranchEnded, kBranchEndedFieldNumber, "branch_ended", frame_bytes_max);
FORERUN_KIND(FetchEntries, kFetchEntriesFieldNumber, "fetch_entries", small_bytes_max);
FORERUN_KIND(MarkStored, kMarkStoredFieldNumber, "mark_stored", small_bytes_max);
FORERUN_KIND(Diverged, kDivergedFieldNumber, "diverged", small_bytes_max);
FORERUN_KIND(ReplicaAudited, kReplicaAuditedFieldNumber, "replica_audited", small_bytes_max);
FORERUN_KIND(Welcome, kWelcomeFieldNumber, "welcome", frame_bytes_max);
FORERUN_KIND(JoinRefused, kJoinRefusedFieldNumber, "join_refused", small_bytes_max);
FORERUN_KIND(JoinAgain, kJoinAgainFieldNumber, "join_again", small_bytes_max);
FORERUN_KIND(Dispatch, kDispatchFieldNumber, "dispatch", frame_bytes_max);
FORERUN_KIND(ConfirmBranch, kConfirmBranchFieldNumber, "confirm_branch", small_bytes_max);
FORERUN_KIND(CancelBranch, kCancelBranchFieldNumber, "cancel_branch", small_bytes_max);
FORERUN_KIND(ResendResult, kResendResultFieldNumber, "resend_result", small_bytes_max);
FORERUN_KIND(ReserveRunIds, kReserveRunIdsFieldNumber, "reserve_run_ids", small_bytes_max);
FORERUN_KIND(Entries, kEntriesFieldNumber, "entries", frame_bytes_max);
FORERUN_KIND(AuditReplica, kAuditReplicaFieldNumber, "audit_replica", small_bytes_max);
FORERUN_KIND(FetchReplica, kFetchReplicaFieldNumber, "fetch_replica", small_bytes_max);
FORERUN_KIND(ReplicaEntries, kReplicaEntriesFieldNumber, "replica_entries", frame_bytes_max);
#undef FORERUN_KIND

template <class Message>
using WireOf = typename Kind<Message>::Wire;

/// This thread's object of one generated type. Its strings keep their memory (at most a frame's
/// size each) from one message to the next, which is what makes encoding cheap.
template <class Wire>
Wire& scratch() {
  thread_local Wire object;
  object.Clear();
  return object;
}

// ---- structs to generated types
// ------------------------------------------------------------------------------------

template <std::size_t size>
void assign(std::string& to, const std::array<std::uint8_t, size>& bytes) {
  to.assign(reinterpret_cast<const char*>(bytes.data()), size);
}

/// Cuts without splitting a UTF-8 sequence.
std::string_view cut(std::string_view cause) {
  if (cause.size() <= cause_bytes_max) {
    return cause;
  }
  std::size_t end = cause_bytes_max;
  while (end > 0 && (static_cast<unsigned char>(cause[end]) & 0xC0U) == 0x80U) {
    --end;
  }
  return cause.substr(0, end);
}

void assign_cut(std::string& to, std::string_view cause) {
  to.assign(cut(cause));
}

void write(const LedgerHead& from, wire::LedgerHead& to) {
  to.set_size(from.size);
  assign(*to.mutable_root(), from.root.bytes);
  to.set_epoch(from.epoch.value);
}

void write(const SignedHead& from, wire::SignedHead& to) {
  write(from.head, *to.mutable_head());
  assign(*to.mutable_signature(), from.signature.bytes);
  assign(*to.mutable_public_key(), from.public_key.bytes);
}

void write(const Join& from, wire::Join& to) {
  to.set_protocol(from.protocol);
  to.set_version(from.version);
  to.set_name(from.name);
  to.set_instance(from.instance);
  for (const WorkerOffer& offer : from.workers) {
    wire::WorkerOffer& worker = *to.add_workers();
    assign(*worker.mutable_worker(), offer.worker.uuid.bytes);
    worker.set_slots(offer.slots);
    worker.set_run_mark(offer.run_mark);
  }
  write(from.head, *to.mutable_head());
  to.set_epoch(from.epoch.value);
  if (from.signed_head) {
    write(*from.signed_head, *to.mutable_signed_head());
  }
}

void write(const Heartbeat& from, wire::Heartbeat& to) {
  to.set_epoch(from.epoch.value);
  write(from.head, *to.mutable_head());
  for (const BranchToken token : from.running) {
    to.add_running(token.value);
  }
  for (const BranchToken token : from.finished) {
    to.add_finished(token.value);
  }
}

wire::Ending wire_ending(Ending ending) {
  switch (ending) {
    case Ending::returned:
      return wire::ENDING_RETURNED;
    case Ending::failed:
      return wire::ENDING_FAILED;
    case Ending::timed_out:
      return wire::ENDING_TIMED_OUT;
    case Ending::expired:
      return wire::ENDING_EXPIRED;
    case Ending::cancelled:
      return wire::ENDING_CANCELLED;
    case Ending::lost:
      return wire::ENDING_LOST;
  }
  return wire::ENDING_UNSPECIFIED;
}

void write(const BranchEnded& from, wire::BranchEnded& to) {
  to.set_epoch(from.epoch.value);
  to.set_token(from.token.value);
  to.set_ending(wire_ending(from.ending));
  to.set_output(from.output);
  to.set_writes(from.writes);
  to.set_effects(from.effects);
  assign_cut(*to.mutable_cause(), from.cause);
  to.set_latency_us(from.latency.count());
  to.set_freed_after_us(from.freed_after.count());
  to.set_dead_handles(from.dead_handles);
}

void write(const FetchEntries& from, wire::FetchEntries& to) {
  to.set_from(from.from.value);
}

void write(const MarkStored& from, wire::MarkStored& to) {
  assign(*to.mutable_worker(), from.worker.uuid.bytes);
  to.set_mark(from.mark);
}

void write(const Diverged& from, wire::Diverged& to) {
  write(from.own, *to.mutable_own());
  write(from.coordinator, *to.mutable_coordinator());
  assign_cut(*to.mutable_why(), from.why);
}

void write(const Welcome& from, wire::Welcome& to) {
  to.set_epoch(from.epoch.value);
  to.set_version(from.version);
  to.set_publish_port(from.publish_port);
  to.set_catalog(from.catalog);
  write(from.head, *to.mutable_head());
}

void write(const JoinRefused& from, wire::JoinRefused& to) {
  assign_cut(*to.mutable_why(), from.why);
  to.set_is_final(from.is_final);
}

void write(const JoinAgain& from, wire::JoinAgain& to) {
  to.set_epoch(from.epoch.value);
}

void write(const BranchOwner& from, wire::BranchOwner& to) {
  assign(*to.mutable_run_id()->mutable_home(), from.run_id.home.uuid.bytes);
  to.mutable_run_id()->set_counter(from.run_id.counter);
  if (from.step) {
    to.set_step(from.step->value);
  }
  if (from.speculation) {
    to.set_speculation(from.speculation->value);
  }
  if (from.audit) {
    to.set_audit(from.audit->value);
  }
  to.set_effect(from.effect);
}

void write(const WorldPosition& from, wire::WorldPosition& to) {
  to.set_session(from.session);
  to.set_committed(from.committed);
  if (from.step) {
    to.set_step(*from.step);
  }
}

void write(const Dispatch& from, wire::Dispatch& to) {
  to.set_epoch(from.epoch.value);
  to.set_token(from.token.value);
  assign(*to.mutable_worker(), from.worker.uuid.bytes);
  write(from.owner, *to.mutable_owner());
  to.set_task(from.task);
  to.set_input(from.input);
  to.set_state(from.state);
  to.set_speculative(from.speculative);
  to.set_timeout_us(from.timeout.count());
  to.set_outside_key(from.outside_key);
  if (from.world) {
    write(*from.world, *to.mutable_world());
  }
  to.set_http(from.http);
  to.set_tenant(from.tenant);
}

void write(const ConfirmBranch& from, wire::ConfirmBranch& to) {
  to.set_epoch(from.epoch.value);
  to.set_token(from.token.value);
  to.set_step(from.step.value);
  to.set_timeout_us(from.timeout.count());
}

void write(const CancelBranch& from, wire::CancelBranch& to) {
  to.set_epoch(from.epoch.value);
  to.set_token(from.token.value);
}

void write(const ResendResult& from, wire::ResendResult& to) {
  to.set_epoch(from.epoch.value);
  to.set_token(from.token.value);
}

void write(const ReserveRunIds& from, wire::ReserveRunIds& to) {
  assign(*to.mutable_worker(), from.worker.uuid.bytes);
  to.set_mark(from.mark);
}

void write(const Entries& from, wire::Entries& to) {
  to.set_first(from.first.value);
  for (const EntryRecord& record : from.records) {
    wire::EntryRecord& out = *to.add_records();
    out.set_leaf(record.leaf);
    out.set_call(record.call);
  }
  if (from.head) {
    write(*from.head, *to.mutable_head());
  }
}

void write(const ReplicaAudited& from, wire::ReplicaAudited& to) {
  to.set_epoch(from.epoch.value);
  to.set_audit(from.audit.value);
  write(from.head, *to.mutable_head());
  if (from.signed_head) {
    write(*from.signed_head, *to.mutable_signed_head());
  }
  for (const Digest& root : from.roots) {
    assign(*to.add_roots(), root.bytes);
  }
  to.set_recomputed(from.recomputed);
  to.set_not_recomputed(from.not_recomputed);
  assign_cut(*to.mutable_problem(), from.problem);
}

void write(const AuditReplica& from, wire::AuditReplica& to) {
  to.set_epoch(from.epoch.value);
  to.set_audit(from.audit.value);
  for (const std::uint64_t size : from.sizes) {
    to.add_sizes(size);
  }
}

void write(const FetchReplica& from, wire::FetchReplica& to) {
  to.set_from(from.from.value);
}

void write(const ReplicaEntries& from, wire::ReplicaEntries& to) {
  write(from.entries, *to.mutable_entries());
}

// ---- frames out
// ----------------------------------------------------------------------------------------------------

std::uint8_t* put_header(int number, std::size_t size, std::uint8_t* at) {
  constexpr std::uint32_t length_delimited = 2;
  at = pb::io::CodedOutputStream::WriteVarint32ToArray(
      static_cast<std::uint32_t>(number) << 3U | length_delimited, at);
  return pb::io::CodedOutputStream::WriteVarint32ToArray(static_cast<std::uint32_t>(size), at);
}

/// Appends one envelope: what Frame{envelopes: [{message}]} would serialize to, without building a
/// tree of objects.
template <class Message>
void append(std::string& frame, const Message& message) {
  WireOf<Message>& out = scratch<WireOf<Message>>();
  write(message, out);
  const std::size_t body = out.ByteSizeLong();
  std::array<std::uint8_t, 12> inner{};
  const auto inner_size = static_cast<std::size_t>(
      put_header(Kind<Message>::number, body, inner.data()) - inner.data());
  std::array<std::uint8_t, 12> outer{};
  const auto outer_size = static_cast<std::size_t>(
      put_header(wire::Frame::kEnvelopesFieldNumber, inner_size + body, outer.data()) -
      outer.data());
  const std::size_t at = frame.size();
  frame.resize(at + outer_size + inner_size + body);
  auto* to = reinterpret_cast<std::uint8_t*>(frame.data()) + at;
  to = std::copy_n(outer.data(), outer_size, to);
  to = std::copy_n(inner.data(), inner_size, to);
  out.SerializeWithCachedSizesToArray(to);
}

template <class Variant>
std::string encode_one(std::span<const Variant> messages) {
  std::string frame;
  for (const Variant& message : messages) {
    std::visit([&](const auto& one) { append(frame, one); }, message);
  }
  return frame;
}

class FrameList {
public:
  template <class Message>
  void add(const Message& message) {
    const std::size_t mark = frame_.size();
    append(frame_, message);
    if (count_ > 0 && (frame_.size() > frame_bytes_max || count_ == messages_per_frame)) {
      std::string next = frame_.substr(mark);
      frame_.resize(mark);
      frames_.push_back(std::exchange(frame_, std::move(next)));
      count_ = 0;
    }
    ++count_;
  }

  void add(const Entries& entries) {
    std::size_t from = 0;
    do {
      const std::size_t end = part_end(entries, from);
      if (from == 0 && end == entries.records.size()) {
        return add<Entries>(entries);
      }
      Entries part{Seq{entries.first.value + from}, {}, std::nullopt};
      part.records.assign(entries.records.begin() + static_cast<std::ptrdiff_t>(from),
                          entries.records.begin() + static_cast<std::ptrdiff_t>(end));
      if (end == entries.records.size()) {
        part.head = entries.head;
      }
      add<Entries>(part);
      from = end;
    } while (from < entries.records.size());
  }

  std::vector<std::string> take() {
    if (count_ > 0) {
      frames_.push_back(std::move(frame_));
    }
    return std::move(frames_);
  }

private:
  static std::size_t part_end(const Entries& entries, std::size_t from) {
    std::size_t bytes = 0;
    std::size_t end = from;
    while (end < entries.records.size() && end - from < fetch_entries_max) {
      bytes += entries.records[end].leaf.size() + entries.records[end].call.size();
      if (end > from && bytes > entries_bytes_target) {
        break;
      }
      ++end;
    }
    return end;
  }

  std::vector<std::string> frames_;
  std::string frame_;
  std::size_t count_ = 0;
};

template <class Variant>
std::vector<std::string> encode_many(std::span<const Variant> messages) {
  FrameList frames;
  for (const Variant& message : messages) {
    std::visit([&](const auto& one) { frames.add(one); }, message);
  }
  return frames.take();
}

// ---- generated types to structs
// ------------------------------------------------------------------------------------

/// Checks fields of one message; the first fault is kept.
/// What peers say must fit into what is counted, stored and added up.
constexpr std::uint64_t told_number_max = (std::uint64_t{1} << 53U) - 1;
constexpr Duration told_time_max = std::chrono::hours(24 * 365);

class Fields {
public:
  explicit Fields(std::string_view message) : message_(message) {}

  template <std::size_t size>
  void raw(std::string_view field, const std::string& from, std::array<std::uint8_t, size>& to) {
    if (from.size() != size) {
      return fault(Errc::invalid, field, std::to_string(from.size()) + " bytes",
                   std::to_string(size));
    }
    std::memcpy(to.data(), from.data(), size);
  }

  void text(std::string_view field, const std::string& from, std::string& to,
            std::size_t bytes_max) {
    if (count(field, from.size(), bytes_max)) {
      to = from;
    }
  }

  bool count(std::string_view field, std::size_t found, std::size_t most) {
    if (found > most) {
      fault(Errc::too_large, field, std::to_string(found), "at most " + std::to_string(most));
    }
    return found <= most;
  }

  Duration duration(std::string_view field, std::int64_t microseconds) {
    if (microseconds < 0 || microseconds > told_time_max.count()) {
      fault(Errc::invalid, field, std::to_string(microseconds),
            "0 to " + std::to_string(told_time_max.count()));
      return {};
    }
    return Duration(microseconds);
  }

  /// A size, place or mark, as stores keep them and JSON tells them.
  void whole(std::string_view field, std::uint64_t from, std::uint64_t& to) {
    if (from > told_number_max) {
      return fault(Errc::invalid, field, std::to_string(from),
                   "at most " + std::to_string(told_number_max));
    }
    to = from;
  }

  void present(std::string_view field, bool is_present) {
    if (!is_present) {
      fault(Errc::invalid, field, "nothing", "a value");
    }
  }

  void fault(Errc code, std::string_view field, std::string_view found, std::string_view expected) {
    if (!error_) {
      std::string text = "wire: ";
      text.append(message_).append(": ").append(field).append(": ").append(found);
      text.append(", expected ").append(expected);
      error_ = Error{code, std::move(text)};
    }
  }

  std::optional<Error> take_error() { return std::move(error_); }

private:
  std::string_view message_;
  std::optional<Error> error_;
};

void read(Fields& fields, std::string_view name, bool is_present, const wire::LedgerHead& from,
          LedgerHead& to) {
  fields.present(name, is_present);
  fields.whole("size", from.size(), to.size);
  fields.raw(name, from.root(), to.root.bytes);
  fields.whole("epoch", from.epoch(), to.epoch.value);
}

void read(Fields& fields, const wire::SignedHead& from, SignedHead& to) {
  read(fields, "head", from.has_head(), from.head(), to.head);
  fields.raw("head.signature", from.signature(), to.signature.bytes);
  fields.raw("head.public_key", from.public_key(), to.public_key.bytes);
}

void read(Fields& fields, const wire::Join& from, Join& to) {
  to.protocol = from.protocol();
  fields.text("version", from.version(), to.version, label_bytes_max);
  fields.text("name", from.name(), to.name, label_bytes_max);
  to.instance = from.instance();
  const auto workers = static_cast<std::size_t>(from.workers_size());
  if (!fields.count("workers", workers, workers_per_node_max)) {
    return;
  }
  to.workers.reserve(workers);
  for (const wire::WorkerOffer& offer : from.workers()) {
    WorkerOffer& worker = to.workers.emplace_back();
    fields.raw("worker", offer.worker(), worker.worker.uuid.bytes);
    fields.count("slots", offer.slots(), slots_per_worker_max);
    worker.slots = offer.slots();
    fields.whole("run_mark", offer.run_mark(), worker.run_mark);
  }
  read(fields, "head", from.has_head(), from.head(), to.head);
  fields.whole("epoch", from.epoch(), to.epoch.value);
  if (from.has_signed_head()) {
    read(fields, from.signed_head(), to.signed_head.emplace());
  }
}

void read_tokens(Fields& fields, std::string_view name,
                 const pb::RepeatedField<std::uint64_t>& from, std::vector<BranchToken>& to) {
  const auto size = static_cast<std::size_t>(from.size());
  if (!fields.count(name, size, heartbeat_tokens_max)) {
    return;
  }
  to.reserve(size);
  for (const std::uint64_t token : from) {
    to.push_back(BranchToken{token});
  }
}

void read(Fields& fields, const wire::Heartbeat& from, Heartbeat& to) {
  to.epoch.value = from.epoch();
  read(fields, "head", from.has_head(), from.head(), to.head);
  read_tokens(fields, "running", from.running(), to.running);
  read_tokens(fields, "finished", from.finished(), to.finished);
}

std::optional<Ending> ending_of(wire::Ending ending) {
  switch (ending) {
    case wire::ENDING_RETURNED:
      return Ending::returned;
    case wire::ENDING_FAILED:
      return Ending::failed;
    case wire::ENDING_TIMED_OUT:
      return Ending::timed_out;
    case wire::ENDING_EXPIRED:
      return Ending::expired;
    case wire::ENDING_CANCELLED:
      return Ending::cancelled;
    case wire::ENDING_LOST:
      return Ending::lost;
    default:
      return std::nullopt;
  }
}

void read(Fields& fields, const wire::BranchEnded& from, BranchEnded& to) {
  to.epoch.value = from.epoch();
  to.token.value = from.token();
  if (const auto ending = ending_of(from.ending())) {
    to.ending = *ending;
  } else {
    fields.fault(Errc::invalid, "ending", std::to_string(static_cast<int>(from.ending())),
                 "1 to 6");
  }
  fields.text("output", from.output(), to.output, output_bytes_max);
  fields.text("writes", from.writes(), to.writes, writes_bytes_max);
  fields.text("effects", from.effects(), to.effects, effects_bytes_max);
  fields.text("cause", from.cause(), to.cause, cause_bytes_max);
  to.latency = fields.duration("latency_us", from.latency_us());
  to.freed_after = fields.duration("freed_after_us", from.freed_after_us());
  to.dead_handles = from.dead_handles();
}

void read(Fields& fields, const wire::FetchEntries& from, FetchEntries& to) {
  fields.whole("from", from.from(), to.from.value);
}

void read(Fields& fields, const wire::MarkStored& from, MarkStored& to) {
  fields.raw("worker", from.worker(), to.worker.uuid.bytes);
  fields.whole("mark", from.mark(), to.mark);
}

void read(Fields& fields, const wire::Diverged& from, Diverged& to) {
  read(fields, "own", from.has_own(), from.own(), to.own);
  read(fields, "coordinator", from.has_coordinator(), from.coordinator(), to.coordinator);
  fields.text("why", from.why(), to.why, cause_bytes_max);
}

void read(Fields& fields, const wire::Welcome& from, Welcome& to) {
  to.epoch.value = from.epoch();
  fields.text("version", from.version(), to.version, label_bytes_max);
  fields.count("publish_port", from.publish_port(), std::numeric_limits<std::uint16_t>::max());
  to.publish_port = from.publish_port();
  fields.text("catalog", from.catalog(), to.catalog, frame_bytes_max);
  fields.present("head", from.has_head());
  read(fields, from.head(), to.head);
}

void read(Fields& fields, const wire::JoinRefused& from, JoinRefused& to) {
  fields.text("why", from.why(), to.why, cause_bytes_max);
  to.is_final = from.is_final();
}

void read(Fields&, const wire::JoinAgain& from, JoinAgain& to) {
  to.epoch.value = from.epoch();
}

void read(Fields& fields, const wire::BranchOwner& from, BranchOwner& to) {
  fields.raw("owner.run_id.home", from.run_id().home(), to.run_id.home.uuid.bytes);
  to.run_id.counter = from.run_id().counter();
  if (from.has_step()) {
    to.step = StepNumber{from.step()};
  }
  if (from.has_speculation()) {
    to.speculation = SpeculationNumber{from.speculation()};
  }
  if (from.has_audit()) {
    to.audit = AuditNumber{from.audit()};
  }
  to.effect = from.effect();
}

void read(Fields& fields, const wire::WorldPosition& from, WorldPosition& to) {
  fields.text("world.session", from.session(), to.session, label_bytes_max);
  to.committed = from.committed();
  if (from.has_step()) {
    to.step = from.step();
  }
}

void read(Fields& fields, const wire::Dispatch& from, Dispatch& to) {
  to.epoch.value = from.epoch();
  to.token.value = from.token();
  fields.raw("worker", from.worker(), to.worker.uuid.bytes);
  read(fields, from.owner(), to.owner);
  fields.text("task", from.task(), to.task, label_bytes_max);
  fields.text("input", from.input(), to.input, frame_bytes_max);
  fields.text("state", from.state(), to.state, frame_bytes_max);
  to.speculative = from.speculative();
  to.timeout = fields.duration("timeout_us", from.timeout_us());
  fields.text("outside_key", from.outside_key(), to.outside_key, outside_key_bytes);
  if (from.has_world()) {
    read(fields, from.world(), to.world.emplace());
  }
  fields.text("http", from.http(), to.http, effects_bytes_max);
  fields.text("tenant", from.tenant(), to.tenant, label_bytes_max);
}

void read(Fields& fields, const wire::ConfirmBranch& from, ConfirmBranch& to) {
  to.epoch.value = from.epoch();
  to.token.value = from.token();
  to.step.value = from.step();
  to.timeout = fields.duration("timeout_us", from.timeout_us());
}

void read(Fields&, const wire::CancelBranch& from, CancelBranch& to) {
  to.epoch.value = from.epoch();
  to.token.value = from.token();
}

void read(Fields&, const wire::ResendResult& from, ResendResult& to) {
  to.epoch.value = from.epoch();
  to.token.value = from.token();
}

void read(Fields& fields, const wire::ReserveRunIds& from, ReserveRunIds& to) {
  fields.raw("worker", from.worker(), to.worker.uuid.bytes);
  to.mark = from.mark();
}

void read(Fields& fields, const wire::Entries& from, Entries& to) {
  to.first.value = from.first();
  const auto records = static_cast<std::size_t>(from.records_size());
  if (!fields.count("records", records, fetch_entries_max)) {
    return;
  }
  to.records.reserve(records);
  for (const wire::EntryRecord& record : from.records()) {
    EntryRecord& to_record = to.records.emplace_back();
    fields.text("leaf", record.leaf(), to_record.leaf, frame_bytes_max);
    fields.text("call", record.call(), to_record.call, frame_bytes_max);
  }
  if (from.has_head()) {
    read(fields, from.head(), to.head.emplace());
  }
}

void read(Fields& fields, const wire::ReplicaAudited& from, ReplicaAudited& to) {
  to.epoch.value = from.epoch();
  to.audit.value = from.audit();
  read(fields, "head", from.has_head(), from.head(), to.head);
  if (from.has_signed_head()) {
    read(fields, from.signed_head(), to.signed_head.emplace());
  }
  const auto roots = static_cast<std::size_t>(from.roots_size());
  if (!fields.count("roots", roots, audit_sizes_max)) {
    return;
  }
  to.roots.reserve(roots);
  for (const std::string& root : from.roots()) {
    fields.raw("root", root, to.roots.emplace_back().bytes);
  }
  to.recomputed = from.recomputed();
  to.not_recomputed = from.not_recomputed();
  fields.text("problem", from.problem(), to.problem, cause_bytes_max);
}

void read(Fields& fields, const wire::AuditReplica& from, AuditReplica& to) {
  to.epoch.value = from.epoch();
  to.audit.value = from.audit();
  if (fields.count("sizes", static_cast<std::size_t>(from.sizes_size()), audit_sizes_max)) {
    to.sizes.assign(from.sizes().begin(), from.sizes().end());
  }
}

void read(Fields&, const wire::FetchReplica& from, FetchReplica& to) {
  to.from.value = from.from();
}

void read(Fields& fields, const wire::ReplicaEntries& from, ReplicaEntries& to) {
  read(fields, from.entries(), to.entries);
}

// ---- frames in
// -----------------------------------------------------------------------------------------------------

/// Reads Protobuf's outer layers in place, taking no memory.
class Cursor {
public:
  struct Field {
    std::uint64_t number = 0;
    std::optional<std::string_view>
        bytes;  ///< Of a length-delimited field; other types are skipped over.
  };

  explicit Cursor(std::string_view rest) : rest_(rest) {}
  bool at_end() const { return rest_.empty(); }

  /// Nothing when the bytes are malformed. Groups, which this format never had, are malformed.
  std::optional<Field> next() {
    const auto tag = varint();
    if (!tag || *tag >> 3U == 0) {
      return std::nullopt;
    }
    Field field{*tag >> 3U, std::nullopt};
    switch (*tag & 7U) {
      case 0:
        return varint() ? std::optional(field) : std::nullopt;
      case 1:
        return take(8) ? std::optional(field) : std::nullopt;
      case 2: {
        const auto size = varint();
        field.bytes = size ? take(*size) : std::nullopt;
        return field.bytes ? std::optional(field) : std::nullopt;
      }
      case 5:
        return take(4) ? std::optional(field) : std::nullopt;
      default:
        return std::nullopt;
    }
  }

private:
  std::optional<std::uint64_t> varint() {
    constexpr std::size_t varint_bytes_max = 10;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < std::min(rest_.size(), varint_bytes_max); ++i) {
      const auto byte = static_cast<std::uint8_t>(rest_[i]);
      value |= static_cast<std::uint64_t>(byte & 0x7FU) << (7 * i);
      if (byte < 0x80U) {
        rest_.remove_prefix(i + 1);
        return value;
      }
    }
    return std::nullopt;
  }

  std::optional<std::string_view> take(std::uint64_t size) {
    if (size > rest_.size()) {
      return std::nullopt;
    }
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
};

/// Reads one message into `to`. Its types nest four deep, and Protobuf itself follows at most 100
/// unknown groups.
template <class Message>
Result<void> decode_one(std::string_view bytes, Message& to) {
  using K = Kind<Message>;
  Fields fields(K::name);
  if (fields.count("bytes", bytes.size(), K::bytes_max)) {
    WireOf<Message>& in = scratch<WireOf<Message>>();
    if (!in.ParsePartialFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
      return fail(Errc::invalid, "wire: " + std::string(K::name) + ": malformed bytes");
    }
    read(fields, in, to);
  }
  if (auto error = fields.take_error()) {
    return tl::unexpected(std::move(*error));
  }
  return {};
}

template <class Variant>
struct Direction;

template <class... Messages>
struct Direction<std::variant<Messages...>> {
  using List = std::vector<std::variant<Messages...>>;

  template <class Message>
  static constexpr auto number = static_cast<std::uint64_t>(Kind<Message>::number);

  static bool knows(std::uint64_t kind) { return ((kind == number<Messages>) || ...); }

  /// @pre knows(kind)
  static Result<void> decode(std::uint64_t kind, std::string_view bytes, List& to) {
    Result<void> result;
    (void)((kind == number<Messages> &&
            (result = decode_one(bytes,
                                 std::get<Messages>(to.emplace_back(std::in_place_type<Messages>))),
             true)) ||
           ...);
    return result;
  }
};

/// Adds the one known message of an envelope to `to`, or nothing when its kind is unknown.
template <class Mine, class Other>
Result<void> decode_envelope(std::string_view bytes, std::vector<Mine>& to) {
  std::optional<Cursor::Field> kind;
  for (Cursor cursor(bytes); !cursor.at_end();) {
    const auto field = cursor.next();
    if (!field) {
      return fail(Errc::invalid, "wire: envelope: malformed bytes");
    }
    if (Direction<Other>::knows(field->number)) {
      return fail(Errc::invalid, "wire: envelope: kind " + std::to_string(field->number) +
                                     ", expected one of the other direction");
    }
    if (!Direction<Mine>::knows(field->number)) {
      continue;
    }
    if (kind || !field->bytes) {
      return fail(Errc::invalid, "wire: envelope: " +
                                     std::string(kind ? "two kinds" : "a kind that is no message") +
                                     ", expected one message");
    }
    kind = field;
  }
  return kind ? Direction<Mine>::decode(kind->number, *kind->bytes, to) : Result<void>();
}

template <class Mine, class Other>
Result<std::vector<Mine>> decode_frame(std::string_view frame) {
  if (frame.size() > frame_bytes_max) {
    return fail(Errc::too_large, "wire: frame: " + std::to_string(frame.size()) +
                                     " bytes, expected at most " + std::to_string(frame_bytes_max));
  }
  std::vector<Mine> messages;
  std::size_t envelopes = 0;
  for (Cursor cursor(frame); !cursor.at_end();) {
    const auto field = cursor.next();
    if (!field) {
      return fail(Errc::invalid, "wire: frame: malformed bytes");
    }
    if (field->number != wire::Frame::kEnvelopesFieldNumber) {
      continue;
    }
    if (!field->bytes) {
      return fail(Errc::invalid, "wire: frame: an envelope that is no message");
    }
    if (++envelopes > frame_messages_max) {
      return fail(Errc::too_large, "wire: frame: too many messages, expected at most " +
                                       std::to_string(frame_messages_max));
    }
    if (auto added = decode_envelope<Mine, Other>(*field->bytes, messages); !added) {
      return tl::unexpected(std::move(added.error()));
    }
  }
  return messages;
}

}  // namespace

std::string encode(std::span<const NodeMessage> messages) {
  return encode_one(messages);
}

std::string encode(std::span<const CoordinatorMessage> messages) {
  return encode_one(messages);
}

std::vector<std::string> encode_frames(std::span<const NodeMessage> messages) {
  return encode_many(messages);
}

std::vector<std::string> encode_frames(std::span<const CoordinatorMessage> messages) {
  return encode_many(messages);
}

Result<std::vector<NodeMessage>> decode_node_frame(std::string_view frame) {
  return decode_frame<NodeMessage, CoordinatorMessage>(frame);
}

Result<std::vector<CoordinatorMessage>> decode_coordinator_frame(std::string_view frame) {
  return decode_frame<CoordinatorMessage, NodeMessage>(frame);
}

}  // namespace forerun
