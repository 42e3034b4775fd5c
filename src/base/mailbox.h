/* Messages from any thread to the one that owns the mailbox, in order. The owner watches the
 * eventfd and takes all that is there. A message is a struct of the sender's with a `struct mail`
 * first; it belongs to the owner once posted. */
#ifndef LINTEL_BASE_MAILBOX_H
#define LINTEL_BASE_MAILBOX_H

#include <pthread.h>

#include "base/error.h"

struct mail {
	struct mail *next;
};

struct mailbox {
	pthread_mutex_t lock;
	struct mail *first, **last;
	int fd; /* readable while there is something to take */
};

int mailbox_init(struct mailbox *m, struct error *err);
void mailbox_clear(struct mailbox *m); /* must be empty */
void mailbox_post(struct mailbox *m, struct mail *mail);
struct mail *mailbox_take(struct mailbox *m); /* all of them, a list; NULL when none. Owner only */

#endif
