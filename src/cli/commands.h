/* The commands that have a file of their own. */
#ifndef IMP_CLI_COMMANDS_H
#define IMP_CLI_COMMANDS_H

#include "cli/options.h"

extern const imp_cli_command imp_cli_optimize;                         /* optimize.c */
extern const imp_cli_command imp_cli_stylize;                          /* stylize.c */
extern const imp_cli_command imp_cli_evaluate;                         /* evaluate.c */
extern const imp_cli_command imp_cli_model_import, imp_cli_model_list; /* model.c */
extern const imp_cli_command imp_cli_model_info, imp_cli_model_verify; /* model.c */
extern const imp_cli_command imp_cli_bench_optimize;                   /* bench.c */
extern const imp_cli_command imp_cli_train;                            /* train.c */
extern const imp_cli_command imp_cli_bench_stylize;                    /* bench_stylize.c */
extern const imp_cli_command imp_cli_bench_train;                      /* bench_train.c */

#endif
