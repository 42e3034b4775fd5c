#include "autocert/store.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "tls/cert.h"

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

int store_write_pair(const char *cert_path, const char *cert_pem, const char *key_path,
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

#define NO_PAIR INT64_MIN

/* The not-before of the certificate when the two files are a pair. */
static int64_t pair_date(const char *cert_path, const char *key_path)
{
	struct cert *c = cert_load(cert_path, key_path, NULL);
	int64_t date = c ? c->not_before : NO_PAIR;

	cert_unref(c);
	return date;
}

int store_repair_pair(const char *cert_path, const char *key_path, struct error *err)
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
