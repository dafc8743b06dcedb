/*
 * Notes how much of each file is on disk for sure, for `power.rs`, which cuts off the rest when the process was killed.
 *
 * A file's length counts when an fsync or fdatasync that began at that length has succeeded. What is noted lies in a
 * table that is mapped from the file UNSYNCED_TABLE, so that it outlives the process. Syncs of files whose path fits the
 * pattern UNSYNCED_IGNORE are said to have succeeded and are not noted: a disk that lies, or a program that does not sync.
 *
 * Preloaded (LD_PRELOAD) before the C library. Not noted: names, and content that is written over.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOTS 65536

struct slot {
    uint64_t inode;
    uint64_t synced;
};

static struct slot *table;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("UNSYNCED_TABLE");
    if (!path) return;
    int fd = REAL(open)(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || REAL(ftruncate)(fd, SLOTS * sizeof(struct slot)) != 0) abort();
    table = mmap(NULL, SLOTS * sizeof(struct slot), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (table == MAP_FAILED) abort();
    close(fd);
}

/* The slot of a file; a full table is the end, since nothing could be told any more. */
static struct slot *slot_of(uint64_t inode) {
    for (uint64_t at = inode % SLOTS, tried = 0; tried < SLOTS; at = (at + 1) % SLOTS, tried++) {
        if (table[at].inode == inode) return &table[at];
        if (table[at].inode == 0) {
            table[at].inode = inode;
            return &table[at];
        }
    }
    abort();
}

static int regular(int fd, struct stat *found) {
    return table && fstat(fd, found) == 0 && S_ISREG(found->st_mode);
}

static void note(uint64_t inode, uint64_t synced) {
    pthread_mutex_lock(&lock);
    slot_of(inode)->synced = synced;
    pthread_mutex_unlock(&lock);
}

static void note_at_most(uint64_t inode, uint64_t synced) {
    pthread_mutex_lock(&lock);
    struct slot *slot = slot_of(inode);
    if (slot->synced > synced) slot->synced = synced;
    pthread_mutex_unlock(&lock);
}

static int ignored(int fd) {
    const char *pattern = getenv("UNSYNCED_IGNORE");
    char link[64], path[4096];
    if (!pattern) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fnmatch(pattern, path, 0) == 0;
}

/* The length before the sync counts: what is written meanwhile may or may not be part of it. */
static int synced(int fd, int (*real)(int)) {
    struct stat found;
    int is_regular = regular(fd, &found);
    if (is_regular && ignored(fd)) return 0;
    int result = real(fd);
    if (result == 0 && is_regular) note(found.st_ino, found.st_size);
    return result;
}

int fsync(int fd) { return synced(fd, REAL(fsync)); }
int fdatasync(int fd) { return synced(fd, REAL(fdatasync)); }

/* A new file, or one that is empty again, has nothing on disk, whatever had its number before. */
static int opened(int fd, int flags) {
    struct stat found;
    if (fd >= 0 && (flags & (O_CREAT | O_TRUNC)) && regular(fd, &found) && found.st_size == 0) note(found.st_ino, 0);
    return fd;
}

#define MODE_OF(flags, mode)                        \
    mode_t mode = 0;                                \
    if ((flags) & (O_CREAT | O_TMPFILE)) {          \
        va_list arguments;                          \
        va_start(arguments, flags);                 \
        mode = va_arg(arguments, mode_t);           \
        va_end(arguments);                          \
    }

int open(const char *path, int flags, ...) {
    MODE_OF(flags, mode)
    return opened(REAL(open)(path, flags, mode), flags);
}
int open64(const char *path, int flags, ...) {
    MODE_OF(flags, mode)
    return opened(REAL(open64)(path, flags, mode), flags);
}
int openat(int folder, const char *path, int flags, ...) {
    MODE_OF(flags, mode)
    return opened(REAL(openat)(folder, path, flags, mode), flags);
}
int openat64(int folder, const char *path, int flags, ...) {
    MODE_OF(flags, mode)
    return opened(REAL(openat64)(folder, path, flags, mode), flags);
}

int ftruncate(int fd, off_t length) {
    struct stat found;
    int result = REAL(ftruncate)(fd, length);
    if (result == 0 && regular(fd, &found)) note_at_most(found.st_ino, length);
    return result;
}
int ftruncate64(int fd, off64_t length) {
    struct stat found;
    int result = REAL(ftruncate64)(fd, length);
    if (result == 0 && regular(fd, &found)) note_at_most(found.st_ino, length);
    return result;
}
