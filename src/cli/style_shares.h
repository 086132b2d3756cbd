/* Which of a model's styles a picture is painted in, and how much of each. */
#ifndef IMP_CLI_STYLE_SHARES_H
#define IMP_CLI_STYLE_SHARES_H

#include "cli/options.h"
#include "impasto.h"

/* Refuses a model that paints nothing. model_name is for messages, here and below. */
int imp_cli_check_styler(const imp_model *model, const char *model_name);

/* Reads "NAME[:SHARE]" and lists of those with commas between; without any, the only style of a model that has one.
   *shares: how much of each style of the model, 1 in all; free() it, after a failure too.
   Returns 0, or the exit code after saying what is wrong. */
int imp_cli_style_shares(const imp_model *model, const char *model_name, const imp_cli_texts *texts, float **shares);

/* "starry", or of several "starry 0.75, wave 0.25". */
void imp_cli_print_shares(const imp_model *model, const float *shares);
/* [{"name":"starry","share":0.75},...] */
void imp_cli_print_shares_json(const imp_model *model, const float *shares);

#endif
