/* Faults of one process's disk and wall clock, between the process and the C library (LD_PRELOAD).
 *
 * The harness writes a control file, which is mapped here shared: a change takes effect at the next call, and a call
 * without a fault costs one load. The other end is `env/interposer.rs`; the layout below is the whole interface.
 *
 * Disk faults concern files whose path contains the text `scope`. They are found by /proc/self/fd at the moment of the
 * call, so no call that opens or closes files has to be followed. Calls that bypass the C library, and stores to mapped
 * files, are not seen; `weir-jepsen doctor` shows that those of the real binary are.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x31544c4652494557ULL /* "WEIRFLT1" */

/* byte  field
 *    0  magic
 *    8  times the clock was moved for a caller, 16 syncs, 24 syncs with a fault, 32 writes with a fault  (counted here)
 *   40  offset of the wall clock in nanoseconds
 *   48  scope: a text with a zero at its end
 *  304  faults, each a 32-bit number; 0 is none */
struct control {
    uint64_t magic;
    _Atomic uint64_t clock_reads, syncs, syncs_faulted, writes_faulted;
    _Atomic int64_t clock_offset_ns;
    char scope[256];
    _Atomic uint32_t write_errno;    /* writes, and whatever else takes space, fail with it */
    _Atomic uint32_t sync_errno;     /* syncs fail with it */
    _Atomic uint32_t read_errno;     /* reads fail with it */
    _Atomic uint32_t sync_delay_us;  /* syncs take so much longer */
    _Atomic uint32_t write_delay_us; /* writes take so much longer */
    _Atomic uint32_t sync_hangs;     /* 1: syncs wait until this is 0 */
    _Atomic uint32_t sync_lies;      /* 1: syncs return 0 and do nothing */
    _Atomic uint32_t torn_permille;  /* the next write writes so many thousandths, and the process is killed */
    _Atomic uint32_t any_file_fault; /* 1: one of the above is set */
};

static struct control *control;

__attribute__((constructor)) static void attach(void) {
    const char *path = getenv("WEIR_INTERPOSE");
    if (!path) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    struct stat stat;
    /* A mapping beyond the file's end would be a trap for every later call. */
    if (fstat(fd, &stat) == 0 && (size_t)stat.st_size >= sizeof(struct control)) {
        void *found = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (found != MAP_FAILED && ((struct control *)found)->magic == MAGIC) control = found;
    }
    close(fd);
}

/* The C library's own function of the same name. Resolved once each; a race resolves the same value twice. */
#define REAL(type, name, ...)                                             \
    static type (*real)(__VA_ARGS__);                                     \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int faults(void) {
    return control && atomic_load_explicit(&control->any_file_fault, memory_order_relaxed);
}

static int path_in_scope(const char *path) {
    return control->scope[0] && strstr(path, control->scope) != NULL;
}

static int in_scope(int fd) {
    char link[40], path[4096];
    int saved = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = saved;
    if (length <= 0) return 0;
    path[length] = 0;
    return path_in_scope(path);
}

static void rest(uint32_t microseconds) {
    struct timespec time = {microseconds / 1000000, (long)(microseconds % 1000000) * 1000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR) {
    }
}

/* What happens to a call that takes space. 0: go on. */
static int before_write(void) {
    uint32_t delay = control->write_delay_us;
    if (delay) rest(delay);
    uint32_t error = control->write_errno;
    if (delay || error) control->writes_faulted++;
    return (int)error;
}

/* Whether this write is the one that is torn; then its thousandths. Taken by one caller only. */
static uint32_t take_torn(void) {
    uint32_t permille = control->torn_permille;
    if (permille && atomic_compare_exchange_strong(&control->torn_permille, &permille, 0)) {
        control->writes_faulted++;
        return permille;
    }
    return 0;
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static size_t part(size_t size, uint32_t permille) {
    return (size_t)((unsigned __int128)size * permille / 1000);
}

/* What happens to a sync: 0 really syncs, 1 returns at once with success, -1 fails with errno. */
static int before_sync(int fd) {
    if (!control) return 0;
    control->syncs++;
    if (!faults() || !in_scope(fd)) return 0;
    if (control->sync_delay_us) {
        control->syncs_faulted++;
        rest(control->sync_delay_us);
    }
    if (control->sync_hangs) control->syncs_faulted++;
    while (control->sync_hangs) rest(5000);
    if (control->sync_errno) {
        control->syncs_faulted++;
        errno = (int)control->sync_errno;
        return -1;
    }
    if (control->sync_lies) {
        control->syncs_faulted++;
        return 1;
    }
    return 0;
}

int fsync(int fd) {
    REAL(int, fsync, int);
    int fate = before_sync(fd);
    return fate == 0 ? real(fd) : fate == 1 ? 0 : -1;
}

int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    int fate = before_sync(fd);
    return fate == 0 ? real(fd) : fate == 1 ? 0 : -1;
}

int sync_file_range(int fd, off64_t offset, off64_t count, unsigned int flags) {
    REAL(int, sync_file_range, int, off64_t, off64_t, unsigned int);
    int fate = before_sync(fd);
    return fate == 0 ? real(fd, offset, count, flags) : fate == 1 ? 0 : -1;
}

ssize_t write(int fd, const void *bytes, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (faults() && in_scope(fd)) {
        int error = before_write();
        if (error) return errno = error, -1;
        uint32_t torn = take_torn();
        if (torn) {
            if (real(fd, bytes, part(size, torn)) < 0) errno = EIO;
            die();
        }
    }
    return real(fd, bytes, size);
}

