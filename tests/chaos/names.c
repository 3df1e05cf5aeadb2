/* Lookup of host names in which names that begin with "hang-" wait while the file $CHAOS_NAMES_HANG exists. They then
   have the address 127.0.0.1. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*lookup)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    lookup real = (lookup)dlsym(RTLD_NEXT, "getaddrinfo");
    const char *file = getenv("CHAOS_NAMES_HANG");
    if (name && strncmp(name, "hang-", 5) == 0) {
        while (file && access(file, F_OK) == 0) usleep(20000);
        name = "127.0.0.1";
    }
    return real(name, service, hints, found);
}
