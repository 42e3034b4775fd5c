#include "tls/cert_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "tls/cert_pair.h"

#define SETTLED_NS INT64_C(2000000000) /* git's rule; FAT stamps by two seconds */
#define READ_TRIES 3
#define PAIR_TRIES 3

static int64_t nanoseconds(struct timespec t)
{
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fill_stamp(struct cert_stamp *s, const struct stat *st)
{
	*s = (struct cert_stamp){
		.dev = st->st_dev,
		.ino = st->st_ino,
		.size = (uint64_t)st->st_size,
		.mtime_ns = nanoseconds(st->st_mtim),
		.ctime_ns = nanoseconds(st->st_ctim),
	};
}

static bool equal(const struct cert_stamp *a, const struct cert_stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

int cert_stamp_get(struct cert_stamp *s, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -1;
	fill_stamp(s, &st);
	return 0;
}

bool cert_stamp_same(const struct cert_stamp *then, const struct cert_stamp *now)
{
	return then->settled && equal(then, now);
}

static int check_file(const char *path, const struct stat *st, struct error *err)
{
	if (!S_ISREG(st->st_mode))
		return error_set(err, "%s is not a regular file", path);
	if (st->st_size == 0)
		return error_set(err, "%s is empty", path);
	if (st->st_size > CERT_FILE_MAX)
		return error_set(err, "%s has %lld bytes: a PEM file with more than %d is refused",
			path, (long long)st->st_size, CERT_FILE_MAX);
	return 0;
}

/* Certificates may be read by anyone, whatever the option that names their file. */
static int check_mode(const char *path, const struct stat *st, const char *data, struct error *err)
{
	if (!(st->st_mode & S_IROTH) || !memmem(data, (size_t)st->st_size, "PRIVATE KEY-----", 16))
		return 0;
	return error_set(err,
		"%s holds a private key and everyone on this machine may read it (mode %04o): run "
		"chmod o-rwx on it",
		path, (unsigned)(st->st_mode & 07777));
}

static char *read_all(int fd, size_t size, const char *path, struct error *err)
{
	char *data = mem_alloc(size + 1);
	size_t got = 0;

	while (got < size) {
		ssize_t n = pread(fd, data + got, size - got, (off_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n < 0)
				error_set_errno(err, "cannot read %s", path);
			else
				error_set(err, "%s got shorter while it was read", path);
			OPENSSL_cleanse(data, got);
			free(data);
			return NULL;
		}
		got += (size_t)n;
	}
	data[size] = '\0';
	return data;
}

/* One try: 1 when the file changed meanwhile. */
static int try_read(
	const char *path, struct cert_text *out, struct cert_stamp *stamp, struct error *err)
{
	struct cert_stamp after;
	struct timespec now;
	struct stat st;
	char *data = NULL;
	int rc = -1, fd = file_open(path, err);

	if (fd < 0)
		return -1;
	clock_gettime(CLOCK_REALTIME, &now);
	if (fstat(fd, &st) < 0) {
		error_set_errno(err, "cannot read %s", path);
		goto out;
	}
	if (check_file(path, &st, err) < 0)
		goto out;
	fill_stamp(stamp, &st);
	stamp->settled = stamp->ctime_ns < nanoseconds(now) - SETTLED_NS;
	data = read_all(fd, (size_t)st.st_size, path, err);
	if (fstat(fd, &st) == 0) {
		fill_stamp(&after, &st);
		if (!equal(stamp, &after)) {
			rc = 1;
			goto out;
		}
	}
	if (!data || check_mode(path, &st, data, err) < 0)
		goto out;
	*out = (struct cert_text){.label = path, .data = data, .len = stamp->size};
	data = NULL;
	rc = 0;
out:
	if (data) {
		OPENSSL_cleanse(data, stamp->size);
		free(data);
	}
	close(fd);
	return rc;
}

static int read_file(
	const char *path, struct cert_text *out, struct cert_stamp *stamp, struct error *err)
{
	for (int i = 0; i < READ_TRIES; i++) {
		int rc = try_read(path, out, stamp, err);

		if (rc <= 0)
			return rc;
	}
	return error_set(err, "%s was changed again and again while it was read", path);
}

static void clear_text(struct cert_text *t)
{
	if (!t->data)
		return;
	OPENSSL_cleanse((void *)t->data, t->len);
	free((void *)t->data);
}

static struct cert *load_once(
	const char *cert_file, const char *key_file, struct cert_stamp stamps[2], struct error *err)
{
	struct cert_text cert = {0}, key = {0};
	struct cert *c = NULL;

	if (read_file(cert_file, &cert, &stamps[0], err) < 0)
		goto out;
	if (key_file && read_file(key_file, &key, &stamps[1], err) < 0)
		goto out;
	c = cert_from_texts(&cert, key_file ? &key : NULL, err);
out:
	clear_text(&cert);
	clear_text(&key);
	return c;
}

struct cert *cert_load_stamped(
	const char *cert_file, const char *key_file, struct cert_stamp stamps[2], struct error *err)
{
	static const struct timespec pause = {0, 20 * 1000 * 1000};

	for (int i = 1;; i++) {
		struct cert *c;

		stamps[0].settled = stamps[1].settled = true;
		c = load_once(cert_file, key_file, stamps, err);
		/* Files that were just written may be half of a swap: whoever writes them needs two
		 * renames, and is between them for microseconds. */
		if (c || !key_file || (stamps[0].settled && stamps[1].settled) || i == PAIR_TRIES)
			return c;
		nanosleep(&pause, NULL);
	}
}
