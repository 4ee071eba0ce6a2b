#pragma once

#include <cstdint>
#include <deque>
#include <forward_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/parts_of_texts.hpp"
#include "coordinator/prediction_hash.hpp"
#include "coordinator/word_likeness.hpp"
#include "speculation/call.hpp"

namespace forerun::prediction {

struct MemoryLimits {
  std::size_t steps = 512;                  ///< The first ones and the latest.
  std::size_t bytes = 64U << 20U;           ///< About what all calls and outputs take.
  std::size_t values = 65'536;              ///< Of all inputs, outputs and texts.
  std::size_t values_per_document = 256;    ///< Of one input or one output.
  std::size_t values_of_text = 4'096;       ///< Words and phrases of all texts.
  std::size_t words_in_all = 512;           ///< Different ones, for telling what texts are alike.
  std::size_t words = 16'384;               ///< Of all texts, for telling what they mention.
  std::size_t tokens = 8'192;               ///< Of all texts, in reading order.
  std::size_t names = 512;                  ///< Different words that outputs are made of.
  std::size_t document_bytes = 64U << 10U;  ///< Of a larger call or output no value is remembered.
  std::size_t parts_per_document = 96;      ///< Parts of an output's texts, of its values.
  std::size_t part_bytes = 16U << 10U;      ///< Of an output's texts, looked at for parts.
  bool counts = true;                       ///< What follows an argument in a count is a value too.
  bool parts = true;                        ///< Parts of texts are values too.
  bool days = true;                         ///< Days that texts write are values too.
};

enum class Side : std::uint8_t { input, output, text };

/// A value that the session has seen, and its links to those at the same place and to equal ones.
/// Indexes are into the memory's values; 0 is none.
struct SeenValue {
  Key hash = 0;
  Key place = 0;  ///< Task, side and path; list positions and names with digits are one place.
  Key name = 0;   ///< The last name on its path.
  const json::Value* json = nullptr;  ///< Owned by the step or the text that brought it.
  Key look = 0;                       ///< look_of() it, which every rule asks for.
  std::uint32_t document =
      0;  ///< Of an input or output, its step's number from 1; of a text another number.
  Side side = Side::input;
  bool is_after_word = false;    ///< Its place in the text is the word before it.
  bool is_part = false;          ///< Of an output's text, which is its parent.
  bool is_by_look = false;       ///< A part whose place says nothing of what stands near it.
  bool is_moment = false;        ///< A day or a time that a text writes in another way.
  std::uint32_t head = 0;        ///< First at this place in this document.
  std::uint32_t next = 0;        ///< Next at this place in this document.
  std::uint32_t older = 0;       ///< Last at this place in an earlier document.
  std::uint32_t same_value = 0;  ///< The latest equal value before this.
  std::uint32_t parent = 0;      ///< The object or array, or the text, that holds it.
  std::uint32_t text_at = 0;     ///< Of text: where it stands, in bytes of all texts.
};

/// What a session remembers of one step: what contexts are made of.
struct SeenStep {
  Call call;
  std::optional<Output> output;
  Key task = 0;
  Key input_hash = 0;
  Key input_labels = 0;   ///< The input's fields that take few values.
  Key output_labels = 0;  ///< The same of the output, with its shape.
  std::size_t bytes = 0;  ///< About what call and output take, as the memory reckons.
  std::forward_list<json::Value> parts{};  ///< Of the output's texts.
};

/// One session's working memory: its steps, and every small value of inputs, outputs and text by
/// place, name and value. What is added after a mark can be taken back, so that imagined steps cost
/// nothing but themselves.
class SessionMemory {
public:
  explicit SessionMemory(const MemoryLimits& limits) : limits_(limits) { values_.resize(1); }

  /// `usual_year`: of days that the text writes without one; 0: it is not known.
  void add_text(std::string_view text, int usual_year = 0);
  /// Steps that were let go of, by their number from 0 when they were there.
  struct Dropped {
    std::size_t from = 0, count = 0;
  };
  /// The step's call; its output follows or stays open. Where there are too many steps, bytes or
  /// values, steps between the first ones and the latest are let go of, with their values, until at
  /// most five eighths are left; the latest eight stay. Never behind a mark.
  Dropped add_call(SeenStep step);
  /// @pre a step was added.
  void add_output(const std::optional<Output>& output, Key output_labels);

  struct Mark {
    std::size_t steps, values, owned, changes, bytes, names;
    bool has_fresh_words;
    std::uint32_t read_to;
  };
  Mark mark();
  void rollback(Mark mark);

