/* The socket that the admin listener accepts from: TCP, or a unix socket with the mode 0660 whose
 * path belongs to us while we run. Control thread; blocking only as a bind is. */
#ifndef LINTEL_ADMIN_SOCKET_H
#define LINTEL_ADMIN_SOCKET_H

#include <sys/types.h>

#include "base/address.h"
#include "base/error.h"

struct admin_socket {
	int fd;     /* listening, non-blocking, close-on-exec */
	char *path; /* of a unix socket, else NULL; what we made there is this file: */
	dev_t dev;
	ino_t ino;
};

/* A path left behind by a process that is gone is taken over, a live one is refused. Returns 0, or
 * -1 with a sentence and nothing to clear. */
int admin_socket_open(struct admin_socket *s, const struct address *address, struct error *err);
/* Removes the path when it is still ours. Does not close `fd`, which evhttp comes to own. */
void admin_socket_clear(struct admin_socket *s);

#endif
