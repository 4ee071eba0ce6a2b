#pragma once

#include <string>
#include <vector>

#include "coordinator/argument_bindings.hpp"
#include "coordinator/declared_prior.hpp"
#include "coordinator/fillings.hpp"

namespace forerun::prediction {

/// What one tenant's arguments have shown of how values are found.
struct ArgumentRecords {
  KindRecord kinds;
  ValueRanker ranker = first_value_ranker();
  DeclaredRecord declared;  ///< Values that a catalog's example let expect.
};

/// What fills the parameters of forms, and the parts of their values. All tenants' parameters, a
/// bounded number: a parameter's key holds its task's, and so its tenant's.
class FormValues {
public:
  /// `composes`: values are put together from parts that were bound one by one.
  FormValues(std::size_t parameters_max, bool composes)
      : composes_(composes), parameters_(parameters_max) {}

  /// What each parameter may get; of none where one of them can get nothing.
  Values of(const Surroundings& around, const ArgumentRecords& records, const Form& form,
            Wanted wanted) const;
  /// The parameters that no value is likely for.
  std::vector<std::string> unfilled(const Surroundings& around, const ArgumentRecords& records,
                                    const Form& form) const;
  /// The form's call gave this input, whose values are in the order of its parameters.
  void learn(const Surroundings& around, ArgumentRecords& records, const Form& form,
             const json::Object& input);

  /// What is known of a form's parameter; null: nothing.
  const Parameter* find(const Form& form, std::size_t parameter) const {
    return form.declared != nullptr ? nullptr : parameters_.find(form.parameters[parameter]);
  }
  /// As in BoundedTable, of all parameters.
  void prefetch_slots(const Form& form) const;
  void prefetch_entries(const Form& form) const;
  std::size_t size() const { return parameters_.size(); }

private:
  /// What is spent and made while one form's values are looked for.
  struct Making {
    std::size_t parts_left;
    MadeValues& made;
  };
  std::vector<Candidate> candidates(const Surroundings& around, const ArgumentRecords& records,
                                    const Form& form, std::size_t parameter, Making& making,
                                    Wanted wanted) const;
  std::vector<Candidate> candidates(const Surroundings& around, const ArgumentRecords& records,
                                    Key key, std::size_t depth, Making& making,
                                    Wanted wanted) const;
  void compose(const Surroundings& around, const ArgumentRecords& records, Key key,
               const Mold& mold, double share, std::size_t depth, Making& making,
               std::vector<Composed>& composed) const;
  void learn(const Surroundings& around, ArgumentRecords& records, Key key, std::string_view name,
             const json::Value& value, std::size_t depth, std::size_t& parts_left);

  bool composes_;
  BoundedTable<Parameter> parameters_;
};

}  // namespace forerun::prediction
