#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sandbox.h"

/* The effective user, as the sentence's reader knows it. */
static const char *user_name(char out[64])
{
	struct passwd pw, *found = NULL;
	char room[1024];

	if (getpwuid_r(geteuid(), &pw, room, sizeof(room), &found) == 0 && found)
		snprintf(out, 64, "%s", pw.pw_name);
	else
		snprintf(out, 64, "number %u", (unsigned)geteuid());
	return out;
}

int file_open(const char *path, struct error *err)
{
	char user[64];
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), saved = errno;

	if (fd >= 0)
		return fd;
	if (saved == ENOENT || saved == ENOTDIR)
		return error_set(
			err, "%s does not exist: correct the path, or put the file there", path);
	if (saved == EACCES)
		return error_set(err,
			"user %s may not read %s: give it the right to read the file and to enter "
			"its directories",
			user_name(user), path);
	errno = saved;
	return error_set_errno(err, "cannot open %s", path);
}

int file_write_error(struct error *err, const char *what, const char *path)
{
	const char *advice = "";

	if (errno == ENOENT)
		return error_set(err, "%s %s: its folder does not exist: make it", what, path);
	if (errno == EACCES)
		advice = sandbox_write_hint();
	else if (errno == ENOSPC || errno == EDQUOT)
		advice = ": make room there";
	else if (errno == EROFS)
		advice = ": make it writable, or choose another path";
	return error_set(err, "%s %s: %s%s", what, path, strerror(errno), advice);
}

char *file_read(const char *path, size_t max, size_t *len, struct error *err)
{
	struct stat st;
	char *data = NULL;
	size_t got = 0;
	ssize_t n;
	int fd = file_open(path, err);

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0) {
		error_set_errno(err, "cannot read %s", path);
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		error_set(err, "%s is not a regular file", path);
		goto fail;
	}
	if ((unsigned long long)st.st_size > max) {
		error_set(err, "%s has more than %zu bytes", path, max);
		goto fail;
	}
	data = mem_alloc((size_t)st.st_size + 1);
	while (got < (size_t)st.st_size) {
		n = read(fd, data + got, (size_t)st.st_size - got);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			error_set_errno(err, "cannot read %s", path);
			goto fail;
		}
		if (n == 0)
			break;
		got += (size_t)n;
	}
	close(fd);
	data[got] = '\0';
	*len = got;
	return data;
fail:
	free(data);
	close(fd);
	return NULL;
}

void file_hash(const char *path, size_t max, unsigned char hash[32])
{
	size_t len;
	char *data = file_read(path, max, &len, NULL);

	memset(hash, 0, 32);
	if (!data)
		return;
	SHA256((unsigned char *)data, len, hash);
	OPENSSL_cleanse(data, len);
	free(data);
}

char *file_folder(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return mem_strdup(".");
	return mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

char *file_resolve(const char *folder, const char *path)
{
	return path[0] == '/' ? mem_strdup(path) : mem_printf("%s/%s", folder, path);
}

int file_sync_folder(const char *path, struct error *err)
{
	char *folder = file_folder(path);
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0 || fsync(fd) < 0)
		rc = error_set_errno(err, "cannot sync the directory %s", folder);
	if (fd >= 0)
		close(fd);
	free(folder);
	return rc;
}

static int write_synced(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd);
}

int file_stage(const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
	char *temp = mem_printf("%s.new", path);
	int fd, rc = -1;

	/* A file that is there keeps its old mode under O_TRUNC: a new one is made. */
	unlink(temp);
	fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0) {
		file_write_error(err, "cannot create", temp);
		goto out;
	}
	rc = 0;
	if (fchmod(fd, mode) < 0 || write_synced(fd, data, len) < 0) {
		rc = file_write_error(err, "cannot write", temp);
		unlink(temp);
	}
	close(fd);
out:
	free(temp);
	return rc;
}

int file_commit(const char *path, struct error *err)
{
	char *temp = mem_printf("%s.new", path);
	int rc = 0;

	if (rename(temp, path) < 0) {
		rc = error_set_errno(err, "cannot rename %s to %s", temp, path);
		unlink(temp);
	}
	free(temp);
	return rc;
}

int file_write(const char *path, const void *data, size_t len, mode_t mode, struct error *err)
{
	if (file_stage(path, data, len, mode, err) < 0 || file_commit(path, err) < 0)
		return -1;
	return file_sync_folder(path, err);
}

static int say_no_dir(const char *path, struct error *err)
{
	return error_set(err, "cannot make the directory %s: a file has that name", path);
}

static int make_dir(const char *path, mode_t mode, struct error *err)
{
	struct stat st;

	if (mkdir(path, mode) == 0) {
		if (chmod(path, mode) < 0) /* the umask took its share */
			return error_set_errno(err, "cannot set the mode of %s", path);
		return 0;
	}
	if (errno != EEXIST)
		return file_write_error(err, "cannot make the directory", path);
	if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
		return say_no_dir(path, err);
	return 0;
}

/* What make_dir() would say; 1 = it, and what is to be in it, could be made. */
static int check_dir(const char *path, mode_t mode, struct error *err)
{
	char *folder;
	struct stat st;
	int rc = 0;

	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? 0 : say_no_dir(path, err);
	if (errno != ENOENT)
		return file_write_error(err, "cannot make the directory", path);
	folder = file_folder(path);
	rc = faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0
		     ? 1
		     : file_write_error(err, "cannot make the directory", path);
	free(folder);
	return rc;
}

/* One step for each directory on the way, until one says otherwise than 0. */
static int walk(const char *path, mode_t mode,
	int (*step)(const char *path, mode_t mode, struct error *err), struct error *err)
{
	char *copy = mem_strdup(path), *p = copy;
	int rc = 0;

	while (*p && rc == 0) {
		char kept;

		p += strspn(p, "/");
		p += strcspn(p, "/");
		kept = *p;
		*p = '\0';
		rc = step(copy, mode, err);
		*p = kept;
	}
	free(copy);
	return rc;
}

int file_make_dirs(const char *path, mode_t mode, struct error *err)
{
	return walk(path, mode, make_dir, err);
}

int file_check_dirs(const char *path, struct error *err)
{
	return walk(path, 0, check_dir, err);
}

int file_check_write(const char *what, const char *path, struct error *err)
{
	char *folder = file_folder(path);
	struct stat st;
	int rc;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		rc = -1;
	} else {
		rc = faccessat(AT_FDCWD, path, W_OK, AT_EACCESS);
		if (rc < 0 && errno == ENOENT)
			rc = faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS);
	}
	if (rc < 0)
		file_write_error(err, what, path);
	free(folder);
	return rc;
}

int file_make_folder(const char *path, mode_t mode, struct error *err)
{
	char *folder = file_folder(path);
	int rc = file_make_dirs(folder, mode, err);

	free(folder);
	return rc;
}

int file_lock(const char *path, struct error *err)
{
	char pid[16] = "";
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	ssize_t n;

	if (fd < 0)
		return file_write_error(err, FILE_OPENING_LOCK, path);
	if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
		n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
		if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
			error_set_errno(err, "cannot write the lock file %s", path);
			close(fd);
			return -1;
		}
		return fd;
	}
	if (errno != EWOULDBLOCK) {
		error_set_errno(err, "cannot lock %s", path);
	} else {
		n = pread(fd, pid, sizeof(pid) - 1, 0);
		pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
		error_set(err,
			"%s is held by another lintel%s%s: stop it, or give this one a state_dir "
			"of its own",
			path, *pid ? ", process " : "", pid);
	}
	close(fd);
	return -1;
}
