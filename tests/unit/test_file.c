/* Reading and writing files. */
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "failing_allocator.h"
#include "unit.h"

#define NOBODY 65534 /* a user without rights, as Debian numbers it */

static char folder[] = "/tmp/impasto-base-XXXXXX";

static const char *in_folder(const char *name) {
    static char path[sizeof folder + NAME_MAX + 1];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text, size_t length) {
    FILE *file = fopen(in_folder(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

static void assert_content(const char *name, const char *text) {
    char content[100] = "";
    FILE *file = fopen(in_folder(name), "rb");
    assert_non_null(file);
    content[fread(content, 1, sizeof content - 1, file)] = 0;
    fclose(file);
    assert_string_equal(content, text);
}

static int files_in_folder(void) {
    DIR *open = opendir(folder);
    struct dirent *entry;
    int count = 0;
    assert_non_null(open);
    while ((entry = readdir(open))) count += entry->d_name[0] != '.' || strlen(entry->d_name) > 2;
    closedir(open);
    return count;
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    DIR *open = opendir(folder);
    struct dirent *entry;
    (void)state;
    while (open && (entry = readdir(open))) remove(in_folder(entry->d_name));
    if (open) closedir(open);
    return rmdir(folder);
}

static void assert_error_ends(const imp_context *context, const char *end) {
    const char *error = imp_error(context);
    if (strlen(error) < strlen(end) || strcmp(error + strlen(error) - strlen(end), end) != 0)
        fail_msg("\"%s\" does not end with \"%s\"", error, end);
}

static void files_are_read_whole_or_refused(void **state) {
    imp_context *context = make_context(1, 0);
    size_t held = atomic_load(&context->memory_now), length;
    uint8_t *bytes;
    (void)state;
    put("five", "12345", 5);
    put("empty", "", 0);
    assert_int_equal(imp_file_read(context, in_folder("five"), 5, &bytes, &length), IMP_OK);
    assert_int_equal(length, 5);
    assert_memory_equal(bytes, "12345", 5);
    imp_release(context, bytes);

    assert_int_equal(imp_file_read(context, in_folder("five"), 4, &bytes, &length), IMP_ERR_FORMAT);
    assert_error_ends(context, "/five: 5 bytes, more than the 4 that are read");
    assert_null(bytes);
    assert_int_equal(imp_file_read(context, in_folder("empty"), 9, &bytes, &length), IMP_ERR_FORMAT);
    assert_error_ends(context, "/empty: the file is empty");
    assert_int_equal(imp_file_read(context, in_folder("none"), 9, &bytes, &length), IMP_ERR_IO);
    assert_error_ends(context, "/none: No such file or directory");
    assert_int_equal(imp_file_read(context, folder, 9, &bytes, &length), IMP_ERR_IO);
    assert_error_ends(context, ": is a folder");
    assert_int_equal(imp_file_read(context, "", 9, &bytes, &length), IMP_ERR_IO);
    assert_int_equal(atomic_load(&context->memory_now), held);
    remove(in_folder("five"));
    remove(in_folder("empty"));
    imp_context_free(context);
}

static void streams_are_read_up_to_the_limit(void **state) {
    imp_context *context = make_context(1, 0);
    size_t held = atomic_load(&context->memory_now), length;
    uint8_t *bytes;
    (void)state;
    assert_int_equal(imp_file_read(context, "/dev/zero", 100000, &bytes, &length), IMP_ERR_FORMAT);
    assert_non_null(strstr(imp_error(context), "more than the 100000 that are read"));
    assert_int_equal(imp_file_read(context, "/dev/null", 100000, &bytes, &length), IMP_ERR_FORMAT);
    assert_string_equal(imp_error(context), "/dev/null: the file is empty");
    assert_int_equal(imp_file_read(context, "/proc/self/status", 100000, &bytes, &length), IMP_OK);
    assert_memory_equal(bytes, "Name:", 5);
    imp_release(context, bytes);
    assert_int_equal(atomic_load(&context->memory_now), held);
    imp_context_free(context);
}

static int write_file(imp_context *context, const char *path, const char *text) {
    imp_file_writer writer;
    int status = imp_file_writer_open(context, path, &writer);
    if (status != IMP_OK) return status;
    fputs(text, writer.stream);
    return imp_file_writer_commit(context, &writer);
}

static void files_are_written_whole(void **state) {
    imp_context *context = make_context(1, 0);
    imp_file_writer writer;
    struct stat about;
    char link[100];
    mode_t mask = umask(022);
    (void)state;
    assert_int_equal(write_file(context, in_folder("new"), "first"), IMP_OK);
    assert_content("new", "first");
    assert_int_equal(stat(in_folder("new"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0644);
    umask(mask);

    assert_int_equal(chmod(in_folder("new"), 0600), 0); /* a private file stays private when it is replaced */
    assert_int_equal(imp_file_writer_open(context, in_folder("new"), &writer), IMP_OK);
    fputs("second", writer.stream);
    fflush(writer.stream);
    assert_content("new", "first"); /* until the commit */
    assert_int_equal(imp_file_writer_commit(context, &writer), IMP_OK);
    assert_content("new", "second");
    assert_int_equal(stat(in_folder("new"), &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    imp_file_writer_abandon(context, &writer); /* fine on one that has ended */
    assert_int_equal(imp_file_writer_commit(context, &writer), IMP_ERR_STATE);

    assert_int_equal(imp_file_writer_open(context, in_folder("new"), &writer), IMP_OK);
    fputs("third", writer.stream);
    imp_file_writer_abandon(context, &writer);
    assert_content("new", "second");

    snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(symlink("new", link), 0);
    assert_int_equal(write_file(context, link, "through a link"), IMP_OK);
    assert_content("new", "through a link");
    assert_int_equal(lstat(link, &about), 0);
    assert_true(S_ISLNK(about.st_mode));
    assert_int_equal(files_in_folder(), 2);
    remove(link);
    remove(in_folder("new"));
    imp_context_free(context);
}

typedef struct contents {
    imp_context *context;
    const char *text;
    int status;
} contents;

static int write_contents(void *user, FILE *stream) {
    const contents *what = user;
    fputs(what->text, stream);
    return what->status ? imp_fail(what->context, what->status, "its own failure") : IMP_OK;
}

/* By the public interface. */
static void contents_come_from_a_callback(void **state) {
    contents good = {.context = make_context(1, 0), .text = "good"}, bad = {good.context, "bad", IMP_ERR_NUMERIC};
    (void)state;
    assert_int_equal(imp_file_write(good.context, in_folder("new"), write_contents, &good), IMP_OK);
    assert_int_equal(imp_file_write(good.context, in_folder("new"), write_contents, &bad), IMP_ERR_NUMERIC);
    assert_string_equal(imp_error(good.context), "its own failure");
    assert_content("new", "good");
    assert_int_equal(files_in_folder(), 1);
    assert_int_equal(imp_file_write(good.context, folder, write_contents, &good), IMP_ERR_IO);
    assert_int_equal(imp_file_write(good.context, NULL, write_contents, &good), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_file_write(good.context, in_folder("new"), NULL, &good), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_file_write(NULL, in_folder("new"), write_contents, &good), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_file_can_write(good.context, NULL), IMP_ERR_ARGUMENT);
    assert_int_equal(imp_file_can_write(NULL, in_folder("new")), IMP_ERR_ARGUMENT);
    remove(in_folder("new"));
    imp_context_free(good.context);
}

static void unwritable(imp_context *context, const char *path, const char *end) {
    imp_file_writer writer;
    assert_int_equal(imp_file_can_write(context, path), IMP_ERR_IO);
    assert_error_ends(context, end);
    assert_int_equal(imp_file_writer_open(context, path, &writer), IMP_ERR_IO);
    assert_error_ends(context, end);
    assert_null(writer.stream);
}

static void what_cannot_be_written_is_told_before(void **state) {
    imp_context *context = make_context(1, 0);
    char text[200], link[100];
    size_t held = atomic_load(&context->memory_now);
    (void)state;
    put("file", "kept", 4);
    snprintf(text, sizeof text, "no/out.png: there is no folder %s/no/", folder);
    unwritable(context, in_folder("no/out.png"), text);
    snprintf(text, sizeof text, "file/out.png: there is no folder %s/file/", folder);
    unwritable(context, in_folder("file/out.png"), text);
    unwritable(context, folder, ": is a folder, not a file name");
    unwritable(context, in_folder("new/"), ": is a folder, not a file name");
    unwritable(context, "/dev/null", "/dev/null: is a device or pipe, not a file");
    unwritable(context, "", "the file name to write to is empty");
    snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(symlink("nowhere", link), 0);
    unwritable(context, link, "link: a link to a file that is not there");
    remove(link);
    unwritable(context, "/proc/out.png", "cannot write in the folder /proc/: No such file or directory");

    assert_int_equal(imp_file_can_write(context, in_folder("file")), IMP_OK);
    assert_int_equal(imp_file_can_write(context, in_folder("other")), IMP_OK);
    assert_int_equal(files_in_folder(), 1);
    assert_content("file", "kept");
    assert_int_equal(atomic_load(&context->memory_now), held);
    remove(in_folder("file"));
    imp_context_free(context);
}

static void a_folder_without_rights(void **state) {
    imp_context *context = make_context(1, 0);
    uid_t user = geteuid();
    char text[200];
    (void)state;
    put("secret", "x", 1);
    assert_int_equal(chmod(in_folder("secret"), 0), 0);
    assert_int_equal(chmod(folder, 0555), 0);
    if (user == 0) assert_int_equal(seteuid(NOBODY), 0); /* root may write everywhere */
    snprintf(text, sizeof text, "out.png: cannot write in the folder %s/: Permission denied", folder);
    unwritable(context, in_folder("out.png"), text);
    uint8_t *bytes;
    size_t length;
    assert_int_equal(imp_file_read(context, in_folder("secret"), 9, &bytes, &length), IMP_ERR_IO);
    assert_error_ends(context, "secret: Permission denied");
    if (user == 0) assert_int_equal(seteuid(user), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(files_in_folder(), 1);
    remove(in_folder("secret"));
    imp_context_free(context);
}

/* A limit on the size of files stands in for a disk that is full. */
static void a_full_disk_leaves_the_old_file(void **state) {
    imp_context *context = make_context(1, 0);
    imp_file_writer writer;
    struct rlimit before, small;
    (void)state;
    put("old", "kept", 4);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(imp_file_writer_open(context, in_folder("old"), &writer), IMP_OK);
    small = before;
    small.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 10000; i++) fputs("more than there is room for", writer.stream);
    assert_int_equal(imp_file_writer_commit(context, &writer), IMP_ERR_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_non_null(strstr(imp_error(context), "/old: "));
    assert_content("old", "kept");
    assert_int_equal(files_in_folder(), 1);
    remove(in_folder("old"));
    imp_context_free(context);
}

static int base_scenario(imp_context *context, void *user) {
    char *copy = imp_duplicate(context, "one"), *grown = NULL;
    uint8_t *bytes;
    size_t length;
    imp_file_writer writer;
    int status = copy ? IMP_OK : IMP_ERR_MEMORY;
    if (status == IMP_OK) {
        grown = imp_reallocate(context, copy, 1000);
        if (grown)
            copy = grown;
        else
            status = IMP_ERR_MEMORY;
    }
    if (status == IMP_OK) status = imp_file_writer_open(context, user, &writer);
    if (status == IMP_OK) {
        fputs("text", writer.stream);
        status = imp_file_writer_commit(context, &writer);
    }
    if (status == IMP_OK) status = imp_file_read(context, user, 100, &bytes, &length);
    if (status == IMP_OK) imp_release(context, bytes);
    imp_release(context, copy);
    return status;
}

static void every_allocation_of_the_base(void **state) {
    (void)state;
    assert_int_equal(imp_test_every_allocation(base_scenario, (void *)in_folder("scenario")), 0);
    remove(in_folder("scenario"));
    assert_int_equal(files_in_folder(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_whole_or_refused), cmocka_unit_test(streams_are_read_up_to_the_limit),
        cmocka_unit_test(files_are_written_whole),         cmocka_unit_test(what_cannot_be_written_is_told_before),
        cmocka_unit_test(a_folder_without_rights),         cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(every_allocation_of_the_base),    cmocka_unit_test(contents_come_from_a_callback),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
