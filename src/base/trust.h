/* Whether a program that a configuration names can be nobody's but the administrator's, as sshd's
 * StrictModes has it for its files. Blocking; any thread. */
#ifndef LINTEL_BASE_TRUST_H
#define LINTEL_BASE_TRUST_H

#include "base/error.h"

/* Looks at the file, the folders above it, and all that symbolic links on the way lead through.
 * Each belongs to root, to this process's user or to whom `folder` belongs to, nobody else may
 * write to it (but to folders with the sticky bit), and none of it lies below `folder`, which a
 * daemon that was taken over may write to; NULL, or not there, = there is none. -1 with a sentence
 * that says what to do. */
int trust_check(const char *path, const char *folder, struct error *err);

#endif
