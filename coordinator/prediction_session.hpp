#pragma once

#include <list>
#include <map>
#include <string>
#include <vector>

#include "coordinator/conversation.hpp"
#include "coordinator/learned_contexts.hpp"
#include "coordinator/past_sessions.hpp"
#include "coordinator/session_memory.hpp"
#include "coordinator/step_labels.hpp"
#include "coordinator/telling_words.hpp"
#include "coordinator/word_meanings.hpp"
#include "speculation/ids.hpp"

namespace forerun::prediction {

/// What is remembered of a running session, and what its texts were found to say.
struct Session {
  RunId id;
  Key tenant = 0;
  std::string tenant_name;
  SessionMemory memory;
  std::vector<Key> forms{};                     ///< Of its steps.
  std::vector<PastSessions::Neighbour> near{};  ///< Past sessions with texts like its own.
  std::vector<PastSessions::Neighbour> turn_near{};
  std::vector<Key> turn_words{};
  std::size_t turn_from = 0;        ///< Its first step.
  std::vector<Likely> named{};      ///< Forms whose tasks the text names.
  Spoken spoken{};                  ///< What the words of its latest texts say of forms.
  std::vector<Meaning> meanings{};  ///< Of the words of all its texts.
  Conversation said{};
  std::string said_after_output{};
  bool is_thinking = false;  ///< The model was asked since the last step.
  std::size_t bytes = 0;     ///< Of its memory, as counted last.
  LastSaid said_last{};

  /// Steps that the memory let go of: what stands beside its steps keeps their numbers.
  void forget(SessionMemory::Dropped dropped);
  /// What it did from this step on, as far as it is remembered.
  PastSession done_from(std::size_t first) const;
};

struct SessionLimits {
  std::size_t sessions;
  std::size_t bytes;  ///< Of all sessions' memories.
  MemoryLimits each;
};

/// The sessions that are running, a bounded number with bounded memory: the least recently used
/// goes.
class Sessions {
public:
  explicit Sessions(const SessionLimits& limits) : limits_(limits) {}

  /// Null: it is not known.
  Session* find(const RunId& id);
  /// The same; it is used.
  Session* use(const RunId& id);
  /// @pre it is not known
  Session& add(const RunId& id, Key tenant, std::string tenant_name);
  /// What the session in use holds by now; others go where that is too much.
  void count_bytes(Session& session);
  void erase(const RunId& id);
  void erase_all_of(std::string_view tenant_name);
  std::size_t size() const { return sessions_.size(); }
  std::size_t bytes() const { return bytes_; }

private:
  using List = std::list<Session>;
  List::iterator erase(List::iterator at);

  SessionLimits limits_;
  List sessions_;  ///< The most recently used first.
  std::map<RunId, List::iterator> by_id_;
  std::size_t bytes_ = 0;
};

}  // namespace forerun::prediction
