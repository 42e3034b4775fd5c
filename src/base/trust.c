#include "base/trust.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define LINKS_MAX 40 /* as the kernel */

struct walk {
	const char *path;
	char *at;   /* what was looked at already, without a symbolic link in it; "" = the root */
	char *left; /* what comes behind it */
	const char *folder;
	bool has_folder;
	struct stat of_folder;
	unsigned links;
};

static int check_owner(const struct walk *w, const char *path, uid_t owner, struct error *err)
{
	if (owner == 0 || owner == geteuid() || (w->has_folder && owner == w->of_folder.st_uid))
		return 0;
	return error_set(err,
		"%s belongs to another user (uid %u), who could put another program in its place: "
		"chown root it",
		path, (unsigned)owner);
}

static int check(const struct walk *w, const char *path, const struct stat *st, struct error *err)
{
	if (check_owner(w, path, st->st_uid, err) < 0)
		return -1;
	if (S_ISLNK(st->st_mode))
		return 0;
	if (S_ISDIR(st->st_mode) && w->has_folder && st->st_dev == w->of_folder.st_dev &&
		st->st_ino == w->of_folder.st_ino)
		return error_set(err,
			"%s lies below %s, where the daemon writes, and so whoever takes it over "
			"could put another program in its place: move it elsewhere, to a folder of "
			"root's",
			w->path, w->folder);
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) &&
		!(S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX)))
		return error_set(err,
			"others than its owner may write to %s, and so put another program in its "
			"place: chmod go-w it",
			path);
	return 0;
}

static char *read_link(const char *path, struct error *err)
{
	char target[PATH_MAX];
	ssize_t n = readlink(path, target, sizeof(target));

	if (n > 0 && (size_t)n < sizeof(target))
		return mem_strndup(target, (size_t)n);
	error_set_errno(err, "cannot read the link %s", path);
	return NULL;
}

/* The next part of what is left: 1 when there is nothing any more. */
static int step(struct walk *w, struct error *err)
{
	const char *name = w->left + strspn(w->left, "/");
	size_t len = strcspn(name, "/");
	char *path = mem_printf("%s/%.*s", w->at, (int)len, name), *rest = mem_strdup(name + len),
	     *target = NULL;
	struct stat st;
	int rc = !len;

	if (rc)
		goto out;
	if (lstat(path, &st) < 0)
		rc = error_set_errno(err, "cannot look at %s", path);
	else
		rc = check(w, path, &st, err);
	if (rc == 0 && S_ISLNK(st.st_mode)) {
		target = ++w->links > LINKS_MAX ? NULL : read_link(path, err);
		rc = target ? 0 : -1;
		if (w->links > LINKS_MAX)
			error_set(err, "%s: too many symbolic links", path);
	}
	free(w->left);
	w->left = target ? mem_printf("%s%s", target, rest) : mem_strdup(rest);
	if (!target || *target == '/') {
		free(w->at);
		w->at = mem_strdup(target ? "" : path);
	}
out:
	free(target);
	free(rest);
	free(path);
	return rc;
}

int trust_check(const char *path, const char *folder, struct error *err)
{
	struct walk w = {
		.path = path, .at = mem_strdup(""), .left = mem_strdup(path), .folder = folder};
	struct stat root;
	int rc;

	w.has_folder = folder && stat(folder, &w.of_folder) == 0;
	rc = stat("/", &root) < 0 ? error_set_errno(err, "cannot look at /")
				  : check(&w, "/", &root, err);
	while (rc == 0)
		rc = step(&w, err);
	free(w.at);
	free(w.left);
	return rc < 0 ? -1 : 0;
}
