/* Runs a fuzzer over the files of a folder, so that what it found once is tested for ever, without libFuzzer. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "read_tensors.h"

#define LONGEST (1 << 20) /* bytes of a file of the corpus */

/* In memory of exactly the file's length, so that a sanitizer sees a step beyond it. */
static int replay(const char *folder, const char *name) {
    static uint8_t buffer[LONGEST];
    char path[4096];
    size_t length;
    uint8_t *bytes;
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "rb");
    if (!file) return 0;
    length = fread(buffer, 1, sizeof buffer, file);
    fclose(file);
    bytes = malloc(length + (length == 0));
    if (!bytes) return 0;
    memcpy(bytes, buffer, length);
    LLVMFuzzerTestOneInput(bytes, length);
    free(bytes);
    return 1;
}

int main(int argc, char **argv) {
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    int count = 0;

    if (!folder) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        if (entry->d_name[0] != '.') {
            if (!replay(argv[1], entry->d_name)) {
                fprintf(stderr, "%s/%s: cannot be read\n", argv[1], entry->d_name);
                return 1;
            }
            count++;
        }
    closedir(folder);
    printf("%d files\n", count);
    return count > 0 ? 0 : 1;
}
