#include "cli/bench/regression.h"

#include <fmt/format.h>

#include <map>
#include <utility>

#include "cli/bench/samples.h"
#include "cli/reply_printer.h"
#include "io/mapped_file.h"

namespace dsv::cli {
namespace {

constexpr double kWorse = 1.10;

// What tells the elements of an array apart.
constexpr const char* kNames[] = {"op",   "format",  "shape",  "rows",
                                  "kind", "context", "tokens", "threads"};

struct Unit {
  const char* name;
  double floor;
};
constexpr Unit kUnits[] = {{"ms", 0.02}, {"us", 2}};

std::string Label(const Json& object) {
  std::string label;
  for (const char* name : kNames) {
    const auto field = object.find(name);
    if (field == object.end() || field->is_structured()) continue;
    label +=
        fmt::format(" {}={}", name, field->is_string() ? field->get<std::string>() : field->dump());
  }
  return label;
}

using Medians = std::map<std::string, std::pair<double, double>>;  // and floors

void Collect(const Json& json, const std::string& path, Medians& medians) {
  if (json.is_array()) {
    for (const Json& element : json) Collect(element, path, medians);
    return;
  }
  if (!json.is_object()) return;
  const std::string own = path + Label(json);
  for (const auto& [key, value] : json.items()) {
    const std::string name = own.empty() ? key : own + " " + key;
    Collect(value, name, medians);
    if (!value.is_object() || !value.contains("median") || !value["median"].is_number()) continue;
    for (const Unit& unit : kUnits) {
      if (key == unit.name) medians[name] = {value["median"].get<double>(), unit.floor};
    }
  }
}

Medians MediansOf(const Json& json) {
  Medians medians;
  Collect(json, "", medians);
  return medians;
}

Result<Json> ReadBase(const std::string& path, const Json& now) {
  DSV_ASSIGN(const MappedFile file, MappedFile::Open(path));
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  DSV_ASSIGN(Json base, ParseJson(text, path));
  const std::string bench = now.value("bench", "");
  if (!base.is_object() || base.value("bench", Json()) != bench) {
    return Fail("{}: expected the output of dsv4 bench {}", path, bench);
  }
  if (base.value("model", Json()) != now.value("model", Json())) {
    return Fail("{}: expected a run with the same model, found {}", path,
                base.value("model", Json()).dump());
  }
  return base;
}

}  // namespace

std::vector<Regression> FindRegressions(const Json& base, const Json& now) {
  std::vector<Regression> found;
  const Medians before = MediansOf(base);
  for (const auto& [name, value] : MediansOf(now)) {
    const auto it = before.find(name);
    if (it == before.end()) continue;
    const auto [median, floor] = value;
    const double old = it->second.first;
    if (median > old * kWorse && median > old + floor) found.push_back({name, old, median});
  }
  return found;
}

Status PrintAndCompare(Json now, const std::string& base_file) {
  std::vector<Regression> regressions;
  if (!base_file.empty()) {
    DSV_ASSIGN(const Json base, ReadBase(base_file, now));
    regressions = FindRegressions(base, now);
    now["regressions"] = Json::array();
    for (const Regression& one : regressions) {
      now["regressions"].push_back({{"figure", one.figure},
                                    {"base", one.base},
                                    {"now", one.now},
                                    {"ratio", Rounded(one.now / one.base)}});
    }
  }
  fmt::print("{}\n", now.dump(1));
  DSV_TRY(CheckStandardOutput());
  if (regressions.empty()) return {};
  const Regression* worst = &regressions.front();
  for (const Regression& one : regressions) {
    if (one.now / one.base > worst->now / worst->base) worst = &one;
  }
  return Fail("{} figures take longer than in {}, most of all {}: {} instead of {}",
              regressions.size(), base_file, worst->figure, worst->now, worst->base);
}

}  // namespace dsv::cli
