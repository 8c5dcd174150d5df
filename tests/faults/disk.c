/* A disk that a test makes ill while a process works on it: preloaded, see disk.py.

   DISK_UNDER names the directory, DISK_ORDERS a file outside of it that says what is wrong with it now:
   "rofs" refuses every write with EROFS, as a file system does that the kernel made read-only after an
   error (remounting one by hand is refused while files are open for writing);
   "eio KINDS FIRST COUNT" lets the FIRST and the following calls of these kinds (r, w, s) on the database
   fail with EIO, counted by each process from when it first reads the orders. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef ST_RDONLY
#define ST_RDONLY 1
#endif

static const char *under, *orders;
static long seen = 0;

__attribute__((constructor)) static void begin(void) {
    under = getenv("DISK_UNDER");
    orders = getenv("DISK_ORDERS");
}

static int read_orders(char *text, size_t size) {
    if (under == NULL || orders == NULL)
        return 0;
    int kept = errno;
    int fd = syscall(SYS_openat, AT_FDCWD, orders, O_RDONLY | O_CLOEXEC);
    long length = fd < 0 ? 0 : syscall(SYS_read, fd, text, size - 1);
    if (fd >= 0)
        syscall(SYS_close, fd);
    errno = kept;
    text[length > 0 ? length : 0] = 0;
    return length > 0;
}

static int is_rofs(void) {
    char text[64];
    return read_orders(text, sizeof text) && strncmp(text, "rofs", 4) == 0;
}

static int lies_under(const char *path) {
    return under != NULL && strncmp(path, under, strlen(under)) == 0;
}

static int path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, path, size - 1);
    path[length > 0 ? length : 0] = 0;
    return length > 0;
}

/* Whether a change below this directory is refused now. */
static int refuses(int dir, const char *path) {
    char place[1024] = "";
    if (path == NULL || !is_rofs())
        return 0;
    if (path[0] != '/' && dir == AT_FDCWD && getcwd(place, sizeof place) == NULL)
        return 0;
    if (path[0] != '/' && dir != AT_FDCWD && !path_of(dir, place, sizeof place))
        return 0;
    if (!lies_under(path[0] == '/' ? path : place))
        return 0;
    errno = EROFS;
    return 1;
}

static int fails(int fd, char kind) {
    char text[64], kinds[8], path[1024];
    long first, count;
    if (!read_orders(text, sizeof text))
        return 0;
    if (strncmp(text, "rofs", 4) == 0) {
        if (kind != 'w' || !path_of(fd, path, sizeof path) || !lies_under(path))
            return 0;
        errno = EROFS;
        return 1;
    }
    if (sscanf(text, "eio %7s %ld %ld", kinds, &first, &count) != 3 || strchr(kinds, kind) == NULL)
        return 0;
    if (!path_of(fd, path, sizeof path) || !lies_under(path) || strstr(path, "flowdapt.db") == NULL)
        return 0;
    long now = __sync_add_and_fetch(&seen, 1);
    if (now < first || now >= first + count)
        return 0;
    errno = EIO;
    return 1;
}

ssize_t pread64(int fd, void *data, size_t count, off64_t offset) {
    return fails(fd, 'r') ? -1 : syscall(SYS_pread64, fd, data, count, offset);
}
ssize_t pread(int fd, void *data, size_t count, off_t offset) { return pread64(fd, data, count, offset); }

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset) {
    return fails(fd, 'w') ? -1 : syscall(SYS_pwrite64, fd, data, count, offset);
}
ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) {
    return pwrite64(fd, data, count, offset);
}
ssize_t write(int fd, const void *data, size_t count) {
    return fails(fd, 'w') ? -1 : syscall(SYS_write, fd, data, count);
}

int ftruncate64(int fd, off64_t length) { return fails(fd, 'w') ? -1 : syscall(SYS_ftruncate, fd, length); }
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }
int fsync(int fd) { return fails(fd, 's') ? -1 : syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return fails(fd, 's') ? -1 : syscall(SYS_fdatasync, fd); }

static int open_at(int dir, const char *path, int flags, mode_t mode) {
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && refuses(dir, path))
        return -1;
    return syscall(SYS_openat, dir, path, flags, mode);
}

static mode_t mode_in(int flags, va_list more) {
    return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(more, mode_t) : 0;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode_t mode = mode_in(flags, more);                                                        \
        va_end(more);                                                                              \
        return open_at(AT_FDCWD, path, flags, mode);                                               \
    }
#define OPENAT(name)                                                                               \
    int name(int dir, const char *path, int flags, ...) {                                          \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        mode_t mode = mode_in(flags, more);                                                        \
        va_end(more);                                                                              \
        return open_at(dir, path, flags, mode);                                                    \
    }
OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

int mkdirat(int dir, const char *path, mode_t mode) {
    return refuses(dir, path) ? -1 : syscall(SYS_mkdirat, dir, path, mode);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int unlinkat(int dir, const char *path, int flags) {
    return refuses(dir, path) ? -1 : syscall(SYS_unlinkat, dir, path, flags);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int renameat(int from, const char *old, int to, const char *new) {
    return refuses(to, new) ? -1 : syscall(SYS_renameat2, from, old, to, new, 0);
}
int rename(const char *old, const char *new) { return renameat(AT_FDCWD, old, AT_FDCWD, new); }
int linkat(int from, const char *old, int to, const char *new, int flags) {
    return refuses(to, new) ? -1 : syscall(SYS_linkat, from, old, to, new, flags);
}
int link(const char *old, const char *new) { return linkat(AT_FDCWD, old, AT_FDCWD, new, 0); }

int statvfs64(const char *path, struct statvfs64 *found) {
    struct statfs64 plain;
    if (syscall(SYS_statfs, path, &plain) != 0)
        return -1;
    memset(found, 0, sizeof *found);
    found->f_bsize = plain.f_bsize;
    found->f_frsize = plain.f_frsize ? plain.f_frsize : plain.f_bsize;
    found->f_blocks = plain.f_blocks;
    found->f_bfree = plain.f_bfree;
    found->f_bavail = plain.f_bavail;
    found->f_files = plain.f_files;
    found->f_ffree = plain.f_ffree;
    found->f_namemax = plain.f_namelen;
    if (lies_under(path) && is_rofs())
        found->f_flag |= ST_RDONLY;
    return 0;
}
int statvfs(const char *path, struct statvfs *found) {
    return statvfs64(path, (struct statvfs64 *)found);
}
