/* Names that options of several commands choose among. */
#include "cli/shared_options.h"

IMP_CLI_NAMES(imp_cli_precision_at, "f32", "bf16", "auto")
IMP_CLI_NAMES(imp_cli_depth_at, "8", "16")
