/* The sandbox (option `sandbox`): what a daemon that was taken over can still do. Control thread,
 * once, at start: after privileges_drop(), and before any other thread exists, the log's included
 * (they inherit it; Landlock cannot be laid on threads that run). It cannot be left again.
 *
 * - No new privileges: setuid programs and file capabilities are nothing to this process.
 * - Landlock: files may be read anywhere as before, but written, made, renamed and removed only
 *   beneath the paths given (and /dev/null); no program can be started. Kernels before 6.2 do not
 *   cover truncate(), those before 5.13 nothing.
 * - seccomp, an allow-list of calls:
 *   - what is on no list is answered ENOSYS, the answer of a kernel that lacks the call. Libraries
 *     try new calls first and know how to do without, where EPERM makes them fail (glibc's clone3);
 *   - what no library of ours calls for a good reason ends the process: execve, ptrace and the
 *     memory of others, mounts and namespaces, bpf, perf, userfaultfd, keys, modules, reboot;
 *   - clone() makes threads, not processes; sockets are unix, IPv4, IPv6 and netlink route ones;
 *     memory is never writable and executable at once, nor made executable afterwards; signals go
 *     to this process only; ioctl() reads, and sets non-blocking.
 *   In builds with AddressSanitizer or ThreadSanitizer this part is left out: their runtimes need
 *   calls that are not on the list (ptrace and fork among them).
 *
 * What the kernel lacks is left out with a line in the debug log, never a failure.
 *
 * What a reload can no longer do: write to a log in a folder, or make a unix socket in one, that
 * was not among `write_paths` at start. Start processes before. */
#ifndef LINTEL_BASE_SANDBOX_H
#define LINTEL_BASE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* `write_paths` (n, each there already) are files, or folders with all that is beneath them. */
int sandbox_enter(const char *const *write_paths, size_t n, struct error *err);

/* Whether the file system part is in force. */
bool sandbox_is_entered(void);
/* Goes behind "Permission denied" where something was to be written: what would mend it. */
const char *sandbox_write_hint(void);

#endif
