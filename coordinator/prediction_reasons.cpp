#include "coordinator/prediction_reasons.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/formatted.hpp"

namespace forerun::prediction {
namespace {

std::string count_text(double count) {
  return formatted(std::abs(count - std::round(count)) < 0.05 ? "%.0f" : "%.1f", count);
}

double share_of(const ContextSaid& context) {
  return context.times > 0 ? context.followed / context.times : 0;
}

/// Those that hold the same (at a session's start they do) are one.
std::vector<ContextSaid> different(const std::vector<ContextSaid>& contexts) {
  std::vector<ContextSaid> found;
  for (const ContextSaid& each : contexts) {
    const auto same = std::find_if(found.begin(), found.end(), [&](const ContextSaid& other) {
      return other.what == each.what && other.times == each.times &&
             other.followed == each.followed;
    });
    if (same == found.end()) {
      found.push_back(each);
    } else {
      same->weight += each.weight;
    }
  }
  return found;
}

std::string how_often_with_share(double hits, double tries) {
  return how_often(hits, tries) + " (" + share_text(tries > 0 ? hits / tries : 0) + ")";
}

/// The heaviest ones in a line each; what the others say in one number behind the last, with what
/// all of them give.
void tell_contexts(const Account& account, std::vector<std::string>& lines) {
  if (!(account.blended > 0)) {
    lines.push_back("contexts: none has seen it here; proposed by " + account.proposed_by +
                    ", taken as " + share_text(account.expected));
    return;
  }
  std::vector<ContextSaid> contexts = different(account.contexts);
  std::reverse(contexts.begin(), contexts.end());
  std::stable_sort(contexts.begin(), contexts.end(),
                   [](const ContextSaid& a, const ContextSaid& b) { return a.weight > b.weight; });
  std::size_t told = 0;
  double weight = 0, said = 0;
  for (const ContextSaid& each : contexts) {
    if (told == 0 || (told < contexts_told && each.weight >= context_weight_told)) {
      ++told;
      lines.push_back("context: " + each.what + ": " +
                      how_often_with_share(each.followed, each.times) + ", weighs " +
                      share_text(each.weight));
    } else {
      weight += each.weight;
      said += each.weight * share_of(each);
    }
  }
  if (contexts.empty()) {
    return;
  }
  std::string& last = lines.back();
  if (contexts.size() > told) {
    last += "; " + std::to_string(contexts.size() - told) + " more weigh " + share_text(weight) +
            " and say " + share_text(weight > 0 ? said / weight : 0);
  }
  last += "; all say " + share_text(account.blended);
  if (share_text(account.expected) != share_text(account.blended)) {
    last += ", " + share_text(account.expected) + " by how such came true";
  }
}

std::string text_of(const ArgumentSaid& argument) {
  std::string text = argument.name + " = " + argument.origin + ": " + share_text(argument.share);
  if (argument.tries > 0) {
    text += ", right " + how_often(argument.hits, argument.tries);
  }
  return text;
}

/// The least sure one first, the others in a second line.
void tell_arguments(const Account& account, std::vector<std::string>& lines) {
  std::vector<ArgumentSaid> arguments = account.arguments;
  if (arguments.empty()) {
    return;
  }
  if (arguments.size() > 2) {
    std::stable_sort(
        arguments.begin(), arguments.end(),
        [](const ArgumentSaid& a, const ArgumentSaid& b) { return a.share < b.share; });
  }
  lines.push_back(text_of(arguments.front()));
  if (arguments.size() == 1) {
    return;
  }
  const std::size_t told = std::min(arguments.size(), arguments_told);
  std::string rest;
  for (std::size_t i = 1; i < told; ++i) {
    rest += (i == 1 ? "" : "; ") + text_of(arguments[i]);
  }
  if (told < arguments.size()) {
    rest += "; " + std::to_string(arguments.size() - told) + " more";
  }
  lines.push_back(rest + "; all " + share_text(account.arguments_share));
}

void tell_ranker(const Account& account, std::vector<std::string>& lines) {
  std::vector<Force> forces = account.forces;
  std::stable_sort(forces.begin(), forces.end(), [](const Force& a, const Force& b) {
    return std::max(a.factor, 1 / a.factor) > std::max(b.factor, 1 / b.factor);
  });
  double rest = account.other_forces;
  std::string told;
  for (std::size_t i = 0; i < forces.size(); ++i) {
    if (i < forces_told) {
      told += forces[i].what + " x " + formatted("%.3g", forces[i].factor) + ", ";
    } else {
      rest *= forces[i].factor;
    }
  }
  const double odds = account.ranked / std::max(1 - account.ranked, 1e-9);
  lines.push_back("ranker: " + share_text(account.expected * account.arguments_share) +
                  " becomes " + share_text(account.ranked) + ": odds " + formatted("%.3g", odds) +
                  " to 1 = " + told + "all else x " + formatted("%.3g", rest));
}

void tell_calibration(const Account& account, std::vector<std::string>& lines) {
  std::string line = "calibration: " + share_text(account.ranked);
  const std::string calls = count_text(account.calls) + (account.calls == 1 ? " call" : " calls");
  std::string now = share_text(account.ranked);
  const auto becomes = [&](double probability, const std::string& why) {
    if (const std::string then = share_text(probability); then != now) {
      line += ", " + then + " " + why;
      now = then;
    }
  };
  becomes(account.allowed, "as no surer than " + calls + " allow");
  becomes(account.corrected, "by x " + formatted("%.3f", account.correction) +
                                 " as of those from " + formatted("%.0f", account.bin_from * 100) +
                                 " to " + formatted("%.0f %%", account.bin_to * 100) + " " +
                                 count_text(account.bin_came) + " came and " +
                                 count_text(account.bin_due) + " were due");
  becomes(account.bounded, "as the lower bound after " + calls);
  becomes(account.bounded_by_calls, "as no surer than " + calls + " allow");
  becomes(account.stated, "as of those so sure only " + count_text(account.sure_came) + " of " +
                              count_text(account.sure_tries) + " came");
  lines.push_back(line + (now == share_text(account.ranked) ? " stays " : ", stated ") + now);
}

void tell_rivals(const Account& account, std::vector<std::string>& lines) {
  std::vector<Rival> rivals = account.rivals;
  std::stable_sort(rivals.begin(), rivals.end(),
                   [](const Rival& a, const Rival& b) { return a.probability > b.probability; });
  std::string told;
  double rest = 0;
  for (std::size_t i = 0; i < rivals.size(); ++i) {
    if (i < rivals_told) {
      told += (i == 0 ? "" : ", ") + rivals[i].what + " " + share_text(rivals[i].probability);
    } else {
      rest += rivals[i].probability;
    }
  }
  if (rivals.size() > rivals_told) {
    told += ", " + std::to_string(rivals.size() - rivals_told) + " more " + share_text(rest);
  }
  if (!told.empty()) {
    lines.push_back("instead, as ranked: " + told);
  }
}

}  // namespace

std::string share_text(double share) {
  const auto tenths = static_cast<std::uint32_t>(share * 1000 + 0.5);
  std::string text = std::to_string(tenths / 10);
  text += '.';
  text += static_cast<char>('0' + tenths % 10);
  text += " %";
  return text;
}

std::string how_often(double hits, double tries) {
  return count_text(hits) + " of " + count_text(tries) + (tries == 1 ? " time" : " times");
}

std::string summary_of(const std::string& task, const std::string& place, double expected,
                       double arguments_share, double ranked, double stated) {
  return task + " " + place + ": contexts " + share_text(expected) + ", arguments " +
         share_text(arguments_share) + ", ranked " + share_text(ranked) + ", stated " +
         share_text(stated);
}

std::vector<std::string> lines_of(const Account& account) {
  std::vector<std::string> lines = {summary_of(account.task, account.place, account.expected,
                                               account.arguments_share, account.ranked,
                                               account.stated)};
  tell_contexts(account, lines);
  tell_arguments(account, lines);
  tell_ranker(account, lines);
  tell_calibration(account, lines);
  tell_rivals(account, lines);
  return lines;
}

}  // namespace forerun::prediction
