#include "coordinator/known_forms.hpp"

#include <algorithm>

#include "coordinator/symbols.hpp"

namespace forerun::prediction {

namespace {

/// Calls of a form after which the catalog's word counts no more for how sure it can be.
constexpr double declared_calls_max = 8;

/// An example shows how the task is called.
bool has_form(const DeclaredPrior::Declared& declared) {
  return declared.has_example && declared.example.size() <= parameters_per_call_max;
}

}  // namespace

void KnownForms::declare(const DeclaredTasks& tasks) {
  declared_ = DeclaredPrior(tasks, has_descriptions_);
  declared_forms_ = BoundedTable<Form>(declared_forms_max);
}

const Form* KnownForms::find(Key form) const {
  const Form* known = forms_.find(form);
  return known == nullptr && !declared_.empty() ? declared_forms_.find(form) : known;
}

Form& KnownForms::take(Key form_key, Key task, const Call& call, TaskNames& names) {
  Form& form = forms_.touch(form_key);
  if (form.task.empty()) {
    form.name(call.task(), task, call.input());
    names.add(form.task, declared_.description(hash_text(form.task)), task, form_key);
  }
  return form;
}

/// The form of a call that looks like the example. @pre there is one
Key KnownForms::declared_form(Key tenant, const DeclaredPrior::Declared& declared) const {
  const Key task = mix(tenant, hash_text(declared.name));
  const Key form_key = form_key_of(task, declared.example);
  if (forms_.find(form_key) != nullptr) {
    return form_key;
  }
  Form& form = declared_forms_.touch(form_key);
  if (form.declared == nullptr) {
    form.declared = &declared;
    form.name(declared.name, task, declared.example);
  }
  return form_key;
}

/// In the forms that the tenant's calls of it had, else in the one of its example.
void KnownForms::add_declared(Key tenant, const TaskNames& names,
                              const DeclaredPrior::Follower& follower,
                              std::vector<Likely>& prior) const {
  const std::vector<Key>* forms = names.forms_of(mix(tenant, follower.name));
  if (forms == nullptr) {
    const DeclaredPrior::Declared* declared = declared_.find(follower.name);
    if (declared != nullptr && has_form(*declared)) {
      prior.push_back({declared_form(tenant, *declared), follower.share});
    }
    return;
  }
  double all = 0;
  for (const Key form : *forms) {
    const Form* known = forms_.find(form);
    all += known == nullptr ? 0 : known->tries;
  }
  for (const Key form : *forms) {
    if (const Form* known = forms_.find(form); known != nullptr && all > 0) {
      prior.push_back({form, follower.share * known->tries / all});
    }
  }
}

std::vector<Likely> KnownForms::declared_next(const SessionMemory& memory, Key tenant,
                                              const TaskNames& names) const {
  std::vector<Likely> prior;
  if (declared_.empty() || !has_declared_) {
    return prior;
  }
  const std::vector<SeenStep>& steps = memory.steps();
  const DeclaredPrior::Declared* last =
      steps.empty() ? nullptr : declared_.find(hash_text(steps.back().call.task()));
  if (last != nullptr && last->ends) {
    return {{end_symbol, DeclaredPrior::followed_share}};
  }
  if (!steps.empty() && last == nullptr) {
    return prior;
  }
  for (const DeclaredPrior::Follower& each : steps.empty() ? declared_.starting() : last->next) {
    add_declared(tenant, names, each, prior);
  }
  return prior;
}

void KnownForms::add_declared_names(const SessionMemory& memory, Key tenant, const TaskNames& names,
                                    std::vector<Likely>& named) const {
  if (declared_.empty()) {
    return;
  }
  for (const Likely& each : declared_.names().named(memory.all_stems())) {
    const DeclaredPrior::Declared* declared = declared_.find(each.symbol);
    if (has_form(*declared) && names.forms_of(mix(tenant, each.symbol)) == nullptr) {
      named.push_back({declared_form(tenant, *declared), each.probability});
    }
  }
}

double KnownForms::how_far_named(const TaskNames& names, const Form& form,
                                 const std::vector<Key>& stems) const {
  return form.declared == nullptr ? names.match(form.task_key, stems)
                                  : declared_.names().match(hash_text(form.declared->name), stems);
}

double KnownForms::calls_allowed(const Form& form, const DeclaredRecord& declared_calls,
                                 double doubt) const {
  const double by_itself = (form.seen + 1) / (form.seen + doubt);
  if (declared_.empty() || form.seen >= declared_calls_max ||
      (form.declared == nullptr && declared_.find(hash_text(form.task)) == nullptr)) {
    return by_itself;
  }
  return std::max(by_itself, (declared_calls.hits + 1) / (declared_calls.tries + doubt));
}

}  // namespace forerun::prediction
