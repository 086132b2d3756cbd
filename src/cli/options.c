/* Parses a command line by the command's table of options, strictly: a value that is
   not wholly understood is refused. */
#include "cli/options.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/report.h"
#include "impasto.h"

#define MAX_WEIGHT 1e6 /* of one among several */

bool imp_cli_number(const char *text, double *number) {
    /* strtod alone would take " 5", "nan", "inf" and "0x10" as well. */
    if (*text == '\0' || text[strspn(text, "0123456789.eE+-")] != '\0') return false;
    char *end;
    *number = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*number);
}

/* A number followed by at most one of the units, each of which multiplies it by its factor. */
static bool number_with_unit(const char *text, const char *units, const double *factors, double *number) {
    char digits[64];
    size_t length = strlen(text);
    if (length == 0 || length >= sizeof digits) return false;
    double factor = 1;
    const char *unit = strchr(units, text[length - 1]);
    if (unit) {
        factor = factors[unit - units];
        length--;
    }
    memcpy(digits, text, length);
    digits[length] = '\0';
    if (!imp_cli_number(digits, number)) return false;
    *number *= factor;
    return isfinite(*number);
}

static bool parse_seconds(const char *text, double *seconds) {
    static const double factors[] = {1, 60, 3600};
    return number_with_unit(text, "smh", factors, seconds);
}

static bool parse_bytes(const char *text, double *bytes) {
    static const double factors[] = {1024.0, 1024.0, 1048576.0, 1048576.0, 1073741824.0, 1073741824.0};
    return number_with_unit(text, "kKmMgG", factors, bytes);
}

static bool parse_integer(const char *text, double *number) {
    size_t sign = *text == '-' || *text == '+';
    const char *digits = text + sign;
    return *digits != '\0' && digits[strspn(digits, "0123456789")] == '\0' && imp_cli_number(text, number);
}

static bool parse_seed(const char *text, uint64_t *seed) {
    if (*text == '\0' || text[strspn(text, "0123456789")] != '\0') return false;
    errno = 0;
    *seed = strtoull(text, NULL, 10);
    return errno == 0;
}

const char *imp_cli_range_text(char buffer[IMP_CLI_RANGE_TEXT], const imp_cli_option *option) {
    switch (option->kind) {
    case IMP_CLI_INTEGER:
        snprintf(buffer, IMP_CLI_RANGE_TEXT, "a whole number from %.0f to %.0f", option->minimum, option->maximum);
        break;
    case IMP_CLI_SEED:
        snprintf(buffer, IMP_CLI_RANGE_TEXT, "a whole number from 0 to %llu", (unsigned long long)UINT64_MAX);
        break;
    case IMP_CLI_SECONDS:
        snprintf(buffer, IMP_CLI_RANGE_TEXT, "a time above 0 and up to %.0fh, such as 90, 60s, 2m or 1h",
                 option->maximum / 3600);
        break;
    case IMP_CLI_BYTES:
        snprintf(buffer, IMP_CLI_RANGE_TEXT, "an amount of memory from %.0fM, such as 800M or 2G",
                 option->minimum / 1048576);
        break;
    case IMP_CLI_NUMBER:
        snprintf(buffer, IMP_CLI_RANGE_TEXT,
                 option->above ? "a number above %g and up to %g" : "a number from %g to %g", option->minimum,
                 option->maximum);
        break;
    default:
        snprintf(buffer, IMP_CLI_RANGE_TEXT, "%s", option->value ? option->value : "nothing");
    }
    return buffer;
}

static bool in_range(const imp_cli_option *option, double number) {
    return number <= option->maximum && (option->above ? number > option->minimum : number >= option->minimum);
}

/* Numeric kinds: reads, checks and stores. */
static bool set_number(const imp_cli_option *option, const char *text, void *place) {
    double number;
    switch (option->kind) {
    case IMP_CLI_SEED:
        return parse_seed(text, place);
    case IMP_CLI_INTEGER:
        if (!parse_integer(text, &number) || !in_range(option, number)) return false;
        *(int *)place = (int)number;
        return true;
    case IMP_CLI_BYTES:
        if (!parse_bytes(text, &number) || !in_range(option, number)) return false;
        *(size_t *)place = (size_t)number;
        return true;
    case IMP_CLI_SECONDS:
        if (!parse_seconds(text, &number) || !in_range(option, number)) return false;
        *(double *)place = number;
        return true;
    default:
        if (!imp_cli_number(text, &number) || !in_range(option, number)) return false;
        *(double *)place = number;
        return true;
    }
}

