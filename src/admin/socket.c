#include "admin/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/listener.h"

#define BACKLOG   128
#define UNIX_MODE 0660

static int to_endpoint(const struct address *a, struct endpoint *e, struct error *err)
{
	if (a->kind == ADDRESS_NAME && strcasecmp(a->host, "localhost") == 0) {
		*e = (struct endpoint){.len = sizeof(e->in)};
		e->in.sin_family = AF_INET;
		e->in.sin_port = htons(a->port);
		e->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return 0;
	}
	return address_to_endpoint(a, e, err);
}

static int new_socket(struct endpoint *e, const struct address *a)
{
	int fd = socket(e->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, v6only = a->kind != ADDRESS_ANY;

	if (fd < 0 && errno == EAFNOSUPPORT && a->kind == ADDRESS_ANY) {
		/* A kernel without IPv6: every address is every IPv4 address. */
		*e = (struct endpoint){.len = sizeof(e->in)};
		e->in.sin_family = AF_INET;
		e->in.sin_port = htons(a->port);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	}
	if (fd < 0 || e->sa.sa_family == AF_UNIX)
		return fd;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (e->sa.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	return fd;
}

/* True when nobody answers at the path: only then it may be removed. Something there that is no
 * socket refuses a connection too, so its kind is looked at first. */
static bool is_stale(const struct endpoint *e)
{
	struct stat st;
	bool stale;
	int fd;

	if (lstat(e->un.sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, &e->sa, e->len) < 0 && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int bind_unix(struct admin_socket *s, const struct endpoint *e)
{
	struct stat st;
	int rc;

	/* Linux makes the file with the mode of the socket less the umask, so that there is no
	 * moment at which it is open to everybody; chmod() then adds what the umask took. */
	if (fchmod(s->fd, UNIX_MODE) < 0)
		return -1;
	rc = bind(s->fd, &e->sa, e->len);
	if (rc < 0 && errno == EADDRINUSE && is_stale(e)) {
		unlink(e->un.sun_path);
		rc = bind(s->fd, &e->sa, e->len);
	}
	if (rc < 0)
		return -1;
	if (chmod(e->un.sun_path, UNIX_MODE) < 0 || lstat(e->un.sun_path, &st) < 0)
		return -1;
	s->path = mem_strdup(e->un.sun_path);
	s->dev = st.st_dev;
	s->ino = st.st_ino;
	return 0;
}

int admin_socket_open(struct admin_socket *s, const struct address *address, struct error *err)
{
	struct endpoint e;
	int rc;

	*s = (struct admin_socket){.fd = -1};
	if (to_endpoint(address, &e, err) < 0)
		return -1;
	s->fd = new_socket(&e, address);
	if (s->fd < 0)
		return error_set_errno(err, "cannot make a socket for %s", address->text);
	rc = e.sa.sa_family == AF_UNIX ? bind_unix(s, &e) : bind(s->fd, &e.sa, e.len);
	if (rc == 0)
		rc = listen(s->fd, BACKLOG);
	if (rc == 0)
		return 0;
	listener_bind_error(address, err);
	close(s->fd);
	admin_socket_clear(s);
	return -1;
}

void admin_socket_clear(struct admin_socket *s)
{
	struct stat st;

	if (s->path && lstat(s->path, &st) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
		unlink(s->path);
	free(s->path);
	*s = (struct admin_socket){.fd = -1};
}
