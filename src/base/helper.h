/* The helper process of spawn.h, and how it is spoken to: over a socketpair (SOCK_SEQPACKET), each
 * message a struct of this header. A request brings three descriptors of its run along: a socket
 * that is its own, on which the one answer comes, and where standard output and error go. So no
 * answer can be taken for another's. To close or shut down that socket is to cancel the run. */
#ifndef LINTEL_BASE_HELPER_H
#define LINTEL_BASE_HELPER_H

#include <stdint.h>

#include "base/spawn.h"

enum { HELPER_SOCKET, HELPER_STDOUT, HELPER_STDERR, HELPER_FDS };

struct helper_request {
	uint32_t command, n; /* so many words, each with its NUL, one after the other: */
	char words[SPAWN_BYTES_MAX];
};

enum helper_end {
	HELPER_EXITED,  /* value: the status */
	HELPER_KILLED,  /* value: the signal */
	HELPER_FAILED,  /* could not be started; value: errno */
	HELPER_REFUSED, /* no such command, words of other kinds, or too much is running */
};

struct helper_answer {
	int32_t end; /* enum helper_end */
	int32_t value;
};

/* Once, before the first request: empty, or why there will be none. */
struct helper_hello {
	char problem[ERROR_MAX];
};

/* What the forked process does until the other end of `fd` is closed. */
_Noreturn void helper_main(int fd, const struct spawn_command *v, size_t n, const char *user);

#endif