  const std::vector<SeenStep>& steps() const { return steps_; }
  /// The words of the texts that came last without a step between them, each once.
  const std::vector<Key>& last_words() const { return last_words_; }
  /// How a text wrote one of these words; empty where no value is kept of it. For people.
  std::string_view spelling_of(Key word) const;
  /// The words of all texts, ascending, each once.
  const std::vector<Key>& all_words() const { return all_words_; }
  /// Stems of the words of all texts and of those that came last, ascending, each once.
  const std::vector<Key>& all_stems() const { return all_stems_; }
  const std::vector<Key>& last_stems() const { return last_stems_; }
  /// No step has followed them.
  bool has_fresh_words() const { return has_fresh_words_; }
  /// The value came with the latest text, and no step has followed it.
  bool is_fresh(std::uint32_t index) const {
    return has_fresh_words_ && values_[index].side == Side::text &&
           values_[index].document >= fresh_from_;
  }
  /// It is of the latest text, and no step has followed it.
  bool is_of_latest_text(std::uint32_t index) const {
    return has_fresh_words_ && values_[index].side == Side::text &&
           values_[index].document == latest_text();
  }
  /// So many texts came since the last step.
  std::size_t fresh_texts() const { return has_fresh_words_ ? latest_text() - fresh_from_ + 1 : 0; }
  const SeenValue& value(std::uint32_t index) const { return values_[index]; }

  /// The last value at a place in the latest document that has the place; 0: none.
  std::uint32_t latest_at(Key place) const { return index_.get(mix(place, 1)); }
  std::uint32_t earliest_at(Key place) const { return index_.get(mix(place, 2)); }
  std::uint32_t latest_named(Key name) const { return index_.get(mix(name, 3)); }
  /// The latest that is a value of its own: no part of a text.
  std::uint32_t latest_equal(Key hash) const { return index_.get(mix(hash, 4)); }
  /// The latest equal part of an output's text.
  std::uint32_t latest_part(Key hash) const {
    return parts_ == 0 ? 0 : index_.get(mix(hash, equal_part));
  }
  /// How a part is found in its text, for people. @pre it is a part.
  std::string way_to(const SeenValue& part) const;
  /// The last word or number of the latest text that looks like this value; 0: none.
  std::uint32_t latest_like(const json::Value& value) const;
  /// The n-th value of the output of the step `back` steps ago (1: the last step), no part of a
  /// text; 0: there is none.
  std::uint32_t output_value(std::size_t back, std::size_t n) const;
  /// The first value of the latest text that equals this; 0: no text has it.
  std::uint32_t in_text(Key hash) const { return index_.get(mix(hash, 8)); }
  /// The task was called with this value in this parameter before. The key is used_key().
  bool was_used(Key used) const { return index_.get(mix(used, 5)) != 0; }
  static Key used_key(Key task, Key parameter, Key hash) { return mix(task, parameter, hash); }
  bool was_called(Key task, Key input_hash) const {
    return index_.get(mix(task, input_hash, 6)) != 0;
  }
  /// The last step made this call.
  bool is_last_call(Key task, Key input_hash) const {
    return !steps_.empty() && steps_.back().task == task && steps_.back().input_hash == input_hash;
  }
  /// One of steps() called it.
  bool was_called(Key task) const;
  /// Names the tasks that steps() called, whatever their order and number.
  Key task_set() const { return task_set_; }
  /// The text holds this value as a word, or as a phrase.
  bool is_mentioned(const SeenValue& value) const;
  bool has_text() const { return !lower_text_.empty(); }

  /// How many of a value's own words the texts hold, by their stems, 0 to 1: `car_makers` and
  /// "makers of cars". A container's are those of its strings.
  struct Mention {
    double anywhere = 0;
    double ahead = 0;  ///< In what is to be read next: stems_ahead().
  };
  Mention mention(Key hash, const json::Value& value) const;
  /// Stems of the words that follow the last one that a call took from the text, ascending, each
  /// once: whoever works through a text does what it says next.
  const std::vector<Key>& stems_ahead() const;
  /// About what it takes: its steps with what they hold, and what finds their values.
  std::size_t bytes() const;

  /// How a text is corrected by what came back since it was used.
  enum class Correction : std::uint8_t {
    all,     ///< Each word that no output is made of becomes the most alike that one is.
    blamed,  ///< Each word that a sentence of an output names becomes the most alike one.
    second,  ///< The same with the second most alike.
  };
  static constexpr std::size_t corrections = 3;
  struct Corrected {
    Key hash = 0;
    Correction by = Correction::all;
    json::Value text;
  };
  /// The value, a text, corrected; at most one of each kind, different ones. They live as long as
  /// the memory is unchanged.
  const std::vector<Corrected>& corrected(std::uint32_t index) const;

private:
  /// Open addressing from key to a number that is not 0; grows, never shrinks.
  class Index {
  public:
    std::uint32_t get(Key key) const;
    /// Returns what was there.
    std::uint32_t set(Key key, std::uint32_t number);
    std::size_t slots() const { return slots_.size(); }

  private:
    void grow();
    std::vector<std::pair<Key, std::uint32_t>> slots_;
    std::size_t used_ = 0;
  };

