#pragma once

#include "files/catalog_file.hpp"
#include "speculation/call.hpp"

namespace forerun {

/// A call for trying a catalog out.
struct ExampleCall {
  Call call;
  bool is_told = false;  ///< By the file: an example, or fields in tags. Else its input is empty.
};

/// The call that says most of a catalog: of tasks that a plain node can run (no recorded world),
/// one whose file gives an `example`, else one whose tags name fields, which get values; those
/// without effects before writes; the first by name. @pre the catalog has a task.
ExampleCall example_call(const CatalogFile& file);

}  // namespace forerun
