#include <iostream>
#include <string_view>

#include "apps/selftest.hpp"

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == "selftest" && std::string_view(argv[2]) == "--vectors") {
    return forerun::selftest(argv[3], std::cout, std::cerr);
  }
  std::cerr << "usage: forerun selftest --vectors DIR\n";
  return 2;
}
