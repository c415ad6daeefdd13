/* Faults at file operations: counts those that change something below a folder, and strikes at one of them.

   Preloaded into a process that runs trainings, asleep until `torture_arm` is called. What is counted lives in memory
   that forked children share with the process that they come from. Python reaches files by these functions alone; what
   the C library's own streams (fopen) write is not seen. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, COUNT, KILL, TORN, FULL, FULL_FROM }; /* as `Fault` of server.py; TORN counts writes alone */

/* Who writes: each is one thread of a run, so that its own operations come in the same order every time. */
enum { MAIN, CHECKPOINTS, EVENTS, NUM_WRITERS };

struct shared {
    atomic_long count[NUM_WRITERS];
    char struck[PATH_MAX + 32]; /* the operation, and the path below the folder */
};

static struct shared *shared;
static char folder[PATH_MAX];
static int writer;
static long target;
static int fault = NONE;

__attribute__((constructor)) static void share(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Begin to count the operations below a folder, which is an absolute path without links; strike at one of a writer. */
void torture_arm(const char *below, int whose, long number, int kind)
{
    snprintf(folder, sizeof folder, "%s/", below);
    for (int one = 0; one < NUM_WRITERS; one++)
        atomic_store(&shared->count[one], 0);
    shared->struck[0] = 0;
    writer = whose;
    target = number;
    fault = kind;
}

long torture_count(int whose) { return atomic_load(&shared->count[whose]); }

const char *torture_struck(void) { return shared->struck; }

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

static int path_of(int descriptor, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return length > 0;
}

/* The absolute form of a path as a function was given it. */
static void absolute(int directory, const char *given, char *path)
{
    char base[PATH_MAX] = "";
    if (given[0] == '/')
        snprintf(path, PATH_MAX, "%s", given);
    else {
        if (directory == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of(directory, base))
            base[0] = 0;
        if (snprintf(path, PATH_MAX, "%s/%s", base, given) >= PATH_MAX)
            path[0] = 0;
    }
}

static int is_below(const char *path) { return !strncmp(path, folder, strlen(folder)); }

static int writer_of(const char *path)
{
    return strstr(path, "checkpoints") ? CHECKPOINTS : strstr(path, "events.") ? EVENTS : MAIN;
}

/* Count an operation; 1 where the disk is to be full for it, 2 where half of it is to be done before the process dies. */
static int strike(const char *operation, const char *path, int takes_space)
{
    int is_write = !strcmp(operation, "write");
    if (!is_below(path) || (fault == TORN && !is_write))
        return 0;
    int whose = writer_of(path + strlen(folder));
    long number = atomic_fetch_add(&shared->count[whose], 1) + 1;
    int is_target = whose == writer && number == target;
    if (!is_target && !(fault == FULL_FROM && shared->struck[0]))
        return 0;
    if (is_target)
        snprintf(shared->struck, sizeof shared->struck, "%s %s", operation, path + strlen(folder));
    if (fault == TORN)
        return 2;
    if (fault == KILL)
        for (;;)
            kill(getpid(), SIGKILL);
    if ((fault == FULL || fault == FULL_FROM) && takes_space) {
        errno = ENOSPC;
        return 1;
    }
    return 0;
}

static int strike_path(const char *operation, int directory, const char *given, int takes_space)
{
    char path[PATH_MAX];
    struct stat found;
    int before = errno;
    if (!fault)
        return 0;
    absolute(directory, given, path);
    int is_there = !lstat(path, &found);
    errno = before;
    int makes = !strcmp(operation, "mkdir") || !strcmp(operation, "link");
    return is_there == makes ? 0 : strike(operation, path, takes_space); /* else it fails by itself */
}

static int strike_descriptor(const char *operation, int descriptor, int takes_space)
{
    char path[PATH_MAX];
    struct stat found;
    int before = errno;
    if (!fault)
        return 0;
    int is_file = !fstat(descriptor, &found) && (S_ISREG(found.st_mode) || S_ISDIR(found.st_mode));
    int is_named = is_file && path_of(descriptor, path);
    errno = before;
    return is_named ? strike(operation, path, takes_space) : 0;
}

/* Opening changes something where it makes a file or empties one. */
static int strike_open(int directory, const char *given, int flags)
{
    char path[PATH_MAX];
    struct stat found;
    int before = errno;
    if (!fault || !(flags & (O_CREAT | O_TRUNC)))
        return 0;
    absolute(directory, given, path);
    int is_there = !lstat(path, &found);
    errno = before;
    if (!is_there)
        return flags & O_CREAT ? strike("create", path, 1) : 0;
    return flags & O_TRUNC && !(flags & O_EXCL) && found.st_size ? strike("empty", path, 0) : 0;
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, last); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

#define OPEN(name) \
    int name(const char *path, int flags, ...) \
    { \
        MODE(flags, flags) \
        int (*real)(const char *, int, ...) = next(#name); \
        return strike_open(AT_FDCWD, path, flags) ? -1 : real(path, flags, mode); \
    }

#define OPENAT(name) \
    int name(int directory, const char *path, int flags, ...) \
    { \
        MODE(flags, flags) \
        int (*real)(int, const char *, int, ...) = next(#name); \
        return strike_open(directory, path, flags) ? -1 : real(directory, path, flags, mode); \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int descriptor, const void *data, size_t size)
{
    ssize_t (*real)(int, const void *, size_t) = next("write");
    int struck = strike_descriptor("write", descriptor, 1);
    if (struck == 2) {
        real(descriptor, data, size / 2);
        for (;;)
            kill(getpid(), SIGKILL);
    }
    return struck ? -1 : real(descriptor, data, size);
}

#define ON_DESCRIPTOR(name, word, takes_space) \
    int name(int descriptor) \
    { \
        int (*real)(int) = next(#name); \
        return strike_descriptor(word, descriptor, takes_space) ? -1 : real(descriptor); \
    }

ON_DESCRIPTOR(fsync, "fsync", 1)
ON_DESCRIPTOR(fdatasync, "fsync", 1)

#define ON_PATH(name, word) \
    int name(const char *path) \
    { \
        int (*real)(const char *) = next(#name); \
        return strike_path(word, AT_FDCWD, path, 0) ? -1 : real(path); \
    }

ON_PATH(unlink, "unlink")
ON_PATH(rmdir, "rmdir")

int unlinkat(int directory, const char *path, int flags)
{
    int (*real)(int, const char *, int) = next("unlinkat");
    return strike_path("unlink", directory, path, 0) ? -1 : real(directory, path, flags);
}

int mkdir(const char *path, mode_t mode)
{
    int (*real)(const char *, mode_t) = next("mkdir");
    return strike_path("mkdir", AT_FDCWD, path, 1) ? -1 : real(path, mode);
}

int mkdirat(int directory, const char *path, mode_t mode)
{
    int (*real)(int, const char *, mode_t) = next("mkdirat");
    return strike_path("mkdir", directory, path, 1) ? -1 : real(directory, path, mode);
}

int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *) = next("rename");
    return strike_path("rename", AT_FDCWD, from, 1) ? -1 : real(from, to);
}

int renameat(int directory, const char *from, int other, const char *to)
{
    int (*real)(int, const char *, int, const char *) = next("renameat");
    return strike_path("rename", directory, from, 1) ? -1 : real(directory, from, other, to);
}

int link(const char *from, const char *to)
{
    int (*real)(const char *, const char *) = next("link");
    return strike_path("link", AT_FDCWD, to, 1) ? -1 : real(from, to);
}

int symlink(const char *from, const char *to)
{
    int (*real)(const char *, const char *) = next("symlink");
    return strike_path("link", AT_FDCWD, to, 1) ? -1 : real(from, to);
}

#define TRUNCATE(name, offset) \
    int name(const char *path, offset size) \
    { \
        int (*real)(const char *, offset) = next(#name); \
        return strike_path("truncate", AT_FDCWD, path, 0) ? -1 : real(path, size); \
    }

#define FTRUNCATE(name, offset) \
    int name(int descriptor, offset size) \
    { \
        int (*real)(int, offset) = next(#name); \
        return strike_descriptor("truncate", descriptor, 0) ? -1 : real(descriptor, size); \
    }

TRUNCATE(truncate, off_t)
TRUNCATE(truncate64, off64_t)
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)
