#include "apps/commands/commands.hpp"

#include <iostream>
#include <memory>

#include "apps/selftest.hpp"

namespace forerun {

void add_selftest(CLI::App& app, Action& chosen) {
  const auto vectors = std::make_shared<std::filesystem::path>();
  CLI::App& command =
      add_command(app, "selftest", "Check golden vectors of the byte formats", chosen,
                  [vectors] { return selftest(*vectors, std::cout, std::cerr); });
  command.add_option("--vectors", *vectors, "A folder of golden vectors")->required();
}

}  // namespace forerun
