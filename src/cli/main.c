/* The program `impasto`: finds the command that the first words name, has its options parsed and runs it. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/report.h"
#include "cli/system.h"
#include "impasto.h"

typedef struct help_settings {
    bool man, completion, recipe;
} help_settings;

static const imp_cli_option help_options[] = {
    {.name = "man",
     .kind = IMP_CLI_FLAG,
     .offset = offsetof(help_settings, man),
     .help = "Print the manual page, as roff: impasto help --man | man -l -"},
    {.name = "completion",
     .kind = IMP_CLI_FLAG,
     .offset = offsetof(help_settings, completion),
     .help = "Print the completion for bash: source <(impasto help --completion)"},
    {.name = "recipe",
     .kind = IMP_CLI_FLAG,
     .offset = offsetof(help_settings, recipe),
     .help = "Print the keys of a training's recipe, as a table in Markdown; 'impasto help recipe' does too."},
    {0}};

static int run_help(void *settings, char **arguments, int count);

static const imp_cli_command help_command = {.name = "help",
                                             .arguments = "[COMMAND]",
                                             .least = 0,
                                             .most = 2,
                                             .summary = "Explain a command; print the manual page or completion.",
                                             .description = "Explains a command, or lists all of them.",
                                             .options = help_options,
                                             .settings_size = sizeof(help_settings),
                                             .run = run_help};

static const imp_cli_command *const commands[] = {&imp_cli_optimize,
                                                  &imp_cli_stylize,
                                                  &imp_cli_evaluate,
                                                  &imp_cli_train,
                                                  &imp_cli_model_import,
                                                  &imp_cli_model_list,
                                                  &imp_cli_model_info,
                                                  &imp_cli_model_verify,
                                                  &imp_cli_bench_optimize,
                                                  &imp_cli_bench_stylize,
                                                  &imp_cli_bench_train,
                                                  &help_command,
                                                  NULL};

const imp_cli_command *imp_cli_command_at(int index) {
    return commands[index];
}

static const char *command_name_at(int index) {
    return commands[index] ? commands[index]->name : NULL;
}

/* The first words of commands' names, each once: "optimize", "model", ... */
static const char *first_word_at(int index) {
    static char words[sizeof commands / sizeof commands[0]][32]; /* one each, since the caller keeps several */
    int found = -1;
    for (int i = 0; commands[i]; i++) {
        size_t length = strcspn(commands[i]->name, " ");
        if (i > 0 && strncmp(commands[i]->name, commands[i - 1]->name, length + 1) == 0 &&
            commands[i]->name[length] == ' ')
            continue;
        if (++found != index) continue;
        snprintf(words[found], sizeof words[found], "%.*s", (int)length, commands[i]->name);
        return words[found];
    }
    return NULL;
}

/* The command that the first of count words name; *used: how many of them. NULL when there is none. */
static const imp_cli_command *find_command(char **words, int count, int *used) {
    for (int i = 0; commands[i]; i++) {
        const char *name = commands[i]->name, *space = strchr(name, ' ');
        size_t length = space ? (size_t)(space - name) : strlen(name);
        if (count < 1 || strlen(words[0]) != length || strncmp(words[0], name, length) != 0) continue;
        if (space && (count < 2 || strcmp(words[1], space + 1) != 0)) continue;
        *used = space ? 2 : 1;
        return commands[i];
    }
    return NULL;
}

/* Prints the help of all commands that begin with word: "model"; false when there are none. */
static bool print_group_help(const char *word) {
    bool any = false;
    for (int i = 0; commands[i]; i++) {
        size_t length = strlen(word);
        if (strncmp(commands[i]->name, word, length) != 0 || commands[i]->name[length] != ' ') continue;
        if (any) putchar('\n');
        imp_cli_print_help(stdout, commands[i]);
        any = true;
    }
    return any;
}

static bool is_group(const char *word) {
    for (int i = 0; commands[i]; i++) {
        size_t length = strlen(word);
        if (strncmp(commands[i]->name, word, length) == 0 && commands[i]->name[length] == ' ') return true;
    }
    return false;
}

