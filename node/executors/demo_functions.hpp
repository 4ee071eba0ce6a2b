#pragma once

#include <filesystem>

#include "node/executors/executor.hpp"

namespace forerun {

/// The functions of `forerun demo`. All wait out a modelled latency, divided by `speedup`, and end
/// early when stopped.
///
/// | name                    | input        | output                        | latency |
/// |-------------------------|--------------|-------------------------------|---------|
/// | `demo.store_get`        | `key`        | `{"value", "version"}`        |   60 ms |
/// | `demo.store_put`        | `key, value` | `{"version"}`                 |   80 ms |
/// | `demo.note`             | `key, value` | `{"before"}`                  |   20 ms |
/// | `demo.classify_fast`    | `text`       | `{"by", "confidence", "label"}` | 40 ms |
/// | `demo.classify_slow`    | `text`       | the same                      |  400 ms |
/// | `demo.classify_rules`   | `text`       | the same                      |    5 ms |
///
/// The store is one file a key under `store_folder`; processes of one machine may share it. A get
/// reads at its start
/// (`null` and version 0 for a key never written), a put writes at its end: so a get that began
/// before a put ended is stale. A put with an outside key that wrote before changes nothing and
/// answers as it did then. A note is kept in the session's state under its key (a value that is
/// absent or null removes it), and answers with what was there. Classifiers derive label and
/// confidence from SHA-256 of their name and the text (of the whole input, if it has none), so that
/// equal texts get equal answers everywhere.
/// @pre speedup > 0.
NativeFunctions make_demo_functions(std::filesystem::path store_folder, double speedup);

}  // namespace forerun
