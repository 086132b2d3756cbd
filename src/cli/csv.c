/* Reads comma-separated values: the whole file, then record by record, in place. */
#include "cli/csv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"

#define MOST_BYTES ((size_t)1 << 26)   /* of a list: a million rows of 60 characters */
#define BYTE_ORDER_MARK "\xEF\xBB\xBF" /* what spreadsheets put before UTF-8 */

static int read_stream(FILE *stream, const char *path, char *text) {
    size_t length = fread(text, 1, MOST_BYTES, stream);
    if (ferror(stream)) return imp_cli_fail(IMP_CLI_FAILURE, "%s: %s", path, strerror(errno));
    if (length == MOST_BYTES)
        return imp_cli_fail(IMP_CLI_FAILURE, "%s: more than the %zu bytes of a list that are read", path, MOST_BYTES);
    text[length] = '\0';
    if (strlen(text) != length) return imp_cli_fail(IMP_CLI_FAILURE, "%s: not a text file", path);
    return 0;
}

int imp_cli_csv_open(const char *path, imp_cli_csv *csv) {
    *csv = (imp_cli_csv){.path = path, .next_line = 1};
    FILE *stream = fopen(path, "rb");
    if (!stream) return imp_cli_fail(IMP_CLI_FAILURE, "%s: %s", path, strerror(errno));
    csv->text = malloc(MOST_BYTES + 1);
    int code = csv->text ? read_stream(stream, path, csv->text) : imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    fclose(stream);
    if (code) {
        imp_cli_csv_close(csv);
        return code;
    }
    char *shorter = realloc(csv->text, strlen(csv->text) + 1);
    if (shorter) csv->text = shorter;
    csv->at = csv->text;
    if (strncmp(csv->at, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0) csv->at += strlen(BYTE_ORDER_MARK);
    return 0;
}

void imp_cli_csv_close(imp_cli_csv *csv) {
    free(csv->text);
    csv->text = NULL;
}

static void skip_blank_lines(imp_cli_csv *csv) {
    for (;;) {
        char *end = csv->at + strspn(csv->at, " \t\r");
        if (*end != '\n') {
            if (*end == '\0') csv->at = end;
            return;
        }
        csv->at = end + 1;
        csv->next_line++;
    }
}

/* The field in quotes that begins at csv->at, without them; false where its end is missing. */
static bool take_quoted(imp_cli_csv *csv) {
    char *to = csv->at;
    for (char *from = csv->at + 1; *from; from++) {
        if (*from == '"' && from[1] != '"') {
            csv->at = from + 1;
            *to = '\0';
            return true;
        }
        if (*from == '"') from++;
        if (*from == '\n') csv->next_line++;
        *to++ = *from;
    }
    return false;
}

/* Goes to the end of the field that begins at csv->at; false after saying what is wrong with it. */
static bool take_field(imp_cli_csv *csv) {
    const char *wrong = NULL;
    if (*csv->at != '"') {
        csv->at += strcspn(csv->at, ",\r\n");
        while (*csv->at == '\r' && csv->at[1] != '\n') csv->at += 1 + strcspn(csv->at + 1, ",\r\n");
    } else if (!take_quoted(csv)) {
        wrong = "a quote that is not closed";
    } else if (*csv->at && !strchr(",\r\n", *csv->at)) {
        wrong = "text after a field in quotes";
    }
    if (wrong) imp_cli_fail(IMP_CLI_FAILURE, "%s, line %d: %s", csv->path, csv->line, wrong);
    return !wrong;
}

/* Ends the field before what csv->at points at. Returns whether another follows in this record. */
static bool end_field(imp_cli_csv *csv) {
    char *end = csv->at, last = *end;
    if (last == '\r' && end[1] == '\n') {
        *end++ = '\0';
        last = '\n';
    }
    if (last != '\0') *end++ = '\0';
    if (last == '\n') csv->next_line++;
    csv->at = end;
    return last == ',';
}

int imp_cli_csv_next(imp_cli_csv *csv, char **fields, int most) {
    int count = 0;
    skip_blank_lines(csv);
    if (*csv->at == '\0') return 0;
    csv->line = csv->next_line;
    for (bool more = true; more;) {
        if (count == most) {
            imp_cli_fail(IMP_CLI_FAILURE, "%s, line %d: more than %d fields", csv->path, csv->line, most);
            return -1;
        }
        fields[count++] = csv->at;
        if (!take_field(csv)) return -1;
        more = end_field(csv);
    }
    return count;
}
