#include "base/stop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"

int stop_init(struct stop *s, struct error *err)
{
	atomic_init(&s->set, false);
	s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->fd < 0)
		return error_set_errno(err, "cannot make an eventfd");
	return 0;
}

void stop_clear(struct stop *s)
{
	close(s->fd);
	s->fd = -1;
}

void stop_set(struct stop *s)
{
	atomic_store(&s->set, true);
	eventfd_write(s->fd, 1);
}

bool stop_is_set(const struct stop *s)
{
	return s && atomic_load(&s->set);
}

bool stop_wait(const struct stop *s, int64_t ms)
{
	struct pollfd fd = {.fd = s ? s->fd : -1, .events = POLLIN};
	int64_t now = clock_mono_us() / 1000, end = now + ms;

	while (!stop_is_set(s) && now < end) {
		int64_t left = end - now;

		if (poll(&fd, 1, left < INT_MAX ? (int)left : INT_MAX) < 0 && errno != EINTR)
			return stop_is_set(s);
		now = clock_mono_us() / 1000;
	}
	return stop_is_set(s);
}

struct limits limits_within(const struct limits *l, int64_t ms)
{
	int64_t end = clock_mono_ms() + ms;

	return (struct limits){
		.stop = l->stop,
		.deadline_ms = end < l->deadline_ms ? end : l->deadline_ms,
	};
}
