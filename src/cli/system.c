/* What the program asks the operating system: time, memory, files, signals. */
#include "cli/system.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

double imp_cli_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* "name:   1234 kB" in a file of such lines, in bytes; UINT64_MAX when it is not there. */
static uint64_t read_kilobytes(const char *path, const char *name) {
    FILE *stream = fopen(path, "r");
    if (!stream) return UINT64_MAX;
    char line[256];
    uint64_t bytes = UINT64_MAX;
    unsigned long long kilobytes;
    while (bytes == UINT64_MAX && fgets(line, sizeof line, stream))
        if (strncmp(line, name, strlen(name)) == 0 && sscanf(line + strlen(name), ": %llu", &kilobytes) == 1)
            bytes = (uint64_t)kilobytes * 1024;
    fclose(stream);
    return bytes;
}

/* The one number in a file; UINT64_MAX when there is none ("max"). */
static uint64_t read_number(const char *path) {
    FILE *stream = fopen(path, "r");
    if (!stream) return UINT64_MAX;
    unsigned long long number;
    int found = fscanf(stream, "%llu", &number);
    fclose(stream);
    return found == 1 ? (uint64_t)number : UINT64_MAX;
}

uint64_t imp_cli_memory_available(void) {
    uint64_t available = read_kilobytes("/proc/meminfo", "MemAvailable");
    /* Inside a container the control group's files are at this place. */
    uint64_t limit = read_number("/sys/fs/cgroup/memory.max");
    uint64_t used = read_number("/sys/fs/cgroup/memory.current");
    if (limit != UINT64_MAX && used != UINT64_MAX) {
        uint64_t left = limit > used ? limit - used : 0;
        if (left < available) available = left;
    }
    return available;
}

uint64_t imp_cli_address_space_left(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return UINT64_MAX;
    uint64_t used = read_kilobytes("/proc/self/status", "VmSize");
    if (used == UINT64_MAX) return UINT64_MAX;
    return limit.rlim_cur > used ? (uint64_t)limit.rlim_cur - used : 0;
}

void imp_cli_return_memory(void) {
#ifdef __GLIBC__
    /* glibc raises the size from which on it does so to that of what was released, up to 32 MB. */
    mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

uint64_t imp_cli_memory_peak(void) {
    /* Not getrusage at first: its figure begins with that of the process which started this one. */
    uint64_t peak = read_kilobytes("/proc/self/status", "VmHWM");
    if (peak != UINT64_MAX) return peak;
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

uint64_t imp_cli_memory_expected(const imp_context *context, uint64_t bytes) {
    uint64_t peak = imp_cli_memory_peak(), now = read_kilobytes("/proc/self/status", "VmRSS");
    imp_context_info info = {.size = sizeof info};
    imp_context_get_info(context, &info);
    uint64_t beside = now != UINT64_MAX && now > info.memory_now ? now - info.memory_now : 0;
    return beside + bytes > peak ? beside + bytes : peak;
}

bool imp_cli_same_file(const char *a, const char *b) {
    struct stat first, second;
    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

bool imp_cli_is_file(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && !S_ISDIR(status.st_mode);
}

bool imp_cli_is_folder(const char *path) {
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

imp_cli_lock imp_cli_lock_folder(const char *folder) {
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* closed, and so unlocked, by the system */
    if (descriptor >= 0 && flock(descriptor, LOCK_EX | LOCK_NB) == 0) return IMP_CLI_LOCKED;
    int taken = descriptor >= 0 && errno == EWOULDBLOCK, reason = errno;
    if (descriptor >= 0) close(descriptor);
    errno = reason;
    return taken ? IMP_CLI_TAKEN : IMP_CLI_UNLOCKED;
}

bool imp_cli_program_folder(char *folder, size_t size) {
    ssize_t length = readlink("/proc/self/exe", folder, size - 1);
    if (length <= 0) return false;
    folder[length] = '\0';
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    return slash != NULL;
}

static volatile sig_atomic_t signal_that_came;

static void note_signal(int number) {
    if (signal_that_came) _exit(128 + number);
    signal_that_came = number;
}

void imp_cli_catch_signals(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    action.sa_handler = note_signal;
    action.sa_flags = SA_RESTART;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        /* What nohup or a shell's & had ignored stays ignored. */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN) continue;
        sigaction(numbers[i], &action, NULL);
    }
}

int imp_cli_signal(void) {
    return signal_that_came;
}

int imp_cli_terminal_width(void) {
    enum { USUAL_WIDTH = 80 };
    struct winsize size;
    if (!isatty(STDOUT_FILENO)) return 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    return USUAL_WIDTH;
}
