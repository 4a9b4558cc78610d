// Results of a needle test for people: a table and two pictures.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "cli/eval/needle_results.h"

namespace dsv::cli {

std::string NeedleTable(const std::vector<DocumentResult>& results);

// FOLDER/accuracy.svg, accuracy over length with confidence intervals, and FOLDER/depth.svg, a heat
// map of depth and length, which is left out when no depth is known.
Status WritePictures(const std::filesystem::path& folder, const std::string& title,
                     const std::vector<DocumentResult>& results);

}  // namespace dsv::cli
