/* Commands and their options as data: one table is parsed here and printed as help, man page and completion. */
#ifndef IMP_CLI_OPTIONS_H
#define IMP_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What an option takes, and what is at its offset. */
typedef enum imp_cli_kind {
    IMP_CLI_FLAG,    /* bool */
    IMP_CLI_TEXT,    /* const char *, not empty */
    IMP_CLI_TEXTS,   /* imp_cli_texts: the option may be given again */
    IMP_CLI_CHOICE,  /* const char *: one of the names that choice() lists */
    IMP_CLI_INTEGER, /* int */
    IMP_CLI_SEED,    /* uint64_t */
    IMP_CLI_NUMBER,  /* double */
    IMP_CLI_SECONDS, /* double, from 90, 60s, 2m or 1h */
    IMP_CLI_BYTES    /* size_t, from 800M or 1.5G */
} imp_cli_kind;

enum { IMP_CLI_MAX_TEXTS = 64 };
typedef struct imp_cli_texts {
    int count;
    const char *items[IMP_CLI_MAX_TEXTS];
} imp_cli_texts;

/* Names from 0 on; NULL past the last. */
typedef const char *(*imp_cli_names)(int index);

typedef struct imp_cli_option {
    const char *name; /* without its dashes; NULL ends a table */
    char letter;      /* 'o' for -o; 0: none */
    imp_cli_kind kind;
    size_t offset;     /* of the value in the command's settings */
    const char *value; /* what help calls the value: "PIXELS" */
    const char *help;
    double minimum, maximum;            /* of integers, numbers, seconds, bytes */
    bool above;                         /* minimum itself is too small */
    imp_cli_names choice;               /* NULL: not a choice */
    const char *(*describe)(int index); /* a few words for each name; may be NULL */
} imp_cli_option;

typedef struct imp_cli_command {
    const char *name;      /* one word or two: "optimize", "model import" */
    const char *arguments; /* how usage shows them: "PHOTO" */
    int least, most;       /* arguments */
    const char *summary;   /* a line */
    const char *description;
    const imp_cli_option *options;
    size_t settings_size;
    void (*defaults)(void *settings);                        /* of settings that zero does not mean; may be NULL */
    int (*run)(void *settings, char **arguments, int count); /* returns the exit code */
} imp_cli_command;

/* All commands, in the order in which help lists them; NULL past the last. In main.c. */
const imp_cli_command *imp_cli_command_at(int index);

enum { IMP_CLI_SHOW_HELP = -1 };
/* Parses words[0..count) into settings and moves the arguments to the front of words. Returns 0, IMP_CLI_SHOW_HELP for
   --help, or the exit code after saying what is wrong. */
int imp_cli_parse(const imp_cli_command *command, char **words, int count, void *settings, int *arguments);

/* A number without trailing text, space, "nan" or "inf"; false for anything else and for what overflows. */
bool imp_cli_number(const char *text, double *number);

/* Splits text[0..length), "name:2". What is_name knows whole comes first; a weight is what follows the last colon when
   it reads as a number, or when what stands before is a name: then a wrong weight is called so. name: the whole or what
   stands before. weight: above 0, 1 where there is none. option: for messages. Returns 0 or the exit code. */
enum { IMP_CLI_WEIGHTED = 4096 };
int imp_cli_split_weight(const char *option, const char *text, size_t length,
                         bool (*is_name)(const void *user, const char *name), const void *user,
                         char name[IMP_CLI_WEIGHTED], double *weight);

/* imp_nearest_name of plain lists. */
const char *imp_cli_nearest(const char *word, imp_cli_names at);

/* What the option takes: "a whole number from 16 to 65535". */
enum { IMP_CLI_RANGE_TEXT = 160 };
const char *imp_cli_range_text(char buffer[IMP_CLI_RANGE_TEXT], const imp_cli_option *option);

/* From the tables, in help.c. */
void imp_cli_print_overview(FILE *stream);
void imp_cli_print_help(FILE *stream, const imp_cli_command *command);
void imp_cli_print_man(FILE *stream);
void imp_cli_print_completion(FILE *stream);
void imp_cli_print_recipe_keys(FILE *stream);

#endif
