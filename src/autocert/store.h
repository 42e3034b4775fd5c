/* What autocert keeps: certificates, keys, marks and the state of each provider. Today all of it
 * lies in files of this machine; whatever else may keep it one day stands behind these functions.
 *
 * A certificate's two files are one: they may lie in different directories and are regular files,
 * so no single rename swaps them. Both are written beside their targets and synced, then renamed
 * one right after the other; a crash in between is repaired from what the files hold. Blocking:
 * start-up, or a job. */
#ifndef LINTEL_AUTOCERT_STORE_H
#define LINTEL_AUTOCERT_STORE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "conf/conf.h"

/* Writes the certificate 0644 and the key 0600, the directories 0755 where they are missing. A
 * failure leaves the old pair in place. */
int store_write_pair(const char *cert_path, const char *cert_pem, const char *key_path,
	const char *key_pem, struct error *err);

/* While they are held no pair is swapped: whoever reads some finds both files of each from the same
 * order. Not to be held while one of the functions here is called. */
void store_hold_pairs(void);
void store_release_pairs(void);

/* Ends or takes back a swap that was cut off; does nothing where none was. */
int store_repair_pair(const char *cert_path, const char *key_path, struct error *err);

/* Whether a file could be made in the folder of `path`, which is made where it is missing. */
int store_check_folder(const char *path, struct error *err);

/* The same, with the same sentence, and nothing is made. */
int store_would_check_folder(const char *path, struct error *err);

/* Whether there is room in the folder of `path` for all that an order writes. */
int store_check_room(const char *path, struct error *err);

/* The failure mark, `.last_failure-<id>` beside the certificate, 0600: one RFC 3339 time. */
int store_mark_failure(const struct conf_autocert *a, int64_t at, struct error *err);
void store_clear_failure(const struct conf_autocert *a);
int64_t store_last_failure(const struct conf_autocert *a); /* 0 = there is none that can be read */

/* The key of a certificate that is ordered, but not there yet: state_dir/autocert/<id>.key, 0600.
 */
int store_put_order_key(const char *state_dir, const char *id, EVP_PKEY *key, struct error *err);
EVP_PKEY *store_get_order_key(const char *state_dir, const char *id, struct error *err);
void store_drop_order_key(const char *state_dir, const char *id);

/* HMAC-SHA-256, in hex, by a key of this state_dir that is made as needed:
 * autocert/fingerprint-key, 0600. Who sees the result cannot try what went into it. -1 with a
 * sentence. */
int store_keyed_hash(
	const char *state_dir, const void *data, size_t len, char hex[65], struct error *err);

/* The account key at `path`, PEM or DER; made where there is none (*made). One that is no key is
 * kept aside with a warning and a new one made: the CA will know it as a new account. One that may
 * not be read, now, is an error. NULL with a sentence. */
EVP_PKEY *store_account_key(const char *path, bool *made, struct error *err);
/* Puts another one in its place (a rollover). */
int store_put_account_key(const char *path, EVP_PKEY *key, struct error *err);

/* Held by whoever uses the account key, together; alone by who changes it, which is refused while
 * somebody uses it. The lock, or -1 with a sentence. */
int store_lock_account(const char *path, bool exclusive, struct error *err);
void store_unlock_account(int lock); /* -1 is fine */

/* Puts what is no good out of the way, PATH.broken-<time>, with a warning that says so. Nothing
 * there is fine. */
int store_put_aside(const char *path, struct error *err);

#endif
