/* What a mistyped name was meant to be. */
#include <string.h>

#include "impasto.h"

/* Levenshtein's distance, up to a limit above which words are not worth comparing. */
static int edit_distance(const char *a, const char *b) {
    enum { LONGEST = 40 };
    size_t length_a = strlen(a), length_b = strlen(b);
    if (length_a > LONGEST || length_b > LONGEST) return LONGEST;
    int row[LONGEST + 1];
    for (size_t j = 0; j <= length_b; j++) row[j] = (int)j;
    for (size_t i = 1; i <= length_a; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= length_b; j++) {
            int replaced = diagonal + (a[i - 1] != b[j - 1]);
            int changed = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replaced < changed ? replaced : changed;
        }
    }
    return row[length_b];
}

/* The distance when word could have meant name (a third of it mistyped, or its beginning), else -1. */
static int nearness(const char *word, const char *name) {
    size_t length = strlen(word);
    if (length >= 3 && strncmp(word, name, length) == 0) return 0;
    int distance = edit_distance(word, name);
    return length >= 3 && distance <= ((int)length + 1) / 3 ? distance : -1;
}

const char *imp_nearest_name(const char *word, const char *(*at)(const void *user, int index), const void *user) {
    const char *nearest = NULL, *name;
    int best = 0;
    for (int i = 0; (name = at(user, i)); i++) {
        int distance = nearness(word, name);
        if (distance < 0 || (nearest && distance >= best)) continue;
        nearest = name;
        best = distance;
    }
    return nearest;
}
