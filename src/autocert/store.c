#include "autocert/store.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "acme/key.h"
#include "acme/problem.h"
#include "autocert/key.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "tls/cert.h"

#define ROOM (256 << 10) /* bytes: a dozen small files, some of them twice */

enum { HASH_KEY_SIZE = 32 };

static int make_folder_of(const char *path, struct error *err)
{
	char *folder = file_folder(path);
	int rc = file_make_dirs(folder, 0755, err);

	free(folder);
	return rc;
}

static int sync_folders(const char *cert_path, const char *key_path, struct error *err)
{
	return file_sync_folder(key_path, err) < 0 ? -1 : file_sync_folder(cert_path, err);
}

/* A reload, which repairs and reads, must not meet a swap in the middle. */
static pthread_mutex_t pairs = PTHREAD_MUTEX_INITIALIZER;

void store_hold_pairs(void)
{
	pthread_mutex_lock(&pairs);
}

void store_release_pairs(void)
{
	pthread_mutex_unlock(&pairs);
}

static int write_pair(const char *cert_path, const char *cert_pem, const char *key_path,
	const char *key_pem, struct error *err)
{
	if (make_folder_of(key_path, err) < 0 || make_folder_of(cert_path, err) < 0 ||
		file_stage(key_path, key_pem, strlen(key_pem), 0600, err) < 0 ||
		file_stage(cert_path, cert_pem, strlen(cert_pem), 0644, err) < 0 ||
		sync_folders(cert_path, key_path, err) < 0)
		return -1;
	/* Nothing may stand between these two. */
	if (file_commit(key_path, err) < 0 || file_commit(cert_path, err) < 0)
		return -1;
	return sync_folders(cert_path, key_path, err);
}

int store_write_pair(const char *cert_path, const char *cert_pem, const char *key_path,
	const char *key_pem, struct error *err)
{
	int rc;

	store_hold_pairs();
	rc = write_pair(cert_path, cert_pem, key_path, key_pem, err);
	store_release_pairs();
	return rc;
}

#define NO_PAIR INT64_MIN

/* The not-before of the certificate when the two files are a pair. */
static int64_t pair_date(const char *cert_path, const char *key_path)
{
	struct cert *c = cert_load(cert_path, key_path, NULL);
	int64_t date = c ? c->not_before : NO_PAIR;

	cert_unref(c);
	return date;
}

static int repair_pair(const char *cert_path, const char *key_path, struct error *err)
{
	char *new_cert = mem_printf("%s.new", cert_path), *new_key = mem_printf("%s.new", key_path);
	int64_t staged, in_place;
	int rc = 0;

	if (access(new_cert, F_OK) < 0 && access(new_key, F_OK) < 0)
		goto out;
	staged = pair_date(new_cert, new_key);
	in_place = pair_date(cert_path, key_path);
	if (staged != NO_PAIR && staged >= in_place) {
		rc = file_commit(key_path, err) < 0 ? -1 : file_commit(cert_path, err);
	} else if (in_place == NO_PAIR) {
		if (pair_date(new_cert, key_path) != NO_PAIR)
			rc = file_commit(cert_path, err);
		else if (pair_date(cert_path, new_key) != NO_PAIR)
			rc = file_commit(key_path, err);
	}
	if (rc < 0)
		goto out;
	log_info("%s: repaired after a swap that was cut off", cert_path);
	unlink(new_cert);
	unlink(new_key);
	/* One of the folders may not be there. */
	file_sync_folder(key_path, NULL);
	file_sync_folder(cert_path, NULL);
out:
	free(new_cert);
	free(new_key);
	return rc;
}

int store_repair_pair(const char *cert_path, const char *key_path, struct error *err)
{
	int rc;

	store_hold_pairs();
	rc = repair_pair(cert_path, key_path, err);
	store_release_pairs();
	return rc;
}

int store_check_folder(const char *path, struct error *err)
{
	char *probe = mem_printf("%s.probe", path);
	int rc = make_folder_of(path, err), fd;

	if (rc == 0) {
		unlink(probe);
		fd = open(probe, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0)
			rc = file_write_error(err, "cannot write", path);
		else
			close(fd);
		unlink(probe);
	}
	free(probe);
	return rc;
}

int store_would_check_folder(const char *path, struct error *err)
{
	char *folder = file_folder(path);
	int rc = file_check_dirs(folder, err);

	if (rc == 0 && faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) < 0)
		rc = file_write_error(err, "cannot write", path);
	free(folder);
	return rc < 0 ? -1 : 0;
}

