/* The recipe of a training: one JSON text, read strictly into a plain struct by one table of keys (recipe_keys.c). */
#ifndef IMP_STYLE_RECIPE_H
#define IMP_STYLE_RECIPE_H

#include "base/context.h"

#define IMP_RECIPE_MOST_BYTES ((size_t)256 << 10) /* of the text; checkpoints carry it in a header of at most 4 MB */
#define IMP_RECIPE_MOST_STEPS 10000000            /* of a stage, and of all */
#define IMP_RECIPE_CONTENT_LAYERS 8               /* at most */
#define IMP_RECIPE_CONTENT_WEIGHT 1               /* where none is given */

typedef struct imp_recipe_number {
    const char *name; /* of a layer or an option */
    double value;
} imp_recipe_number;

typedef struct imp_recipe_numbers {
    int count;
    imp_recipe_number *items;
} imp_recipe_numbers;

typedef struct imp_recipe_texts {
    int count;
    const char **items;
} imp_recipe_texts;

typedef enum imp_recipe_task { IMP_RECIPE_STYLE, IMP_RECIPE_FEATURES } imp_recipe_task;
typedef enum imp_recipe_precision { IMP_RECIPE_F32, IMP_RECIPE_BF16, IMP_RECIPE_AUTO } imp_recipe_precision;

typedef struct imp_recipe_network {
    const char *architecture;
    const char *start;          /* a model whose weights it begins with; "": random ones */
    imp_recipe_numbers options; /* of the architecture, which knows them */
    int precision;              /* imp_recipe_precision */
    const char *origin, *licence;
} imp_recipe_network;

typedef struct imp_recipe_teacher {
    const char *model;
    int precision;
} imp_recipe_teacher;

typedef struct imp_recipe_losses {
    imp_recipe_numbers content, style, features; /* layers and their weights */
    double content_weight, style_weight, variation_weight;
    int style_loss; /* imp_style_loss_at */
    int per_style;  /* each style's loss is divided by its own size */
} imp_recipe_losses;

typedef struct imp_recipe_style {
    const char *name, *picture;
    int side;
} imp_recipe_style;

typedef struct imp_recipe_pictures {
    const char *pictures; /* a folder or a list; "": noise */
    double share;
} imp_recipe_pictures;

typedef struct imp_recipe_data {
    int count;
    imp_recipe_pictures *sources;
    int crop, flip;
    double least_scale, most_scale;
} imp_recipe_data;

typedef struct imp_recipe_validation {
    const char *pictures; /* "": none */
    int side, count, every;
} imp_recipe_validation;

typedef struct imp_recipe_optimizer {
    double beta1, beta2, epsilon, decay, clip, average;
    imp_recipe_numbers rates; /* patterns of parameters, and how many times the stage's rate they take */
} imp_recipe_optimizer;

typedef struct imp_recipe_stage {
    const char *name;
    int steps, warm_up, step_size;
    double learning_rate, gamma, least;
    int schedule;           /* imp_schedule_kind */
    imp_recipe_texts train; /* patterns of the parameters that train; none: all */
} imp_recipe_stage;

struct imp_recipe {
    imp_context *context;
    char *text;   /* as it was read */
    void *blocks; /* what the fields below point to: a list, see recipe.c */

    int task; /* imp_recipe_task */
    imp_recipe_network network;
    imp_recipe_teacher teacher;
    imp_recipe_losses losses;
    int style_count;
    imp_recipe_style *styles;
    imp_recipe_data data;
    imp_recipe_validation validation;
    int batch, checkpoint_every;
    uint64_t seed;
    imp_recipe_optimizer optimizer;
    int stage_count;
    imp_recipe_stage *stages;
    int64_t steps; /* of all stages */
};

/* name stands in messages ("thin.json"). The recipe holds a copy of all that it needs; context must outlive it. */
int imp_recipe_read(imp_context *context, const char *text, size_t length, const char *name, imp_recipe **recipe);
void imp_recipe_release(imp_recipe *recipe);

/* ---- The table of keys ------------------------------------------------------------------------------------------- */

typedef enum imp_recipe_kind {
    IMP_RECIPE_TEXT,    /* const char * */
    IMP_RECIPE_NUMBER,  /* double */
    IMP_RECIPE_WHOLE,   /* int */
    IMP_RECIPE_SEED,    /* uint64_t */
    IMP_RECIPE_FLAG,    /* int, 0 or 1 */
    IMP_RECIPE_CHOICE,  /* int: index among the choices */
    IMP_RECIPE_TEXTS,   /* imp_recipe_texts */
    IMP_RECIPE_NUMBERS, /* imp_recipe_numbers: {"conv1_1": 1, ...} */
    IMP_RECIPE_GROUP,   /* a struct with keys of its own */
    IMP_RECIPE_GROUPS,  /* an int count and, at offset + list, a pointer to that many of them */
    IMP_RECIPE_NOTE     /* anything: for people */
} imp_recipe_kind;

typedef struct imp_recipe_key {
    const char *name; /* NULL ends a group */
    imp_recipe_kind kind;
    size_t offset;              /* in the group's struct */
    size_t list;                /* of groups: where the pointer is, in the same struct */
    double minimum, maximum;    /* of numbers, and of the values of a list of numbers */
    int above;                  /* minimum itself is too small */
    int required;               /* it must be there, and not be empty */
    double number;              /* what it is when it is not there, of numbers, flags and choices */
    const char *text;           /* the same of texts */
    const char *(*choice)(int); /* names; NULL past the last */
    const struct imp_recipe_group *group;
    int most; /* items of a list */
    const char *help;
} imp_recipe_key;

typedef struct imp_recipe_group {
    const char *what; /* in messages: "a stage" */
    size_t bytes;     /* of the struct */
    const imp_recipe_key *keys;
} imp_recipe_group;

extern const imp_recipe_group imp_recipe_root;

/* "a number above 0 and up to 1" */
#define IMP_RECIPE_RANGE 160
const char *imp_recipe_range(const imp_recipe_key *key, char text[IMP_RECIPE_RANGE]);

#endif
