/* A certificate's two files as one. They may lie in different directories and are regular files, so
 * no single rename swaps them: both are written beside their targets and synced, then renamed one
 * right after the other; a crash in between is repaired from what the files hold. Blocking:
 * start-up, or a job. */
#ifndef LINTEL_AUTOCERT_STORE_H
#define LINTEL_AUTOCERT_STORE_H

#include "base/error.h"

/* Writes the certificate 0644 and the key 0600, the directories 0755 where they are missing. A
 * failure leaves the old pair in place. */
int store_write_pair(const char *cert_path, const char *cert_pem, const char *key_path,
	const char *key_pem, struct error *err);

/* Ends or takes back a swap that was cut off; does nothing where none was. */
int store_repair_pair(const char *cert_path, const char *key_path, struct error *err);

#endif
