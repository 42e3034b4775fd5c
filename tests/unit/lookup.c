#include "lookup.h"

#include <dlfcn.h>
#include <netdb.h>
#include <semaphore.h>
#include <string.h>

static struct stop *to_stop;
static sem_t go_on, gone;

void lookup_begin(struct stop *stop)
{
	to_stop = stop;
	sem_init(&go_on, 0, 0);
	sem_init(&gone, 0, 0);
}

void lookup_end(void)
{
	sem_post(&go_on);
	sem_wait(&gone);
}

/* In the place of libc's, for libcurl too. */
int getaddrinfo(
	const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **found)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (!host || strcmp(host, HANGING) != 0) {
		*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
		return real(host, port, hints, found);
	}
	stop_set(to_stop);
	sem_wait(&go_on);
	sem_post(&gone);
	return EAI_AGAIN;
}
