/* What the program says: results on standard output, each failure and warning as one line on standard error. */
#ifndef IMP_CLI_REPORT_H
#define IMP_CLI_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "impasto.h"

enum { IMP_CLI_FAILURE = 1, IMP_CLI_USAGE = 2 }; /* exit codes */

/* The exit code for a library status: a bad value is a usage error, everything else a failure. */
int imp_cli_exit_code(int status);

/* Makes imp_cli_fail report on standard output too, as {"event":"error","message":...}, for programs that listen. */
void imp_cli_report_json(bool on);

/* "impasto: " and the words, as one line on standard error. Returns code, so that
   `return imp_cli_fail(...)` is one line. */
int imp_cli_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says what a call of the library failed of, in the context's words; context is NULL where it could not be created.
   Returns the exit code for status. */
int imp_cli_fail_status(const imp_context *context, int status);
void imp_cli_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints what a file says of itself: a terminal obeys control characters, so they come out as '?'. */
void imp_cli_print_text(const char *text);

/* Draws text over the terminal's current line; imp_cli_bar_end clears it, as every message above does first. */
void imp_cli_bar(const char *text);
void imp_cli_bar_end(void);

/* Sends what was printed. After the first failure it stays false: who read our output is gone, or its disk is full. */
bool imp_cli_flush(void);

/* The last flush. A disk that is full makes code a failure; a pipe that its reader closed does not. */
int imp_cli_finish_output(int code);

/* Bytes of the valid UTF-8 sequence at text (RFC 3629: no overlong forms, no surrogates, up to U+10FFFF); 0 if it is
   none. */
int imp_cli_utf8_length(const unsigned char *text);

/* JSON: strings are UTF-8 whatever the bytes were (invalid ones become U+FFFD), numbers that
   are not finite are null. */
void imp_json_text(FILE *stream, const char *text);
void imp_json_number(FILE *stream, double number);

/* "1 iteration", "2 iterations" in buffer, which is returned. */
enum { IMP_CLI_COUNT_TEXT = 48 };
const char *imp_cli_count_text(char buffer[IMP_CLI_COUNT_TEXT], int count, const char *noun);

/* "812 MB", "1.4 GB" (of 1024 x 1024 and so on) in buffer, which is returned. */
enum { IMP_CLI_SIZE_TEXT = 32 };
const char *imp_cli_size_text(char buffer[IMP_CLI_SIZE_TEXT], double bytes);

#endif