#define PWRITE(name, offset_type)                                            \
    ssize_t name(int fd, const void *bytes, size_t size, offset_type at) {   \
        REAL(ssize_t, name, int, const void *, size_t, offset_type);         \
        if (faults() && in_scope(fd)) {                                      \
            int error = before_write();                                      \
            if (error) return errno = error, -1;                             \
            uint32_t torn = take_torn();                                     \
            if (torn) {                                                      \
                if (real(fd, bytes, part(size, torn), at) < 0) errno = EIO;  \
                die();                                                       \
            }                                                                \
        }                                                                    \
        return real(fd, bytes, size, at);                                    \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    if (faults() && in_scope(fd)) {
        int error = before_write();
        if (error) return errno = error, -1;
    }
    return real(fd, parts, count);
}

#define PWRITEV(name, offset_type)                                              \
    ssize_t name(int fd, const struct iovec *parts, int count, offset_type at) { \
        REAL(ssize_t, name, int, const struct iovec *, int, offset_type);       \
        if (faults() && in_scope(fd)) {                                         \
            int error = before_write();                                         \
            if (error) return errno = error, -1;                                \
        }                                                                       \
        return real(fd, parts, count, at);                                      \
    }
PWRITEV(pwritev, off_t)
PWRITEV(pwritev64, off64_t)

#define PREAD(name, offset_type)                                             \
    ssize_t name(int fd, void *bytes, size_t size, offset_type at) {         \
        REAL(ssize_t, name, int, void *, size_t, offset_type);               \
        if (faults() && control->read_errno && in_scope(fd))                 \
            return errno = (int)control->read_errno, -1;                     \
        return real(fd, bytes, size, at);                                    \
    }
PREAD(pread, off_t)
PREAD(pread64, off64_t)

#define FALLOCATE(name, offset_type)                                         \
    int name(int fd, int mode, offset_type at, offset_type size) {           \
        REAL(int, name, int, int, offset_type, offset_type);                 \
        if (faults() && in_scope(fd)) {                                      \
            int error = before_write();                                      \
            if (error) return errno = error, -1;                             \
        }                                                                    \
        return real(fd, mode, at, size);                                     \
    }
FALLOCATE(fallocate, off_t)
FALLOCATE(fallocate64, off64_t)

/* Returns its error and leaves errno alone. */
#define POSIX_FALLOCATE(name, offset_type)                                   \
    int name(int fd, offset_type at, offset_type size) {                     \
        REAL(int, name, int, offset_type, offset_type);                      \
        if (faults() && in_scope(fd)) {                                      \
            int error = before_write();                                      \
            if (error) return error;                                         \
        }                                                                    \
        return real(fd, at, size);                                           \
    }
POSIX_FALLOCATE(posix_fallocate, off_t)
POSIX_FALLOCATE(posix_fallocate64, off64_t)

#define FTRUNCATE(name, offset_type)                                         \
    int name(int fd, offset_type size) {                                     \
        REAL(int, name, int, offset_type);                                   \
        if (faults() && in_scope(fd)) {                                      \
            int error = before_write();                                      \
            if (error) return errno = error, -1;                             \
        }                                                                    \
        return real(fd, size);                                               \
    }
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    if (faults() && path_in_scope(to)) {
        int error = before_write();
        if (error) return errno = error, -1;
    }
    return real(from, to);
}

/* Opening fails only where it would make a file or truncate one: that is what takes a write. */
#define OPEN(name)                                                           \
    int name(const char *path, int flags, ...) {                             \
        REAL(int, name, const char *, int, ...);                             \
        mode_t mode = 0;                                                     \
        if (flags & (O_CREAT | O_TMPFILE)) {                                 \
            va_list more;                                                    \
            va_start(more, flags);                                           \
            mode = va_arg(more, mode_t);                                     \
            va_end(more);                                                    \
        }                                                                    \
        if ((flags & (O_CREAT | O_TRUNC)) && faults() && path_in_scope(path)) { \
            int error = before_write();                                      \
            if (error) return errno = error, -1;                             \
        }                                                                    \
        return real(path, flags, mode);                                      \
    }
OPEN(open)
OPEN(open64)

static int64_t clock_offset(void) {
    if (!control) return 0;
    int64_t offset = atomic_load_explicit(&control->clock_offset_ns, memory_order_relaxed);
    if (offset) control->clock_reads++;
    return offset;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int result = real(clock, time);
    /* The monotonic clocks stay: a moved one hangs programs in ways that no real machine does. */
    if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
    int64_t offset = clock_offset();
    if (offset) {
        int64_t nanoseconds = (int64_t)time->tv_sec * 1000000000 + time->tv_nsec + offset;
        time->tv_sec = nanoseconds / 1000000000;
        time->tv_nsec = nanoseconds % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    REAL(int, gettimeofday, struct timeval *restrict, void *restrict);
    int result = real(time, zone);
    int64_t offset = result == 0 ? clock_offset() / 1000 : 0;
    if (offset) {
        int64_t microseconds = (int64_t)time->tv_sec * 1000000 + time->tv_usec + offset;
        time->tv_sec = microseconds / 1000000;
        time->tv_usec = microseconds % 1000000;
    }
    return result;
}

time_t time(time_t *out) {
    REAL(time_t, time, time_t *);
    time_t now = real(NULL) + clock_offset() / 1000000000;
    if (out) *out = now;
    return now;
}
