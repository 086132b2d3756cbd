/* Prints what the command tables say: overview, help of a command, man page (roff) and bash completion. */
#include <string.h>

#include "cli/options.h"
#include "impasto.h"

enum { WIDTH = 80, OPTION_COLUMN = 2, HELP_COLUMN = 28 };

static const imp_cli_option help_option = {
    .name = "help", .letter = 'h', .kind = IMP_CLI_FLAG, .help = "Show this help."};

/* The command's option at index, --help after its own; NULL past the last. */
static const imp_cli_option *option_at(const imp_cli_command *command, int index) {
    int count = 0;
    while (command->options[count].name) count++;
    return index < count ? &command->options[index] : index == count ? &help_option : NULL;
}

/* Prints text, its lines broken at spaces, from column on; every line after the first is indented by indent. */
static void print_wrapped(FILE *stream, const char *text, int indent, int column) {
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column > indent && column + 1 + length > WIDTH) {
            fprintf(stream, "\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putc(' ', stream);
            column++;
        }
        fprintf(stream, "%.*s", length, text);
        column += length;
        text += length + strspn(text + length, " ");
    }
    putc('\n', stream);
}

/* "Help text. One of: a (which is this), b (which is that)." in buffer. */
enum { FULL_HELP = 2048 };
static const char *full_help(char buffer[FULL_HELP], const imp_cli_option *option) {
    snprintf(buffer, FULL_HELP, "%s", option->help);
    for (int i = 0; option->choice && option->choice(i); i++) {
        size_t used = strlen(buffer);
        snprintf(buffer + used, FULL_HELP - used, "%s%s", i ? ", " : " One of: ", option->choice(i));
        used = strlen(buffer);
        if (option->describe) snprintf(buffer + used, FULL_HELP - used, " (%s)", option->describe(i));
    }
    if (option->choice) strncat(buffer, ".", FULL_HELP - strlen(buffer) - 1);
    return buffer;
}

static void print_option(FILE *stream, const imp_cli_option *option) {
    char head[64], help[FULL_HELP];
    char letter[8] = "    ";
    if (option->letter) snprintf(letter, sizeof letter, "-%c, ", option->letter);
    snprintf(head, sizeof head, "%*s%s--%s%s%s", OPTION_COLUMN, "", letter, option->name, option->value ? " " : "",
             option->value ? option->value : "");
    int column = fprintf(stream, "%s", head);
    if (column >= HELP_COLUMN - 1) column = (putc('\n', stream), 0);
    fprintf(stream, "%*s", HELP_COLUMN - column, "");
    print_wrapped(stream, full_help(help, option), HELP_COLUMN, HELP_COLUMN);
}

void imp_cli_print_help(FILE *stream, const imp_cli_command *command) {
    fprintf(stream, "impasto %s%s%s [OPTIONS]\n\n", command->name, *command->arguments ? " " : "", command->arguments);
    print_wrapped(stream, command->description, 0, 0);
    fputs("\nOptions:\n", stream);
    for (int i = 0; option_at(command, i); i++) print_option(stream, option_at(command, i));
}

void imp_cli_print_overview(FILE *stream) {
    fputs("impasto COMMAND: paints photographs in the manner of paintings.\n\nCommands:\n", stream);
    for (int i = 0; imp_cli_command_at(i); i++) {
        int column = fprintf(stream, "  %s", imp_cli_command_at(i)->name);
        fprintf(stream, "%*s", HELP_COLUMN - column, "");
        print_wrapped(stream, imp_cli_command_at(i)->summary, HELP_COLUMN, HELP_COLUMN);
    }
    fputs("\n'impasto help COMMAND' explains one; 'impasto --version' tells the version. For a start:\n"
          "  impasto optimize photo.jpg --style painting.jpg -o out.jpg\n",
          stream);
}

/* Text for roff: its escape character and hyphens escaped; a line may not begin with a control character. */
static void print_roff(FILE *stream, const char *text) {
    if (*text == '.' || *text == '\'') fputs("\\&", stream);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", stream);
        else if (*text == '-')
            fputs("\\-", stream);
        else
            putc(*text, stream);
    }
}

static void print_man_option(FILE *stream, const imp_cli_option *option) {
    char help[FULL_HELP];
    fputs(".TP\n", stream);
    if (option->letter) fprintf(stream, "\\fB\\-%c\\fR, ", option->letter);
    fputs("\\fB\\-\\-", stream);
    print_roff(stream, option->name);
    fputs("\\fR", stream);
    if (option->value) {
        fputs(" \\fI", stream);
        print_roff(stream, option->value);
        fputs("\\fR", stream);
    }
    putc('\n', stream);
    print_roff(stream, full_help(help, option));
    putc('\n', stream);
}

static void print_man_command(FILE *stream, const imp_cli_command *command) {
    fputs(".SS impasto ", stream);
    print_roff(stream, command->name);
    putc(' ', stream);
    print_roff(stream, command->arguments);
    putc('\n', stream);
    print_roff(stream, command->description);
    putc('\n', stream);
    for (int i = 0; option_at(command, i); i++) print_man_option(stream, option_at(command, i));
}

