#include "base/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"

#define CAPABILITY_WORDS _LINUX_CAPABILITY_U32S_3
#define KEPT             (1u << CAP_NET_BIND_SERVICE) /* in the first word */
#define RECORD_MAX       (1u << 20)                   /* bytes of a user's record */

static int find_user(const char *user, uid_t *uid, gid_t *gid, struct error *err)
{
	struct passwd pw, *found = NULL;
	size_t size = 1024;
	char *buffer = mem_alloc(size);
	int rc;

	while ((rc = getpwnam_r(user, &pw, buffer, size, &found)) == ERANGE && size < RECORD_MAX) {
		size *= 2;
		buffer = mem_realloc_array(buffer, size, 1);
	}
	if (found) {
		*uid = pw.pw_uid;
		*gid = pw.pw_gid;
		rc = 0;
	} else if (!rc || rc == ENOENT || rc == ESRCH) {
		rc = error_set(err, "user: there is no user \"%s\" on this system", user);
	} else {
		errno = rc;
		rc = error_set_errno(err, "user: cannot look up \"%s\"", user);
	}
	free(buffer);
	return rc;
}

static int get_capabilities(struct __user_cap_data_struct caps[CAPABILITY_WORDS])
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};

	return (int)syscall(SYS_capget, &head, caps);
}

static int set_capabilities(uint32_t kept)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct caps[CAPABILITY_WORDS] = {
		{.permitted = kept, .effective = kept}};

	return (int)syscall(SYS_capset, &head, caps);
}

/* No program started from here gets any capability. Not allowed in some containers, which have
 * their own bound then: no reason to stop. */
static void empty_bounding_set(void)
{
	for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

static bool is_user(uid_t uid, gid_t gid)
{
	uid_t r, e, s;
	gid_t gr, ge, gs;

	return getresuid(&r, &e, &s) == 0 && r == uid && e == uid && s == uid &&
	       getresgid(&gr, &ge, &gs) == 0 && gr == gid && ge == gid && gs == gid;
}

static int verify(const char *user, uid_t uid, gid_t gid, uint32_t kept, struct error *err)
{
	struct __user_cap_data_struct caps[CAPABILITY_WORDS];

	if (!is_user(uid, gid) || setuid(0) == 0 || seteuid(0) == 0 || !is_user(uid, gid))
		return error_set(err, "user: the process did not become \"%s\" for good", user);
	if (get_capabilities(caps) < 0)
		return error_set_errno(err, "user: cannot read the capabilities");
	if (caps[0].permitted != kept || caps[0].effective != kept || caps[0].inheritable ||
		caps[1].permitted || caps[1].effective || caps[1].inheritable)
		return error_set(err, "user: more capabilities than CAP_NET_BIND_SERVICE are left");
	return 0;
}

int privileges_find(const char *user, struct error *err)
{
	uid_t uid;
	gid_t gid;

	return find_user(user, &uid, &gid, err);
}

int privileges_drop(const char *user, struct error *err)
{
	struct __user_cap_data_struct caps[CAPABILITY_WORDS];
	uid_t uid;
	gid_t gid;
	uint32_t kept;

	if (find_user(user, &uid, &gid, err) < 0)
		return -1;
	if (geteuid() == uid && getuid() == uid)
		return 0;
	if (geteuid() != 0)
		return error_set(
			err, "user: this process was not started as root, and is not \"%s\"", user);
	if (get_capabilities(caps) < 0)
		return error_set_errno(err, "user: cannot read the capabilities");
	kept = caps[0].permitted & KEPT; /* a container may have taken it away */
	if (initgroups(user, gid) < 0)
		return error_set_errno(err, "user: cannot take the groups of \"%s\"", user);
	if (setresgid(gid, gid, gid) < 0)
		return error_set_errno(err, "user: cannot take the group of \"%s\"", user);
	empty_bounding_set();
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, "user: cannot keep CAP_NET_BIND_SERVICE");
	if (setresuid(uid, uid, uid) < 0)
		return error_set_errno(err, "user: cannot become \"%s\"", user);
	if (set_capabilities(kept) < 0)
		return error_set_errno(err, "user: cannot keep CAP_NET_BIND_SERVICE alone");
	prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
	return verify(user, uid, gid, kept, err);
}

int privileges_give_up(struct error *err)
{
	empty_bounding_set();
	return set_capabilities(0) < 0 ? error_set_errno(err, "cannot give up capabilities") : 0;
}

int privileges_own(const char *path, const char *user, struct error *err)
{
	struct stat st;
	uid_t uid;
	gid_t gid;
	int fd, rc = 0;

	if (geteuid() != 0)
		return 0;
	if (find_user(user, &uid, &gid, err) < 0)
		return -1;
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		rc = error_set_errno(err, "user: cannot give %s to \"%s\"", path, user);
	else if (S_ISLNK(st.st_mode) || (!S_ISDIR(st.st_mode) && st.st_nlink != 1))
		rc = error_set(err,
			"user: %s is a link, and is not given to \"%s\": change its owner by hand",
			path, user);
	else if ((st.st_uid != uid || st.st_gid != gid) &&
		 fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
		rc = error_set_errno(err, "user: cannot give %s to \"%s\"", path, user);
	if (fd >= 0)
		close(fd);
	return rc;
}

int privileges_own_socket(int fd, const char *user, struct error *err)
{
	uid_t uid;
	gid_t gid;

	if (geteuid() != 0)
		return 0;
	if (find_user(user, &uid, &gid, err) < 0)
		return -1;
	if (fchown(fd, uid, gid) < 0)
		return error_set_errno(err, "user: cannot give a socket to \"%s\"", user);
	return 0;
}
