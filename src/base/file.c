/* Files: read whole with a bound, written beside their path and then renamed. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"

#define FIRST_PIPE_BYTES ((size_t)1 << 16) /* what a pipe is first given; doubled as more comes */
#define NAME_ATTEMPTS 100                  /* names tried for a temporary file before giving up */

/* Reads until the end or until length bytes are there; -1 on an error. */
static int read_bytes(int file, uint8_t *bytes, size_t length, size_t *got) {
    *got = 0;
    while (*got < length) {
        ssize_t count = read(file, bytes + *got, length - *got);
        if (count == 0) return 0;
        if (count < 0 && errno != EINTR) return -1;
        if (count > 0) *got += (size_t)count;
    }
    return 0;
}

static int fail_too_long(imp_context *context, const char *path, const char *more, uint64_t bytes, uint64_t limit) {
    return imp_fail(context, IMP_ERR_FORMAT, "%s: %s%llu bytes, more than the %llu that are read", path, more,
                    (unsigned long long)bytes, (unsigned long long)limit);
}

/* A pipe or device, whose length is known only at its end. */
static int read_stream(imp_context *context, const char *path, int file, uint64_t limit, uint8_t **bytes,
                       size_t *length) {
    size_t room = 0, used = 0;
    for (;;) {
        uint8_t *grown;
        size_t got;
        if (used > limit) return fail_too_long(context, path, "at least ", used, limit);
        room = room == 0 ? FIRST_PIPE_BYTES : room * 2;
        grown = imp_reallocate(context, *bytes, room);
        if (!grown) return imp_fail_prefix(context, IMP_ERR_MEMORY, "%s: ", path);
        *bytes = grown;
        if (read_bytes(file, grown + used, room - used, &got) != 0)
            return imp_fail(context, IMP_ERR_IO, "%s: %s", path, strerror(errno));
        used += got;
        if (used < room) break;
    }
    if (used > limit) return fail_too_long(context, path, "", used, limit);
    *length = used;
    return IMP_OK;
}

static int read_regular(imp_context *context, const char *path, int file, uint64_t size, uint64_t limit,
                        uint8_t **bytes, size_t *length) {
    if (size > limit || size > SIZE_MAX) return fail_too_long(context, path, "", size, limit);
    *bytes = imp_allocate(context, (size_t)size);
    if (!*bytes) return imp_fail_prefix(context, IMP_ERR_MEMORY, "%s: ", path);
    if (read_bytes(file, *bytes, (size_t)size, length) != 0)
        return imp_fail(context, IMP_ERR_IO, "%s: %s", path, strerror(errno));
    return IMP_OK;
}

static int read_open_file(imp_context *context, const char *path, int file, uint64_t limit, uint8_t **bytes,
                          size_t *length) {
    struct stat about;
    int status;
    if (fstat(file, &about) != 0) return imp_fail(context, IMP_ERR_IO, "%s: %s", path, strerror(errno));
    if (S_ISDIR(about.st_mode)) return imp_fail(context, IMP_ERR_IO, "%s: is a folder", path);
    /* Files of /proc say that they have 0 bytes. */
    if (S_ISREG(about.st_mode) && about.st_size > 0)
        status = read_regular(context, path, file, (uint64_t)about.st_size, limit, bytes, length);
    else
        status = read_stream(context, path, file, limit, bytes, length);
    if (status == IMP_OK && *length == 0) status = imp_fail(context, IMP_ERR_FORMAT, "%s: the file is empty", path);
    return status;
}

int imp_file_read(imp_context *context, const char *path, uint64_t limit, uint8_t **bytes, size_t *length) {
    int file, status;
    *bytes = NULL;
    *length = 0;
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return imp_fail(context, IMP_ERR_IO, "%s: %s", path, strerror(errno));
    status = read_open_file(context, path, file, limit, bytes, length);
    close(file);
    if (status != IMP_OK) {
        imp_release(context, *bytes);
        *bytes = NULL;
        *length = 0;
    }
    return status;
}

/* Where writing to path ends up: a link's target, so that the link stays one. Refuses what a rename would destroy. */
static int resolve_target(imp_context *context, const char *path, char **target) {
    char resolved[PATH_MAX];
    struct stat about;
    if (path[0] == 0) return imp_fail(context, IMP_ERR_IO, "the file name to write to is empty");
    if (lstat(path, &about) == 0 && S_ISLNK(about.st_mode)) {
        if (!realpath(path, resolved))
            return imp_fail(context, IMP_ERR_IO, "%s: a link to a file that is not there", path);
        path = resolved;
        if (stat(path, &about) != 0) return imp_fail(context, IMP_ERR_IO, "%s: %s", path, strerror(errno));
    } else if (lstat(path, &about) != 0) {
        about.st_mode = S_IFREG; /* not there yet */
        if (path[strlen(path) - 1] == '/') about.st_mode = S_IFDIR;
    }
    if (S_ISDIR(about.st_mode)) return imp_fail(context, IMP_ERR_IO, "%s: is a folder, not a file name", path);
    if (!S_ISREG(about.st_mode)) return imp_fail(context, IMP_ERR_IO, "%s: is a device or pipe, not a file", path);
    *target = imp_duplicate(context, path);
    return *target ? IMP_OK : IMP_ERR_MEMORY;
}

