#pragma once

#include <string>
#include <tl/expected.hpp>
#include <utility>

namespace forerun {

/// What a caller may react to. Everything else about a failure belongs in the message.
enum class Errc {
  invalid,       ///< Malformed input: the sender must change it.
  not_found,     ///< The subject does not exist.
  refused,       ///< Understood and not allowed now (conflict, fenced, wrong key, full).
  too_large,     ///< A named limit was exceeded.
  io,            ///< The operating system, disk or network failed.
  verification,  ///< A signature, hash, proof or winner does not hold.
};

/// A failure. `message` reads "place: subject: found, expected" without a full stop.
struct Error {
  Errc code = Errc::invalid;
  std::string message;
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(Errc code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}

}  // namespace forerun
