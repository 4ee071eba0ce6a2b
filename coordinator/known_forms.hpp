#pragma once

#include <vector>

#include "coordinator/call_form.hpp"
#include "coordinator/declared_prior.hpp"
#include "coordinator/learned_contexts.hpp"
#include "coordinator/session_memory.hpp"
#include "coordinator/task_names.hpp"

namespace forerun::prediction {

/// The forms of calls that tenants have made, a bounded number, and those that only the catalog
/// tells of. What the catalog says of a tenant's session is said in these forms.
class KnownForms {
public:
  /// `has_declared`: the catalog says what comes next. `has_descriptions`: and what tasks do.
  KnownForms(std::size_t forms_max, bool has_declared, bool has_descriptions)
      : has_declared_(has_declared), has_descriptions_(has_descriptions), forms_(forms_max) {}

  void declare(const DeclaredTasks& tasks);
  /// Null: no such form is known.
  const Form* find(Key form) const;
  /// The form of such a call, which is named and found in texts (`names`) if it is new.
  Form& take(Key form, Key task, const Call& call, TaskNames& names);

  /// What the catalog says comes next in a tenant's session. `names`: the tenant's.
  std::vector<Likely> declared_next(const SessionMemory& memory, Key tenant,
                                    const TaskNames& names) const;
  /// Adds tasks that the session's texts name and the tenant never called.
  void add_declared_names(const SessionMemory& memory, Key tenant, const TaskNames& names,
                          std::vector<Likely>& named) const;
  /// How far a text names the form's task.
  double how_far_named(const TaskNames& names, const Form& form,
                       const std::vector<Key>& stems) const;
  /// However sure all else is: no surer than its calls allow (Laplace's rule of succession). For
  /// the first few calls of a task that the catalog tells of, all such calls of the tenant count.
  double calls_allowed(const Form& form, const DeclaredRecord& declared_calls, double doubt) const;

  /// As in BoundedTable.
  void prefetch_slot(Key form) const { forms_.prefetch_slot(form); }
  void prefetch_entry(Key form) const { forms_.prefetch_entry(form); }
  std::size_t size() const { return forms_.size(); }

private:
  /// Far more than one question needs at a time.
  static constexpr std::size_t declared_forms_max = 4'096;

  Key declared_form(Key tenant, const DeclaredPrior::Declared& declared) const;
  void add_declared(Key tenant, const TaskNames& names, const DeclaredPrior::Follower& follower,
                    std::vector<Likely>& prior) const;

  bool has_declared_, has_descriptions_;
  BoundedTable<Form> forms_;
  DeclaredPrior declared_;
  /// Of tasks that a tenant never called; made when they are asked for, alike each time.
  mutable BoundedTable<Form> declared_forms_{declared_forms_max};
};

}  // namespace forerun::prediction
