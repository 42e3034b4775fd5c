#include "base/mailbox.h"

#include <assert.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_init(struct mailbox *m, struct error *err)
{
	*m = (struct mailbox){.last = &m->first};
	pthread_mutex_init(&m->lock, NULL);
	m->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (m->fd < 0)
		return error_set_errno(err, "cannot make an eventfd");
	return 0;
}

void mailbox_clear(struct mailbox *m)
{
	assert(!m->first);
	close(m->fd);
	pthread_mutex_destroy(&m->lock);
}

void mailbox_post(struct mailbox *m, struct mail *mail)
{
	uint64_t one = 1;
	ssize_t n;

	mail->next = NULL;
	pthread_mutex_lock(&m->lock);
	*m->last = mail;
	m->last = &mail->next;
	/* Inside the lock, so that the owner cannot clear the mailbox in between. */
	n = write(m->fd, &one, sizeof(one));
	pthread_mutex_unlock(&m->lock);
	(void)n; /* fails only at 2^64 - 1 unread wake-ups, and then the fd is readable anyway */
}

struct mail *mailbox_take(struct mailbox *m)
{
	struct mail *all;
	uint64_t count;
	ssize_t n;

	pthread_mutex_lock(&m->lock);
	n = read(m->fd, &count, sizeof(count));
	(void)n; /* EAGAIN when taken without a wake-up */
	all = m->first;
	m->first = NULL;
	m->last = &m->first;
	pthread_mutex_unlock(&m->lock);
	return all;
}