int store_check_room(const char *path, struct error *err)
{
	char *folder = file_folder(path);
	struct statvfs fs;
	int rc = 0;

	if (statvfs(folder, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < ROOM) {
		errno = ENOSPC;
		rc = error_set_errno(err, "less than %d KiB are free in %s", ROOM >> 10, folder);
	}
	free(folder);
	return rc;
}

int store_put_aside(const char *path, struct error *err)
{
	char *aside = mem_printf("%s.broken-%lld", path, (long long)clock_wall_s());
	int rc = 0;

	if (rename(path, aside) == 0)
		log_warn("%s is kept as %s", path, aside);
	else if (errno != ENOENT)
		rc = error_set_errno(err, "cannot rename %s to %s", path, aside);
	free(aside);
	return rc;
}

/* Failure marks */

static char *mark_path(const struct conf_autocert *a)
{
	char *folder = file_folder(a->cert_path);
	char *path = mem_printf("%s/.last_failure-%s", folder, a->id);

	free(folder);
	return path;
}

int store_mark_failure(const struct conf_autocert *a, int64_t at, struct error *err)
{
	char *path = mark_path(a), date[CLOCK_RFC3339_SIZE];
	int rc = make_folder_of(path, err);

	clock_rfc3339(date, at, -1);
	if (rc == 0)
		rc = file_write(path, date, strlen(date), 0600, err);
	free(path);
	return rc;
}

void store_clear_failure(const struct conf_autocert *a)
{
	char *path = mark_path(a);

	unlink(path);
	free(path);
}

int64_t store_last_failure(const struct conf_autocert *a)
{
	char *path = mark_path(a);
	size_t len;
	char *text = file_read(path, 100, &len, NULL);
	int64_t at = text ? clock_from_rfc3339(text) : 0;

	free(text);
	free(path);
	return at;
}

/* Keys */

static int put_key(const char *path, EVP_PKEY *key, struct error *err)
{
	char *pem = key_pem(key, err);
	int rc = pem ? make_folder_of(path, err) : -1;

	if (rc == 0)
		rc = file_write(path, pem, strlen(pem), 0600, err);
	key_pem_free(pem);
	return rc;
}

/* Frees what a key file held; NULL is fine. */
static void wipe(char *data, size_t len)
{
	if (data)
		OPENSSL_cleanse(data, len);
	free(data);
}

static pthread_mutex_t hash_key = PTHREAD_MUTEX_INITIALIZER; /* made once */

/* One that is no good is replaced: hashes of before match none of now, then. */
static int get_hash_key(const char *path, unsigned char key[HASH_KEY_SIZE], struct error *err)
{
	size_t len = 0;
	char *data = file_read(path, HASH_KEY_SIZE, &len, NULL);
	bool good = data && len == HASH_KEY_SIZE;

	if (good)
		memcpy(key, data, HASH_KEY_SIZE);
	wipe(data, len);
	if (good)
		return 0;
	if (RAND_bytes(key, HASH_KEY_SIZE) != 1)
		abort();
	if (make_folder_of(path, err) < 0)
		return -1;
	return file_write(path, key, HASH_KEY_SIZE, 0600, err);
}

int store_keyed_hash(
	const char *state_dir, const void *data, size_t len, char hex[65], struct error *err)
{
	char *path = mem_printf("%s/autocert/fingerprint-key", state_dir);
	unsigned char key[HASH_KEY_SIZE], hash[32];
	int rc;

	pthread_mutex_lock(&hash_key);
	rc = get_hash_key(path, key, err);
	pthread_mutex_unlock(&hash_key);
	if (rc == 0 && !HMAC(EVP_sha256(), key, HASH_KEY_SIZE, data, len, hash, NULL))
		abort(); /* out of memory */
	if (rc == 0)
		str_hex(hex, hash, sizeof(hash));
	OPENSSL_cleanse(key, sizeof(key));
	free(path);
	return rc;
}

static char *order_key_path(const char *state_dir, const char *id)
{
	return mem_printf("%s/autocert/%s.key", state_dir, id);
}

int store_put_order_key(const char *state_dir, const char *id, EVP_PKEY *key, struct error *err)
{
	char *path = order_key_path(state_dir, id);
	int rc = put_key(path, key, err);

	free(path);
	return rc;
}

EVP_PKEY *store_get_order_key(const char *state_dir, const char *id, struct error *err)
{
	char *path = order_key_path(state_dir, id);
	size_t len;
	char *data = file_read(path, CERT_FILE_MAX, &len, err);
	EVP_PKEY *key = data ? key_parse(data, len, err) : NULL;

	if (data && !key)
		error_prefix(err, "%s", path);
	wipe(data, len);
	free(path);
	return key;
}

void store_drop_order_key(const char *state_dir, const char *id)
{
	char *path = order_key_path(state_dir, id);

	unlink(path);
	free(path);
}

int store_put_account_key(const char *path, EVP_PKEY *key, struct error *err)
{
	return put_key(path, key, err);
}

static EVP_PKEY *make_account_key(const char *path, struct error *err)
{
	EVP_PKEY *key = key_make(KEY_EC256, err);

	if (key && put_key(path, key, err) < 0) {
		EVP_PKEY_free(key);
		return NULL;
	}
	if (key)
		log_info("account key %s: made", path);
	return key;
}

/* 1 and the key, 0 when there is none that is any good, -1 where nobody can tell. */
static int read_account_key(const char *path, EVP_PKEY **key, struct error *err)
{
	struct error why;
	size_t len;
	char *data;

	if (access(path, F_OK) < 0 && errno == ENOENT)
		return 0;
	data = file_read(path, CERT_FILE_MAX, &len, err);
	if (!data)
		return error_prefix(err, "the account key");
	*key = acme_key_parse(data, len, &why);
	wipe(data, len);
	if (*key)
		return 1;
	log_warn("account key %s %s: a new one is made, and with it a new account", path, why.text);
	return store_put_aside(path, err);
}

/* Several providers share an account: the lock is for jobs that come at the same time. */
EVP_PKEY *store_account_key(const char *path, bool *made, struct error *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	EVP_PKEY *key = NULL;
	int found;

	pthread_mutex_lock(&lock);
	found = read_account_key(path, &key, err);
	*made = found == 0;
	if (*made)
		key = make_account_key(path, err);
	pthread_mutex_unlock(&lock);
	return key;
}

int store_lock_account(const char *path, bool exclusive, struct error *err)
{
	char *name = mem_printf("%s.lock", path);
	int fd = -1;

	if (make_folder_of(path, err) < 0)
		goto out;
	fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		file_write_error(err, "cannot make", name);
	} else if (flock(fd, exclusive ? LOCK_EX | LOCK_NB : LOCK_SH) < 0) {
		error_set(err,
			"the account key %s is being used by an order: try again in a moment",
			path);
		close(fd);
		fd = -1;
	}
out:
	free(name);
	return fd;
}

void store_unlock_account(int lock)
{
	if (lock >= 0)
		close(lock);
}
