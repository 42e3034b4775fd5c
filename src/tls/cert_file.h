/* Certificate and key files: read whole and unchanged, with what a later build needs to see that
 * they have not changed since. Blocking: start-up, or a job. */
#ifndef LINTEL_TLS_CERT_FILE_H
#define LINTEL_TLS_CERT_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "tls/cert.h"

/* Device and ctime are in it because `cp -p` and `touch -r` keep the mtime, P-256 files keep their
 * size, and inode numbers are used again at once. */
struct cert_stamp {
	uint64_t dev, ino, size;
	int64_t mtime_ns, ctime_ns;
	/* The ctime lay further back than a clock tick of the coarsest file system when the file
	 * was read, so that a later write shows in it. */
	bool settled;
};

/* Follows symbolic links. -1 when the file is not to be had. */
int cert_stamp_get(struct cert_stamp *s, const char *path);
/* Whether a file read under `then` has the same content at `now`; false when in doubt. */
bool cert_stamp_same(const struct cert_stamp *then, const struct cert_stamp *now);

/* cert_load(), and the files' stamps, the certificate's first; the second is left alone when
 * `key_file` is NULL. */
struct cert *cert_load_stamped(const char *cert_file, const char *key_file,
	struct cert_stamp stamps[2], struct error *err);

#endif
