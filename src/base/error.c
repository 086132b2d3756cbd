/* Failures and log lines in words. */
#include <stdio.h>
#include <string.h>

#include "base/context.h"

/* Control characters out of a file's name or content must not reach a terminal or break the line: those of ASCII, and
   those from U+0080 to U+009F in UTF-8. */
static void clean_line(char *text) {
    for (unsigned char *at = (unsigned char *)text; *at; at++)
        if (at[0] < ' ' || at[0] == 127 || (at[0] == 0xC2 && at[1] >= 0x80 && at[1] <= 0x9F)) *at = '?';
}

/* A cut may have left the first bytes of a UTF-8 character at the end; removes them. */
static void drop_partial_character(char *text) {
    size_t length = strlen(text), start = length;
    size_t expected;
    unsigned char lead;
    while (start > 0 && length - start < 3 && ((unsigned char)text[start - 1] & 0xC0) == 0x80) start--;
    if (start == 0) return;
    lead = (unsigned char)text[start - 1];
    expected = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    if (expected > length - start + 1) text[start - 1] = 0;
}

static void format_line(char *line, size_t size, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0)));

static void format_line(char *line, size_t size, const char *format, va_list arguments) {
    int needed = vsnprintf(line, size, format, arguments);
    if (needed < 0) line[0] = 0;
    if (needed >= 0 && (size_t)needed >= size) drop_partial_character(line);
    clean_line(line);
}

/* Two threads of the pool may fail at the same moment; one of their lines stays, whole. */
static void lock_error(imp_context *context) {
    while (atomic_flag_test_and_set_explicit(&context->error_lock, memory_order_acquire)) {
    }
}

static void unlock_error(imp_context *context) {
    atomic_flag_clear_explicit(&context->error_lock, memory_order_release);
}

int imp_fail(imp_context *context, int status, const char *format, ...) {
    char line[IMP_ERROR_LENGTH]; /* apart from context->error, which may be among the arguments */
    va_list arguments;
    if (!context) return status;
    va_start(arguments, format);
    format_line(line, sizeof line, format, arguments);
    va_end(arguments);
    lock_error(context);
    memcpy(context->error, line, sizeof line);
    unlock_error(context);
    return status;
}

int imp_fail_prefix(imp_context *context, int status, const char *format, ...) {
    char line[IMP_ERROR_LENGTH];
    size_t length, rest;
    int cut;
    va_list arguments;
    if (!context) return status;
    va_start(arguments, format);
    format_line(line, sizeof line, format, arguments);
    va_end(arguments);
    length = strlen(line);
    lock_error(context);
    rest = strlen(context->error);
    cut = rest > sizeof line - 1 - length;
    if (cut) rest = sizeof line - 1 - length;
    memmove(context->error + length, context->error, rest);
    memcpy(context->error, line, length);
    context->error[length + rest] = 0;
    if (cut) drop_partial_character(context->error);
    unlock_error(context);
    return status;
}

const char *imp_error(const imp_context *context) {
    return context ? context->error : "";
}

void imp_log(imp_context *context, imp_log_level level, const char *format, ...) {
    char line[IMP_ERROR_LENGTH];
    va_list arguments;
    if (!context || !context->options.log) return;
    va_start(arguments, format);
    format_line(line, sizeof line, format, arguments);
    va_end(arguments);
    context->options.log(context->options.user, level, line);
}
