/* What pages of HTML need: text escaped, files as data in base64. */
#ifndef IMP_CLI_HTML_H
#define IMP_CLI_HTML_H

#include <stdio.h>

/* Text inside HTML and SVG: escaped, and what is no text replaced by U+FFFD. */
void imp_cli_write_html(FILE *stream, const char *text);

/* The rest of from (RFC 4648). */
void imp_cli_write_base64(FILE *stream, FILE *from);

#endif