static int set_choice(const imp_cli_option *option, const char *text, const char **place) {
    char names[512] = "";
    for (int i = 0; option->choice(i); i++) {
        const char *name = option->choice(i);
        if (strcmp(name, text) == 0) {
            *place = name;
            return 0;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", name);
    }
    const char *nearest = imp_cli_nearest(text, option->choice);
    if (nearest)
        return imp_cli_fail(IMP_CLI_USAGE, "--%s: there is no '%s'; did you mean '%s'?", option->name, text, nearest);
    return imp_cli_fail(IMP_CLI_USAGE, "--%s: there is no '%s'; choose one of %s", option->name, text, names);
}

static int set_text(const imp_cli_option *option, const char *text, void *place) {
    if (*text == '\0') return imp_cli_fail(IMP_CLI_USAGE, "--%s: the value is empty", option->name);
    if (option->kind == IMP_CLI_CHOICE) return set_choice(option, text, place);
    if (option->kind == IMP_CLI_TEXT) {
        *(const char **)place = text;
        return 0;
    }
    imp_cli_texts *texts = place;
    if (texts->count == IMP_CLI_MAX_TEXTS)
        return imp_cli_fail(IMP_CLI_USAGE, "--%s: given more than %d times", option->name, IMP_CLI_MAX_TEXTS);
    texts->items[texts->count++] = text;
    return 0;
}

static int set_value(const imp_cli_option *option, const char *text, void *settings) {
    void *place = (char *)settings + option->offset;
    if (option->kind == IMP_CLI_TEXT || option->kind == IMP_CLI_TEXTS || option->kind == IMP_CLI_CHOICE)
        return set_text(option, text, place);
    if (set_number(option, text, place)) return 0;
    char range[IMP_CLI_RANGE_TEXT];
    return imp_cli_fail(IMP_CLI_USAGE, "--%s: '%s' is not %s", option->name, text, imp_cli_range_text(range, option));
}

int imp_cli_split_weight(const char *option, const char *text, size_t length,
                         bool (*is_name)(const void *user, const char *name), const void *user,
                         char name[IMP_CLI_WEIGHTED], double *weight) {
    *weight = 1;
    if (length >= IMP_CLI_WEIGHTED) return imp_cli_fail(IMP_CLI_USAGE, "--%s: the value is too long", option);
    memcpy(name, text, length);
    name[length] = '\0';
    char *colon = strrchr(name, ':');
    if (!colon || colon == name || is_name(user, name)) return 0;
    *colon = '\0';
    bool is_number = imp_cli_number(colon + 1, weight);
    if (is_number && *weight > 0 && *weight <= MAX_WEIGHT) return 0;
    if (is_number || is_name(user, name))
        return imp_cli_fail(IMP_CLI_USAGE, "--%s: the weight '%s' of %s is not a number above 0 and up to %g", option,
                            colon + 1, name, MAX_WEIGHT);
    *colon = ':';
    *weight = 1;
    return 0;
}

static const char *plain_name_at(const void *names, int index) {
    return (*(const imp_cli_names *)names)(index);
}

const char *imp_cli_nearest(const char *word, imp_cli_names at) {
    return imp_nearest_name(word, plain_name_at, &at);
}

static const char *option_name_at(const void *command, int index) {
    return ((const imp_cli_command *)command)->options[index].name;
}

static int unknown_option(const imp_cli_command *command, const char *word) {
    char name[64];
    word += strspn(word, "-");
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    const char *nearest = imp_nearest_name(name, option_name_at, command);
    const char *dashes = strlen(name) > 1 ? "--" : "-";
    if (nearest)
        return imp_cli_fail(IMP_CLI_USAGE, "%s: there is no option %s%s; did you mean --%s?", command->name, dashes,
                            name, nearest);
    return imp_cli_fail(IMP_CLI_USAGE, "%s: there is no option %s%s; see 'impasto help %s'", command->name, dashes,
                        name, command->name);
}

/* The option that word names ("--size", "--size=512", "-o", "-oOUT"), its attached value in *value, or NULL. */
static const imp_cli_option *find_option(const imp_cli_command *command, const char *word, const char **value) {
    *value = NULL;
    for (const imp_cli_option *option = command->options; option->name; option++) {
        if (word[1] != '-') {
            if (word[1] != option->letter) continue;
            if (word[2] != '\0') *value = word + 2;
            return option;
        }
        size_t length = strlen(option->name);
        if (strncmp(word + 2, option->name, length) != 0) continue;
        if (word[2 + length] == '=') *value = word + 3 + length;
        if (*value || word[2 + length] == '\0') return option;
    }
    return NULL;
}

/* Handles the option at words[*at], and its value when that is the next word. */
static int parse_option(const imp_cli_command *command, char **words, int count, int *at, void *settings) {
    const char *word = words[*at], *value;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) return IMP_CLI_SHOW_HELP;
    const imp_cli_option *option = find_option(command, word, &value);
    if (!option) return unknown_option(command, word);
    if (option->kind == IMP_CLI_FLAG) {
        if (value) return imp_cli_fail(IMP_CLI_USAGE, "--%s takes no value", option->name);
        *(bool *)((char *)settings + option->offset) = true;
        return 0;
    }
    if (!value) {
        /* "-1" is a value to be refused for its range, "--json" a value that was forgotten. */
        if (*at + 1 == count || strncmp(words[*at + 1], "--", 2) == 0)
            return imp_cli_fail(IMP_CLI_USAGE, "--%s needs a value: %s", option->name, option->value);
        value = words[++*at];
    }
    return set_value(option, value, settings);
}

int imp_cli_parse(const imp_cli_command *command, char **words, int count, void *settings, int *arguments) {
    bool options_ended = false;
    *arguments = 0;
    for (int at = 0; at < count; at++) {
        if (!options_ended && strcmp(words[at], "--") == 0) {
            options_ended = true;
        } else if (!options_ended && words[at][0] == '-' && words[at][1] != '\0') {
            int code = parse_option(command, words, count, &at, settings);
            if (code) return code;
        } else if (words[at][0] == '\0') {
            return imp_cli_fail(IMP_CLI_USAGE, "%s: %s is empty", command->name, command->arguments);
        } else {
            words[(*arguments)++] = words[at];
        }
    }
    if (*arguments < command->least)
        return imp_cli_fail(IMP_CLI_USAGE, "%s needs %s; see 'impasto help %s'", command->name, command->arguments,
                            command->name);
    if (*arguments > command->most)
        return imp_cli_fail(IMP_CLI_USAGE, "%s: '%s' is one argument too many", command->name, words[command->most]);
    return 0;
}
