/* What the program says: results on standard output, each failure and warning as one line on standard error. */
#include "cli/report.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { MESSAGE_LENGTH = 8192 }; /* room for two paths of 4095 bytes less; what is longer is cut */

static bool errors_as_json, bar_is_drawn;
static bool output_failed;
static int output_errno; /* of the first failed flush; 0 when it was not told */

int imp_cli_exit_code(int status) {
    return status == IMP_ERR_ARGUMENT ? IMP_CLI_USAGE : IMP_CLI_FAILURE;
}

void imp_cli_report_json(bool on) {
    errors_as_json = on;
}

/* Whether a control character begins at text: of ASCII, or of those from U+0080 to U+009F in UTF-8. */
static bool is_control(const unsigned char *text) {
    return text[0] < ' ' || text[0] == 127 || (text[0] == 0xC2 && text[1] >= 0x80 && text[1] <= 0x9F);
}

/* Formats one line: a path may hold a line break, and a terminal obeys control characters. */
static void format_line(char line[MESSAGE_LENGTH], const char *format, va_list values) {
    vsnprintf(line, MESSAGE_LENGTH, format, values);
    for (unsigned char *at = (unsigned char *)line; *at; at++)
        if (is_control(at)) *at = '?';
}

void imp_cli_print_text(const char *text) {
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) putchar(is_control(at) ? '?' : *at);
}

int imp_cli_fail(int code, const char *format, ...) {
    char line[MESSAGE_LENGTH];
    va_list values;
    va_start(values, format);
    format_line(line, format, values);
    va_end(values);
    imp_cli_bar_end();
    if (errors_as_json) {
        fputs("{\"event\":\"error\",\"message\":", stdout);
        imp_json_text(stdout, line);
        fputs("}\n", stdout);
    }
    imp_cli_flush();
    fprintf(stderr, "impasto: %s\n", line);
    return code;
}

int imp_cli_fail_status(const imp_context *context, int status) {
    int code = imp_cli_exit_code(status);
    if (context) return imp_cli_fail(code, "%s", imp_error(context));
    if (status == IMP_ERR_THREAD)
        return imp_cli_fail(code, "the system gives no more threads; give a smaller number with --threads");
    return imp_cli_fail(code, "cannot start: %s", imp_status_string(status));
}

void imp_cli_warn(const char *format, ...) {
    char line[MESSAGE_LENGTH];
    va_list values;
    va_start(values, format);
    format_line(line, format, values);
    va_end(values);
    imp_cli_bar_end();
    imp_cli_flush();
    fprintf(stderr, "impasto: warning: %s\n", line);
}

void imp_cli_bar(const char *text) {
    putchar('\r');
    imp_cli_print_text(text);
    fputs("\033[K", stdout); /* the sequence erases the rest of the line */
    bar_is_drawn = true;
    imp_cli_flush();
}

void imp_cli_bar_end(void) {
    if (bar_is_drawn) fputs("\r\033[K", stdout);
    bar_is_drawn = false;
}

bool imp_cli_flush(void) {
    if (output_failed) return false;
    errno = 0;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        output_failed = true;
        output_errno = errno;
    }
    return !output_failed;
}

int imp_cli_finish_output(int code) {
    imp_cli_flush();
    if (!output_failed || output_errno == EPIPE) return code;
    fprintf(stderr, "impasto: standard output: %s\n", output_errno ? strerror(output_errno) : "cannot be written");
    return code ? code : IMP_CLI_FAILURE;
}

int imp_cli_utf8_length(const unsigned char *text) {
    static const struct {
        unsigned char first_low, first_high, second_low, second_high;
        int length;
    } forms[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (text[0] < forms[i].first_low || text[0] > forms[i].first_high) continue;
        if (forms[i].length == 1) return 1;
        if (text[1] < forms[i].second_low || text[1] > forms[i].second_high) return 0;
        for (int at = 2; at < forms[i].length; at++)
            if ((text[at] & 0xc0) != 0x80) return 0;
        return forms[i].length;
    }
    return 0;
}

void imp_json_text(FILE *stream, const char *text) {
    putc('"', stream);
    for (const unsigned char *at = (const unsigned char *)text; *at;) {
        int length = imp_cli_utf8_length(at);
        if (length == 0) {
            fputs("\\ufffd", stream);
            length = 1;
        } else if (*at == '"' || *at == '\\') {
            fprintf(stream, "\\%c", *at);
        } else if (*at < ' ' || *at == 127) {
            fprintf(stream, "\\u%04x", *at);
        } else {
            fwrite(at, 1, (size_t)length, stream);
        }
        at += length;
    }
    putc('"', stream);
}

void imp_json_number(FILE *stream, double number) {
    if (isfinite(number))
        fprintf(stream, "%.9g", number); /* as many digits as a float has */
    else
        fputs("null", stream);
}

const char *imp_cli_count_text(char buffer[IMP_CLI_COUNT_TEXT], int count, const char *noun) {
    snprintf(buffer, IMP_CLI_COUNT_TEXT, "%d %s%s", count, noun, count == 1 ? "" : "s");
    return buffer;
}

const char *imp_cli_size_text(char buffer[IMP_CLI_SIZE_TEXT], double bytes) {
    const double mega = 1024.0 * 1024.0, giga = 1024.0 * mega;
    if (bytes >= giga)
        snprintf(buffer, IMP_CLI_SIZE_TEXT, "%.1f GB", bytes / giga);
    else
        snprintf(buffer, IMP_CLI_SIZE_TEXT, "%.0f MB", ceil(bytes / mega));
    return buffer;
}