void imp_cli_print_man(FILE *stream) {
    fprintf(stream,
            ".TH IMPASTO 1 \"\" \"Impasto %s\" \"User Commands\"\n"
            ".SH NAME\nimpasto \\- paints photographs in the manner of paintings\n"
            ".SH SYNOPSIS\n.B impasto\n.I COMMAND\n[\\fIARGUMENTS\\fR] [\\fIOPTIONS\\fR]\n.SH COMMANDS\n",
            imp_version());
    for (int i = 0; imp_cli_command_at(i); i++) print_man_command(stream, imp_cli_command_at(i));
    fputs(".SH FILES\n"
          "Models are looked for by name in \\fB$IMPASTO_MODELS\\fR, or where that is not set in\n"
          "\\fB$XDG_DATA_HOME/impasto/models\\fR (\\fB~/.local/share/impasto/models\\fR), and then in those that came\n"
          "with the program.\n"
          ".SH \"EXIT STATUS\"\n"
          "0 when all went well, 1 for a failure, 2 for a command line that is not understood, 129, 130 or 143 when a\n"
          "picture was written after an interruption by SIGHUP, SIGINT or SIGTERM.\n"
          ".SH EXAMPLES\n.nf\n"
          "impasto optimize photo.jpg \\-\\-style painting.jpg \\-o out.jpg\n"
          "impasto optimize photo.jpg \\-\\-style a.jpg:2 \\-\\-style b.jpg:1 \\-\\-size 1024 \\-\\-time 2m \\-o "
          "out.png\n"
          ".fi\n",
          stream);
}

static void print_completion_options(FILE *stream, const imp_cli_command *command) {
    fprintf(stream, "    \"%s\") options=\"", command->name);
    for (int i = 0; option_at(command, i); i++) fprintf(stream, "%s--%s", i ? " " : "", option_at(command, i)->name);
    fputs("\" ;;\n", stream);
}

/* Choices are told by command and option, since two commands may have options of one name. */
static void print_completion_choices(FILE *stream, const imp_cli_command *command) {
    for (const imp_cli_option *option = command->options; option->name; option++) {
        if (!option->choice) continue;
        fprintf(stream, "    \"%s --%s\") options=\"", command->name, option->name);
        for (int i = 0; option->choice(i); i++) fprintf(stream, "%s%s", i ? " " : "", option->choice(i));
        fputs("\" ;;\n", stream);
    }
}

void imp_cli_print_completion(FILE *stream) {
    fputs("# bash completion of impasto, written by 'impasto help --completion'\n_impasto() {\n"
          "  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} options=\n"
          "  local command=${COMP_WORDS[1]}\n  COMPREPLY=()\n  case \"$command\" in\n",
          stream);
    for (int i = 0; imp_cli_command_at(i); i++) {
        const char *name = imp_cli_command_at(i)->name, *space = strchr(name, ' ');
        if (space) fprintf(stream, "    %.*s) command+=\" ${COMP_WORDS[2]}\" ;;\n", (int)(space - name), name);
    }
    fputs("  esac\n  case \"$command $before\" in\n", stream);
    for (int i = 0; imp_cli_command_at(i); i++) print_completion_choices(stream, imp_cli_command_at(i));
    fputs("  esac\n  if [ -z \"$options\" ]; then case \"$command\" in\n", stream);
    for (int i = 0; imp_cli_command_at(i); i++) print_completion_options(stream, imp_cli_command_at(i));
    fputs("  esac; [[ $word == -* ]] || options=; fi\n"
          "  if [ \"$COMP_CWORD\" = 1 ]; then options=\"--version",
          stream);
    for (int i = 0; imp_cli_command_at(i); i++) {
        const char *name = imp_cli_command_at(i)->name;
        fprintf(stream, " %.*s", (int)strcspn(name, " "), name);
    }
    fputs("\"; fi\n", stream);
    for (int i = 0; imp_cli_command_at(i); i++) {
        const char *name = imp_cli_command_at(i)->name, *space = strchr(name, ' ');
        if (space)
            fprintf(stream, "  if [ \"$COMP_CWORD ${COMP_WORDS[1]}\" = \"2 %.*s\" ]; then options+=\" %s\"; fi\n",
                    (int)(space - name), name, space + 1);
    }
    fputs("  if [ -n \"$options\" ]; then COMPREPLY=($(compgen -W \"$options\" -- \"$word\")); fi\n}\n"
          "complete -o default -o bashdefault -F _impasto impasto\n",
          stream);
}

void imp_cli_print_recipe_keys(FILE *stream) {
    imp_recipe_key_info key = {.size = sizeof key};
    fputs("| key | takes | if not given | what it means |\n|---|---|---|---|\n", stream);
    for (int i = 0; imp_recipe_get_key(i, &key) == IMP_OK; i++)
        fprintf(stream, "| `%s` | %s | %s | %s |\n", key.path, key.takes, key.initial, key.help);
}