static int unknown_command(char **words, int count) {
    char name[256], choices[256] = "";
    if (!is_group(words[0])) {
        const char *nearest = imp_cli_nearest(words[0], first_word_at);
        if (nearest)
            return imp_cli_fail(IMP_CLI_USAGE, "there is no command '%s'; did you mean '%s'?", words[0], nearest);
        return imp_cli_fail(IMP_CLI_USAGE, "there is no command '%s'; see 'impasto help'", words[0]);
    }
    if (count > 1 && words[1][0] != '-') {
        snprintf(name, sizeof name, "%s %s", words[0], words[1]);
        const char *nearest = imp_cli_nearest(name, command_name_at);
        if (nearest) return imp_cli_fail(IMP_CLI_USAGE, "there is no command '%s'; did you mean '%s'?", name, nearest);
    }
    for (int i = 0; commands[i]; i++) {
        size_t length = strlen(words[0]), used = strlen(choices);
        if (strncmp(commands[i]->name, words[0], length) != 0 || commands[i]->name[length] != ' ') continue;
        snprintf(choices + used, sizeof choices - used, "%s%s", used ? ", " : "", commands[i]->name + length + 1);
    }
    return imp_cli_fail(IMP_CLI_USAGE, "'%s' needs one of: %s", words[0], choices);
}

static int run_help(void *user, char **arguments, int count) {
    const help_settings *settings = user;
    int used = 0;
    if (settings->man) {
        imp_cli_print_man(stdout);
    } else if (settings->completion) {
        imp_cli_print_completion(stdout);
    } else if (settings->recipe || (count == 1 && strcmp(arguments[0], "recipe") == 0)) {
        imp_cli_print_recipe_keys(stdout);
    } else if (count == 0) {
        imp_cli_print_overview(stdout);
    } else if (find_command(arguments, count, &used) && used == count) {
        imp_cli_print_help(stdout, find_command(arguments, count, &used));
    } else if (count != 1 || !print_group_help(arguments[0])) {
        return unknown_command(arguments, count);
    }
    return 0;
}

static int run_command(const imp_cli_command *command, char **words, int count) {
    void *settings = calloc(1, command->settings_size);
    if (!settings) return imp_cli_fail(IMP_CLI_FAILURE, "out of memory");
    if (command->defaults) command->defaults(settings);
    int arguments, code = imp_cli_parse(command, words, count, settings, &arguments);
    if (code == IMP_CLI_SHOW_HELP) {
        imp_cli_print_help(stdout, command);
        code = 0;
    } else if (code == 0) {
        code = command->run(settings, words, arguments);
    }
    free(settings);
    return code;
}

/* A failure is reported as JSON too when JSON was asked for, wherever on the line that stands. */
static bool asks_for_json(char **words, int count) {
    for (int i = 0; i < count && strcmp(words[i], "--") != 0; i++)
        if (strcmp(words[i], "--json") == 0) return true;
    return false;
}

static int dispatch(char **words, int count) {
    if (count == 0) {
        imp_cli_print_overview(stderr);
        return IMP_CLI_USAGE;
    }
    if (strcmp(words[0], "--version") == 0) {
        printf("impasto %s\n", imp_version());
        return 0;
    }
    if (strcmp(words[0], "--help") == 0 || strcmp(words[0], "-h") == 0) {
        imp_cli_print_overview(stdout);
        return 0;
    }
    int used;
    const imp_cli_command *command = find_command(words, count, &used);
    if (command) return run_command(command, words + used, count - used);
    if (count == 2 && (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0) && print_group_help(words[0]))
        return 0;
    return unknown_command(words, count);
}

int main(int count, char **words) {
    /* Large enough for the longest output between two flushes, so that a failure is seen at a flush, with its errno. */
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    imp_cli_return_memory();
    /* Who reads our progress may go away; the picture is to be finished nevertheless. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is an error of the write, like a full disk */
    if (count > 0) imp_cli_report_json(asks_for_json(words + 1, count - 1));
    int code = count > 0 ? dispatch(words + 1, count - 1) : IMP_CLI_USAGE;
    return imp_cli_finish_output(code);
}
