/* Preloaded into the daemon (LD_PRELOAD) by `contrib/test --long`: its logs are written late, and
 * its event loops come late now and then, as on a machine that has much else to do. A test that
 * takes for done what is only on its way fails then each time, not once in a hundred runs. */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define LOG_MS  300
#define LOOP_MS 40 /* at most, in one of four turns */

static void be_late(unsigned ms)
{
	struct timespec t = {.tv_nsec = (long)ms * 1000000};
	int err = errno;

	nanosleep(&t, NULL);
	errno = err;
}

/* By a thread: xorshift, begun with where its variables lie. */
static unsigned chance(void)
{
	static _Thread_local unsigned x;

	if (!x)
		x = (unsigned)(size_t)&x | 1;
	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}

static bool is_log_line(const char *data, size_t len)
{
	return len > 20 && (memcmp(data, "20", 2) == 0 || memcmp(data, "{\"time", 6) == 0);
}

ssize_t write(int fd, const void *data, size_t len)
{
	static ssize_t (*real)(int, const void *, size_t);

	if (!real)
		real = dlsym(RTLD_NEXT, "write");
	if (is_log_line(data, len) && strcmp(program_invocation_short_name, "lintel") == 0)
		be_late(LOG_MS);
	return real(fd, data, len);
}

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	static int (*real)(int, struct epoll_event *, int, int);
	int n;

	if (!real)
		real = dlsym(RTLD_NEXT, "epoll_wait");
	n = real(fd, events, max, timeout);
	if (n > 0 && chance() % 4 == 0)
		be_late(chance() % LOOP_MS);
	return n;
}
