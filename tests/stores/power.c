/* Records what a process does to files whose path holds "flowdapt.db": writes, cuts and flushes, in
   order, so that a test can lose what was not flushed. POWER_FAIL=N:COUNT lets the N-th and the
   following writes and flushes fail with EIO. Preloaded; see test_power_loss.py, test_io_errors.py. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int trace_fd = -1;
static long fail_from = -1, fail_count = 0, seen = 0;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("POWER_TRACE");
    if (name != NULL)
        trace_fd = open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
    const char *fail = getenv("POWER_FAIL");
    if (fail != NULL)
        sscanf(fail, "%ld:%ld", &fail_from, &fail_count);
}

static ssize_t path_of(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size);
    return length > 0 && memmem(path, length, "flowdapt.db", 11) != NULL ? length : -1;
}

static int fails(int fd) {
    char path[1024];
    if (fail_from < 0 || path_of(fd, path, sizeof path) < 0)
        return 0;
    long now = __sync_add_and_fetch(&seen, 1);
    if (now < fail_from || now >= fail_from + fail_count)
        return 0;
    errno = EIO;
    return 1;
}

static void note(char kind, int fd, const void *data, uint32_t count, int64_t offset) {
    char path[1024];
    if (trace_fd < 0 || fd == trace_fd)
        return;
    ssize_t length = path_of(fd, path, sizeof path);
    if (length < 0)
        return;
    struct __attribute__((packed)) { char kind; uint16_t path; int64_t offset; uint32_t count; }
        head = {kind, (uint16_t)length, offset, count};
    struct iovec parts[3] = {{&head, sizeof head}, {path, length}, {(void *)data, data ? count : 0}};
    syscall(SYS_writev, trace_fd, parts, 3);
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset) {
    if (fails(fd))
        return -1;
    ssize_t done = syscall(SYS_pwrite64, fd, data, count, offset);
    if (done > 0)
        note('w', fd, data, (uint32_t)done, offset);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) {
    return pwrite64(fd, data, count, offset);
}

int ftruncate64(int fd, off64_t length) {
    int done = syscall(SYS_ftruncate, fd, length);
    if (done == 0)
        note('t', fd, NULL, 0, length);
    return done;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int fsync(int fd) {
    if (fails(fd))
        return -1;
    int done = syscall(SYS_fsync, fd);
    if (done == 0)
        note('s', fd, NULL, 0, 0);
    return done;
}

int fdatasync(int fd) {
    if (fails(fd))
        return -1;
    int done = syscall(SYS_fdatasync, fd);
    if (done == 0)
        note('s', fd, NULL, 0, 0);
    return done;
}
