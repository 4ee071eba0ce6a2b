#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.hpp"
#include "speculation/catalog.hpp"

namespace forerun {

inline constexpr std::size_t tag_bytes_max =
    512;  ///< Of a pattern; a tag that grows longer is taken as `everything`.

/// True for a text whose fields stand in braces, closed and not empty: "order/{order_id}".
bool is_tag_pattern(std::string_view pattern);

/// What one call reads or writes, in one namespace (a tenant's or a session's). Two sets conflict
/// when they share the namespace and either is `everything` or they have a tag in common.
struct TagSet {
  std::string space;        ///< "tenant:NAME" or "session:RUN_ID".
  bool everything = false;  ///< Undeclared: all tags of the space.
  std::vector<std::string>
      tags;  ///< Sorted, unique. Empty with everything == false: touches nothing.
  friend bool operator==(const TagSet&, const TagSet&) = default;
};

/// The tags that `task` reads when called with `input`; nothing for `pure`, and for a `write` what
/// it declares. A pattern whose field is missing from the input or is not a string, number or flag
/// makes the set `everything`.
TagSet read_tags(const Task& task, const json::Object& input, std::string_view tenant,
                 std::string_view run_id);
/// The tags that a `write` writes; nothing for other effects.
TagSet write_tags(const Task& task, const json::Object& input, std::string_view tenant,
                  std::string_view run_id);
bool conflict(const TagSet& a, const TagSet& b);

}  // namespace forerun
