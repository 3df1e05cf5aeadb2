/* Network between servers that fails while the file $CHAOS_SPLIT exists: TCP sockets with another local port than
   $CHAOS_CLIENT_PORT have errors, those of the cluster bus. Clients still reach the server. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_cut(int fd) {
    const char *file = getenv("CHAOS_SPLIT"), *port = getenv("CHAOS_CLIENT_PORT");
    struct sockaddr_in address = {0};
    socklen_t size = sizeof(address);
    if (!file || !port || access(file, F_OK) != 0) return 0;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0 || address.sin_family != AF_INET) return 0;
    return ntohs(address.sin_port) != atoi(port);
}

#define CUT(fd, code) if (is_cut(fd)) { errno = code; return -1; }

ssize_t read(int fd, void *buffer, size_t size) {
    static ssize_t (*real)(int, void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "read");
    int error = errno;
    CUT(fd, ECONNRESET)
    errno = error;
    return real(fd, buffer, size);
}

ssize_t write(int fd, const void *buffer, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    int error = errno;
    CUT(fd, ECONNRESET)
    errno = error;
    return real(fd, buffer, size);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    static ssize_t (*real)(int, const struct iovec *, int);
    if (!real) real = dlsym(RTLD_NEXT, "writev");
    int error = errno;
    CUT(fd, ECONNRESET)
    errno = error;
    return real(fd, parts, count);
}
