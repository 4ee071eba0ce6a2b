#include "coordinator/declared_tasks.hpp"

#include <algorithm>

#include "speculation/catalog.hpp"

namespace forerun {

DeclaredTasks declared_tasks(const Catalog& catalog) {
  DeclaredTasks declared;
  for (const auto& [name, task] : catalog.tasks()) {
    declared.push_back({name, task.description, task.example, task.flow.next, task.flow.starts});
  }
  for (const auto& [name, race] : catalog.races()) {
    DeclaredTask each{name, {}, {}, race.flow.next, race.flow.starts};
    for (const std::string& branch : race.branches) {
      const Task* task = catalog.task(branch);
      if (task != nullptr && task->example && !each.example) {
        each.example = task->example;
      }
    }
    declared.push_back(std::move(each));
  }
  std::erase_if(declared, [](const DeclaredTask& each) {
    return each.description.empty() && !each.example && !each.next && !each.starts;
  });
  std::sort(declared.begin(), declared.end(),
            [](const DeclaredTask& a, const DeclaredTask& b) { return a.name < b.name; });
  return declared;
}

}  // namespace forerun