  static constexpr Key equal_part = 12;
  /// Numbers documents that are text.
  static constexpr std::uint32_t text_bit = 1U << 31U;
  std::uint32_t latest_text() const { return text_bit | texts_; }

  void set(Key key, std::uint32_t number);
  void remember(Key hash, Key place, Key name, const json::Value* json, Side side,
                bool is_after_word = false);
  void link(SeenValue value);
  void note_asked(Key key);
  Dropped middle() const;
  void forget(Dropped dropped);
  Key walk(const json::Value& value, Key place, Key name, bool in_array, std::size_t depth,
           Side side, std::size_t& left);
  Key walk_array(const json::Array& array, Key place, Key name, bool in_array, std::size_t depth,
                 Side side, std::size_t& left);
  Key walk_object(const json::Object& object, Key place, std::size_t depth, Side side,
                  std::size_t& left);
  void read_texts(std::size_t left);
  bool read_document(std::uint32_t text, std::size_t bytes_max, std::size_t& left);
  std::size_t read_parts(std::uint32_t text, std::size_t count_max);
  void own(json::Value value);
  void remember_text(std::string_view text, Key place, bool is_after_word = false);
  void remember_word(std::string_view word, std::string_view before);
  void remember_whole(std::string_view text);
  void remember_phrases(std::string_view text);
  void remember_moments(std::string_view text, int usual_year);
  void remember_moment(std::string spelled, std::size_t at, std::string_view before);
  void remember_next(const json::Value& value, Key place);
  void read_tokens(std::string_view text);
  void read_on(Key hash);
  std::uint32_t place_in_text(std::string_view part) const;

  void learn_name(std::string_view text);
  std::vector<Corrected> make_corrected(const SeenValue& value) const;

  void count_step(Key task);
  void forget_step(Key task);

  MemoryLimits limits_;
  std::vector<SeenStep> steps_;
  std::vector<std::pair<Key, std::uint32_t>> calls_;  ///< Of each task in steps_, how many.
  Key task_set_ = 0;                                  ///< The sum of these tasks.
  std::vector<SeenValue> values_;                     ///< The first is none.
  Index index_;
  Index text_index_;        ///< The words of all texts, which stay.
  std::vector<Key> asked_;  ///< That calls and their arguments were there, the latest.
  std::deque<json::Value> text_values_;
  std::string lower_text_;
  std::vector<Key> last_words_;
  std::vector<Key> all_words_;
  std::vector<Key> all_stems_;
  std::vector<Key> last_stems_;
  void insert_sorted(std::vector<Key>& keys, Key key) const;
  bool has_fresh_words_ = false;
  std::uint32_t texts_ = 0;
  std::uint32_t fresh_from_ = 0;  ///< Document of the first of the texts without a step after them.
  std::size_t words_ = 0;
  struct Token {
    std::uint32_t at = 0;
    Key stem = 0;
  };
  std::vector<Token> tokens_;         ///< Of all texts, in their order.
  const char* text_begin_ = nullptr;  ///< While a text is read.
  std::uint32_t text_bytes_ = 0;      ///< Of the texts before it.
  std::uint32_t text_at_ = 0;         ///< Of the word that is read.
  std::uint32_t read_to_ = 0;  ///< Where the last value that a call took from the text stands.
  struct Words {
    Key hash = 0;
    std::uint32_t from = 0;
    std::uint32_t read_to = 0;  ///< What read_to_ was when they were last counted.
    std::uint8_t count = 0, anywhere = 0, ahead = 0;
    bool is_counted = false;
  };
  /// Words of values that were asked for, found by their hash; forgotten when a text comes.
  mutable std::vector<Words> words_of_;
  mutable std::vector<Key> word_stems_;
  mutable std::vector<Key> ahead_;
  mutable std::uint32_t ahead_of_ = 0;
  mutable bool has_ahead_ = false;
  struct Name {
    std::string_view word;
    WordPairs pairs;
  };
  std::vector<Name> names_;  ///< Words that are whole texts of outputs, each once, in their order.
  mutable std::map<std::uint32_t, std::vector<Corrected>> corrected_;
  std::size_t marks_ = 0;
  std::vector<std::pair<Key, std::uint32_t>>
      changes_;                               ///< What set() replaced since the outermost mark.
  std::size_t bytes_ = 0;                     ///< Of steps_.
  std::size_t text_bytes_held_ = 0;           ///< Of the texts, with their words.
  std::size_t parts_ = 0;                     ///< That came, whether they still are there or not.
  std::vector<std::uint32_t> texts_to_read_;  ///< While an output is read: those with parts.
};

/// Where a value stands in its document, for people: `reservations[*]`. Empty when it is not in
/// there.
std::string path_of(const json::Value& document, const json::Value* value);
/// What stands for a name in places: names that hold a digit are data (ids as keys), and are one.
/// `hash`: hash_text() it.
Key step_of_name(std::string_view name, Key hash);
Key place_of_parameter(Key task, Key step_of_name);

}  // namespace forerun::prediction
