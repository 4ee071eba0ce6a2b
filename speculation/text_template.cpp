#include "speculation/text_template.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "base/json.hpp"
#include "speculation/json_pointer.hpp"

namespace forerun {
namespace {

using Source = TemplatePart::Source;

constexpr std::array<std::pair<std::string_view, Source>, 4> sources = {{{"input", Source::input},
                                                                         {"state", Source::state},
                                                                         {"env", Source::env},
                                                                         {"file", Source::file}}};
constexpr std::string_view place_begin = "${";
constexpr std::size_t shown_place_max = 100;

Result<TemplatePart> place_of(std::string_view inside) {
  const std::size_t colon = inside.find(':');
  const auto known = std::find_if(sources.begin(), sources.end(), [&](const auto& source) {
    return colon != std::string_view::npos && source.first == inside.substr(0, colon);
  });
  const std::string place = "${" + json::clean_text(inside, shown_place_max) + "}";
  if (known == sources.end()) {
    return fail(Errc::invalid, place +
                                   ", expected ${input:/pointer}, ${state:/pointer}, ${env:NAME} "
                                   "or ${file:PATH}; write $${ for a ${ that stands for itself");
  }
  TemplatePart part{known->second, std::string(inside.substr(colon + 1))};
  if (part.is_of_call() && !is_json_pointer(part.text)) {
    return fail(Errc::invalid, place + ", expected a JSON pointer such as /order_id");
  }
  if (part.is_of_node() && part.text.empty()) {
    return fail(Errc::invalid, place + ", expected a name");
  }
  return part;
}

void add_literal(std::vector<TemplatePart>& parts, std::string_view text) {
  if (text.empty()) {
    return;
  }
  if (parts.empty() || parts.back().source != Source::literal) {
    parts.emplace_back();
  }
  parts.back().text += text;
}

}  // namespace

std::string shown(const TemplatePart& part) {
  for (const auto& [name, source] : sources) {
    if (source == part.source) {
      return "${" + std::string(name) + ":" + part.text + "}";
    }
  }
  return part.text;
}

Result<std::vector<TemplatePart>> template_parts(std::string_view text) {
  std::vector<TemplatePart> parts;
  while (!text.empty()) {
    const std::size_t at = text.find(place_begin);
    if (at == std::string_view::npos) {
      add_literal(parts, text);
      break;
    }
    if (at > 0 && text[at - 1] == '$') {  // $${
      add_literal(parts, text.substr(0, at - 1));
      add_literal(parts, place_begin);
      text.remove_prefix(at + place_begin.size());
      continue;
    }
    add_literal(parts, text.substr(0, at));
    const std::size_t end = text.find('}', at);
    if (end == std::string_view::npos) {
      return fail(Errc::invalid,
                  json::clean_text(text.substr(at), shown_place_max) + ": no } behind it");
    }
    auto part = place_of(text.substr(at + place_begin.size(), end - at - place_begin.size()));
    if (!part) {
      return tl::unexpected<Error>(std::move(part.error()));
    }
    parts.push_back(std::move(*part));
    text.remove_prefix(end + 1);
  }
  return parts;
}

}  // namespace forerun
