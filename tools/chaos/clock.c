/* Shifts the wall clock that Python reads in a process, by the seconds in the file THEMIS_CHAOS_CLOCK (8 bytes).
 * Other libraries keep the true clock: they wait for moments of it in the kernel, whose clock does not jump. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *jump;
static void *python;

static void *module_of(void *address) {
    Dl_info found;
    return dladdr(address, &found) ? found.dli_fbase : NULL;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("THEMIS_CHAOS_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *page = mmap(NULL, sizeof *jump, PROT_READ, MAP_SHARED, file, 0);
        if (page != MAP_FAILED) jump = page;
        close(file);
    }
    void *symbol = dlsym(RTLD_DEFAULT, "Py_GetVersion");
    python = symbol ? module_of(symbol) : NULL;
}

static int64_t shift(void *caller) {
    return jump && python && *jump && module_of(caller) == python ? *jump : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += shift(__builtin_return_address(0));
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec found;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec + shift(__builtin_return_address(0));
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec found;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &found);
    time_t now = found.tv_sec + shift(__builtin_return_address(0));
    if (where) *where = now;
    return now;
}
