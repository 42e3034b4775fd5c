/* From root to `user`, for good: only CAP_NET_BIND_SERVICE stays, so that a reload may still listen
 * on port 443. Control thread, at start, before any other thread exists (capabilities belong to a
 * thread and are inherited by those that it starts), and before sandbox_enter().
 *
 * What a reload can no longer do afterwards: read a file that `user` may not read (a key of mode
 * 0600 and owner root, say), write outside what `user` owns, raise the limit of descriptors, become
 * another user. The process leaves no core file any more, and /proc/self/fd is closed to it (so is
 * /dev/stderr as a file name). */
#ifndef LINTEL_BASE_PRIVILEGES_H
#define LINTEL_BASE_PRIVILEGES_H

#include "base/error.h"

/* Whether there is such a user. */
int privileges_find(const char *user, struct error *err);

/* Becomes `user` with its groups; fine when the process is that user already. After an error the
 * process is in between and must end. */
int privileges_drop(const char *user, struct error *err);

/* Stays who it is, without any capability, and so do programs that it starts under no_new_privs,
 * root or not. */
int privileges_give_up(struct error *err);

/* Gives a file or directory that this process, as root, has just made to `user` (the owner only,
 * not what is in it). A symbolic link, and a file with a second name, are refused: in a directory
 * of the user's they could stand for any file of the system. Does nothing when not root. */
int privileges_own(const char *path, const char *user, struct error *err);
/* The same for a socket: those of one port share it (SO_REUSEPORT) only when one user has them all.
 */
int privileges_own_socket(int fd, const char *user, struct error *err);

#endif
