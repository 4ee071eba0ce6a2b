#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "coordinator/argument_bindings.hpp"
#include "coordinator/declared_tasks.hpp"
#include "coordinator/task_names.hpp"

namespace forerun::prediction {

/// What the catalog says of its tasks, as the prediction graph asks for it: which names follow
/// which, what calls look like, and which tasks a text names. It knows no tenant: tasks go by the
/// hashes of their names.
class DeclaredPrior {
public:
  struct Follower {
    Key name = 0;
    double share = 0;  ///< How likely it is next, as far as the catalog says.
  };
  struct Declared {
    std::string name;
    std::string description;
    bool has_example = false;
    json::Object example;
    std::vector<Follower> next;
    bool ends = false;  ///< Said to be the last.
  };
  /// So sure is what a catalog says at first, all followers together.
  static constexpr double followed_share = 0.8;

  DeclaredPrior() = default;
  /// `with_descriptions`: texts are compared with descriptions too, not with names alone.
  DeclaredPrior(const DeclaredTasks& tasks, bool with_descriptions);

  bool empty() const { return tasks_.empty(); }
  const Declared* find(Key name) const;
  const std::vector<Follower>& starting() const { return starting_; }
  /// By the hashes of names, as tasks and as forms.
  const TaskNames& names() const { return names_; }
  /// Empty without descriptions.
  const std::string& description(Key name) const;

private:
  std::unordered_map<Key, Declared, KeyHash> tasks_;
  std::vector<Follower> starting_;
  TaskNames names_;
  bool has_descriptions_ = false;
};

/// How often something that the catalog let expect came true, in one tenant.
struct DeclaredRecord {
  double tries = 0, hits = 0;
  void learn(bool hit) {
    tries += 1;
    hits += hit ? 1 : 0;
  }
};

/// What a parameter may get that no call has given yet: the latest value under its own name; else a
/// word of the session's texts that looks like the example's value; else, of numbers and flags, the
/// example's value. At most one, of the example's kind. `by_name`: how often such values were
/// right.
std::vector<Candidate> bind_by_example(const Surroundings& around, Key name,
                                       const json::Value& example, const DeclaredRecord& by_name);

}  // namespace forerun::prediction