/* Opens a new file in the folder of target; 0666 lets the user's umask decide, which mkstemp would not. */
static int create_temporary(const char *target, char *temporary, size_t size) {
    const char *slash = strrchr(target, '/');
    int folder = slash ? (int)(slash - target) + 1 : 0;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
        int file;
        snprintf(temporary, size, "%.*s.impasto-%ld-%09ld-%d", folder, target, (long)getpid(), now.tv_nsec, attempt);
        file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file >= 0 || errno != EEXIST) return file;
    }
    return -1;
}

static int fail_to_create(imp_context *context, const char *target, int error) {
    const char *slash = strrchr(target, '/');
    char folder[PATH_MAX] = ".";
    struct stat about;
    /* With its slash, so that it is right for the root too, and a file is told from a folder. */
    if (slash) snprintf(folder, sizeof folder, "%.*s", (int)(slash - target) + 1, target);
    if (stat(folder, &about) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return imp_fail(context, IMP_ERR_IO, "%s: there is no folder %s", target, folder);
    return imp_fail(context, IMP_ERR_IO, "%s: cannot write in the folder %s: %s", target, folder, strerror(error));
}

static int open_temporary(imp_context *context, imp_file_writer *writer) {
    size_t size = strlen(writer->path) + 64; /* the name made above is at most that much longer */
    struct stat about;
    int file;
    writer->temporary = imp_allocate(context, size);
    if (!writer->temporary) return IMP_ERR_MEMORY;
    file = create_temporary(writer->path, writer->temporary, size);
    if (file < 0) {
        int error = errno;
        imp_release(context, writer->temporary);
        writer->temporary = NULL;
        return fail_to_create(context, writer->path, error);
    }
    /* A file that is replaced keeps its permissions; where they cannot be set, those of a new file must do. */
    if (stat(writer->path, &about) == 0) fchmod(file, about.st_mode & 0777);
    writer->stream = fdopen(file, "wb");
    if (!writer->stream) {
        close(file);
        return imp_fail(context, IMP_ERR_MEMORY, "%s: %s", writer->path, strerror(errno));
    }
    return IMP_OK;
}

int imp_file_writer_open(imp_context *context, const char *path, imp_file_writer *writer) {
    int status;
    *writer = (imp_file_writer){0};
    status = resolve_target(context, path, &writer->path);
    if (status == IMP_OK) status = open_temporary(context, writer);
    if (status != IMP_OK) imp_file_writer_abandon(context, writer);
    return status;
}

int imp_file_writer_commit(imp_context *context, imp_file_writer *writer) {
    int error = 0;
    if (!writer->stream) return imp_fail(context, IMP_ERR_STATE, "the file to write was not open");
    if (fflush(writer->stream) != 0) error = errno;
    if (error == 0 && ferror(writer->stream)) error = EIO;
    /* Some file systems cannot sync and say EINVAL; what is in the cache is all there is. */
    if (error == 0 && fsync(fileno(writer->stream)) != 0 && errno != EINVAL) error = errno;
    if (fclose(writer->stream) != 0 && error == 0) error = errno;
    writer->stream = NULL;
    if (error == 0 && rename(writer->temporary, writer->path) != 0) error = errno;
    if (error == 0) { /* renamed: nothing left for abandon to remove */
        imp_release(context, writer->temporary);
        writer->temporary = NULL;
    } else {
        imp_fail(context, IMP_ERR_IO, "%s: %s", writer->path, strerror(error));
    }
    imp_file_writer_abandon(context, writer);
    return error == 0 ? IMP_OK : IMP_ERR_IO;
}

void imp_file_writer_abandon(imp_context *context, imp_file_writer *writer) {
    if (writer->stream) fclose(writer->stream);
    if (writer->temporary) unlink(writer->temporary);
    imp_release(context, writer->temporary);
    imp_release(context, writer->path);
    *writer = (imp_file_writer){0};
}

int imp_file_write(imp_context *context, const char *path, int (*write)(void *user, FILE *stream), void *user) {
    imp_file_writer writer;
    if (!context) return IMP_ERR_ARGUMENT;
    if (!path || !write) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_file_write: path or write is NULL");
    int status = imp_file_writer_open(context, path, &writer);
    if (status) return status;
    status = write(user, writer.stream);
    if (!status) return imp_file_writer_commit(context, &writer);
    imp_file_writer_abandon(context, &writer);
    return status;
}

int imp_file_can_write(imp_context *context, const char *path) {
    imp_file_writer writer;
    if (!context) return IMP_ERR_ARGUMENT;
    if (!path) return imp_fail(context, IMP_ERR_ARGUMENT, "imp_file_can_write: path is NULL");
    int status = imp_file_writer_open(context, path, &writer);
    imp_file_writer_abandon(context, &writer);
    return status;
}
