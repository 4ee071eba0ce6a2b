#include "files/time_model.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/assert.hpp"
#include "base/json.hpp"
#include "files/file_bytes.hpp"
#include "files/line_reader.hpp"

namespace forerun {
namespace {

constexpr double seconds_max = static_cast<double>(trace_time_max.count()) / 1e6;

Duration of_seconds(double seconds) {
  return Duration(std::llround(std::min(seconds, seconds_max) * 1e6));
}

/// A finite number in [0, most], or nothing.
std::optional<double> number_of(std::string_view text, double most) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end != text.data() + text.size() ||
      !(value >= 0 && value <= most)) {
    return std::nullopt;
  }
  return value;
}

tl::unexpected<Error> no_model(const std::string& text) {
  return fail(Errc::invalid, "\"" + text +
                                 "\" is no time model, expected lognormal:MEDIAN_MS:SIGMA, "
                                 "constant:MS or quantiles:FILE#PROFILE, times from 0 to 30 days");
}

Result<TimeModel> read_quantiles(const std::string& file, const std::string& profile,
                                 const std::string& member) {
  const Result<std::string> text = read_file(file, time_model_bytes_max);
  if (!text) {
    return tl::unexpected<Error>(text.error());
  }
  const Result<json::Value> root = json::parse(*text, {.bytes = time_model_bytes_max});
  if (!root) {
    return fail(root.error().code, file + ": " + root.error().message);
  }
  const json::Value* found = root->find(profile);
  if (found == nullptr) {
    std::string known;
    if (root->object() != nullptr) {
      for (const json::Member& each : *root->object()) {
        known += (known.empty() ? "" : ", ") + each.name;
      }
    }
    return fail(Errc::not_found, file + ": no profile \"" + profile + "\", expected one of " +
                                     (known.empty() ? "an object's members" : known));
  }
  const std::string place = file + ": " + profile + "." + member;
  const json::Value* shares = found->find(member);
  if (shares == nullptr || shares->object() == nullptr || shares->object()->empty()) {
    return fail(Errc::invalid, place + ": " + std::string(kind_of(shares)) +
                                   ", expected an object of seconds by their share");
  }
  std::vector<std::pair<double, Duration>> points;
  for (const json::Member& each : *shares->object()) {
    const std::optional<double> share = number_of(each.name, 1);
    const double* seconds = each.value.number();
    if (!share || seconds == nullptr || *seconds < 0 || *seconds > seconds_max) {
      return fail(Errc::invalid, place + "[\"" + each.name + "\"]: " + json::canonical(each.value) +
                                     ", expected seconds (0 to 30 days) by a share from 0 to 1");
    }
    points.emplace_back(*share, of_seconds(*seconds));
  }
  std::sort(points.begin(), points.end());
  for (std::size_t i = 1; i < points.size(); ++i) {
    if (points[i].first == points[i - 1].first || points[i].second < points[i - 1].second) {
      return fail(Errc::invalid, place +
                                     ": the seconds fall or a share is named twice, expected "
                                     "seconds that rise with their share");
    }
  }
  return TimeModel::quantiles(std::move(points));
}

}  // namespace

TimeModel TimeModel::lognormal(double median_s, double sigma) {
  FORERUN_ASSERT(median_s >= 0 && sigma >= 0);
  TimeModel model;
  model.median_s_ = median_s;
  model.sigma_ = sigma;
  return model;
}

TimeModel TimeModel::constant(Duration always) {
  return quantiles({{0.5, always}});
}

TimeModel TimeModel::quantiles(std::vector<std::pair<double, Duration>> points) {
  FORERUN_ASSERT(!points.empty());
  FORERUN_ASSERT(std::is_sorted(points.begin(), points.end()));
  TimeModel model;
  model.points_ = std::move(points);
  return model;
}

Result<TimeModel> TimeModel::parse(const std::string& text, const std::string& member) {
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos) {
    return no_model(text);
  }
  const std::string kind = text.substr(0, colon);
  const std::string rest = text.substr(colon + 1);
  constexpr double milliseconds_max = seconds_max * 1e3;
  if (kind == "constant") {
    if (const auto always = number_of(rest, milliseconds_max)) {
      return constant(of_seconds(*always / 1e3));
    }
  } else if (kind == "lognormal") {
    const std::size_t second = rest.find(':');
    if (second != std::string::npos) {
      const auto median = number_of(std::string_view(rest).substr(0, second), milliseconds_max);
      const auto sigma = number_of(std::string_view(rest).substr(second + 1), time_model_sigma_max);
      if (median && sigma) {
        return lognormal(*median / 1e3, *sigma);
      }
    }
  } else if (kind == "quantiles") {
    const std::size_t hash = rest.rfind('#');
    if (hash != std::string::npos && hash > 0 && hash + 1 < rest.size()) {
      return read_quantiles(rest.substr(0, hash), rest.substr(hash + 1), member);
    }
  }
  return no_model(text);
}

Duration TimeModel::draw(Prng prng) const {
  if (points_.empty()) {
    return of_seconds(prng.lognormal(median_s_, sigma_));
  }
  const double share = prng.unit();
  if (share <= points_.front().first) {
    return points_.front().second;
  }
  for (std::size_t i = 1; i < points_.size(); ++i) {
    const auto& [low, before] = points_[i - 1];
    const auto& [high, after] = points_[i];
    if (share < high) {
      const double part = (share - low) / (high - low);
      return before + Duration(std::llround(static_cast<double>((after - before).count()) * part));
    }
  }
  return points_.back().second;
}

}  // namespace forerun
