/* What a painting ran, node by node, for --verbose. */
#ifndef IMP_CLI_PROFILE_H
#define IMP_CLI_PROFILE_H

#include <stdbool.h>

#include "impasto.h"

/* A table with the time of each node of the last scale; as one JSON event when json. */
void imp_cli_print_profile(const imp_painting *painting, bool json);

#endif
