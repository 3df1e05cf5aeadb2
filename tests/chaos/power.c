/* Library preloaded into the store: simulates a full disk and a wrong clock. The file CHAOS_SWITCHES controls it with two
 * 64-bit numbers: the offset of the clock in microseconds, and whether the disk is full.
 * CHAOS_SYNCED/<file name> has the number of synced bytes of each append-only file, as text. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *switches;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("CHAOS_SWITCHES");
  int fd = path ? open(path, O_RDWR) : -1;
  if (fd >= 0) {
    void *shared = mmap(NULL, 16, PROT_READ, MAP_SHARED, fd, 0);
    if (shared != MAP_FAILED) switches = shared;
    close(fd);
  }
}

static int is_append_only(int fd, char *path, size_t size) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, size - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return length > 4 && strcmp(path + length - 4, ".aof") == 0;
}

static void note_synced(int fd, off_t size) {
  char path[4096], note[8192], text[32];
  const char *folder = getenv("CHAOS_SYNCED");
  if (!folder || !is_append_only(fd, path, sizeof path)) return;
  snprintf(note, sizeof note, "%s/%s", folder, strrchr(path, '/') + 1);
  int out = open(note, O_WRONLY | O_CREAT, 0600);
  if (out < 0) return;
  int length = snprintf(text, sizeof text, "%020lld", (long long)size);
  if (pwrite(out, text, length, 0) != length) abort();
  close(out);
}

int fdatasync(int fd) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
  struct stat before;
  int known = fstat(fd, &before) == 0;
  int result = real(fd);
  if (result == 0 && known) note_synced(fd, before.st_size);
  return result;
}

int fsync(int fd) {
  static int (*real)(int);
  if (!real) real = dlsym(RTLD_NEXT, "fsync");
  struct stat before;
  int known = fstat(fd, &before) == 0;
  int result = real(fd);
  if (result == 0 && known) note_synced(fd, before.st_size);
  return result;
}

ssize_t write(int fd, const void *data, size_t size) {
  static ssize_t (*real)(int, const void *, size_t);
  char path[4096];
  if (!real) real = dlsym(RTLD_NEXT, "write");
  if (switches && switches[1] && is_append_only(fd, path, sizeof path)) {
    errno = ENOSPC;
    return -1;
  }
  return real(fd, data, size);
}

int gettimeofday(struct timeval *now, void *zone) {
  struct timespec at;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &at);
  now->tv_sec = at.tv_sec;
  now->tv_usec = at.tv_nsec / 1000;
  return 0;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, at);
  if (result == 0 && clock == CLOCK_REALTIME && switches) at->tv_sec += switches[0] / 1000000;
  return result;
}
