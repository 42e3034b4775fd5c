#include "proxy/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sandbox.h"

#define BACKLOG 4096 /* the kernel caps it at net.core.somaxconn */

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value));
}

/* A socket bound to the address, or -1 with errno. */
static int bound_socket(const struct endpoint *e, bool reuse_port)
{
	int fd = socket(e->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), saved;

	if (fd < 0)
		return -1;
	if (e->sa.sa_family == AF_INET6 && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY,
						   !IN6_IS_ADDR_UNSPECIFIED(&e->in6.sin6_addr)) < 0)
		goto fail;
	if (e->sa.sa_family != AF_UNIX &&
		(set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) < 0 ||
			(reuse_port && set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) < 0) ||
			set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1) <
				0)) /* accepted sockets inherit it */
		goto fail;
	if (bind(fd, &e->sa, e->len) < 0)
		goto fail;
	return fd;
fail:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* A file that is no socket. */
static bool is_other_file(const struct address *a)
{
	struct stat st;

	return a->kind == ADDRESS_UNIX && lstat(a->host, &st) == 0 && !S_ISSOCK(st.st_mode);
}

int listener_bind_error(const struct address *a, struct error *err)
{
	switch (errno) {
	case EADDRINUSE:
		if (is_other_file(a))
			return error_set(err, "%s exists and is no socket", a->text);
		return error_set(err,
			"%s is taken: another program (or another lintel) listens there", a->text);
	case EACCES:
		if (a->kind == ADDRESS_UNIX)
			return error_set(err, "cannot listen on %s: %s%s", a->text, strerror(errno),
				sandbox_write_hint());
		return error_set(err,
			"%s: not permitted: a port below 1024 needs root or CAP_NET_BIND_SERVICE",
			a->text);
	case ENOENT: /* of a unix socket */
		return error_set(
			err, "cannot listen on %s: its folder does not exist: make it", a->text);
	case EADDRNOTAVAIL:
		return error_set(err, "%s: this host does not have that address", a->text);
	default: return error_set_errno(err, "cannot listen on %s", a->text);
	}
}

static bool is_any(const struct endpoint *e)
{
	return e->sa.sa_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&e->in6.sin6_addr)
					   : e->in.sin_addr.s_addr == htonl(INADDR_ANY);
}

/* Whether a socket of ours is in the way of a bind without SO_REUSEPORT. */
static bool overlaps_ours(
	const struct listeners *others, const struct address *a, const struct endpoint *e)
{
	for (size_t i = 0; others && i < others->n; i++) {
		const struct address *b = &others->v[i]->address;
		struct endpoint of_b;

		if (b->kind != ADDRESS_UNIX && b->port == a->port &&
			address_to_endpoint(b, &of_b, NULL) == 0 &&
			(is_any(e) || is_any(&of_b) || endpoint_equal(e, &of_b)))
			return true;
	}
	return false;
}

/* A bind without SO_REUSEPORT fails beside any listening socket, of whatever process. */
static int check_port(const struct address *a, const struct endpoint *e,
	const struct listeners *others, struct error *err)
{
	int fd;

	if (overlaps_ours(others, a, e))
		return 0;
	fd = bound_socket(e, false);
	if (fd < 0)
		return listener_bind_error(a, err);
	close(fd);
	return 0;
}

/* Unlinks a socket that nobody listens on any more. */
static int clear_path(const struct address *a, const struct endpoint *e, struct error *err)
{
	int fd, rc;

	if (access(a->host, F_OK) < 0)
		return 0;
	if (is_other_file(a)) {
		errno = EADDRINUSE;
		return listener_bind_error(a, err);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set_errno(err, "cannot make a socket");
	rc = connect(fd, &e->sa, e->len);
	if (rc == 0 || errno != ECONNREFUSED) {
		close(fd);
		errno = EADDRINUSE;
		return listener_bind_error(a, err);
	}
	close(fd);
	if (unlink(a->host) < 0)
		return error_set_errno(err, "cannot remove the stale socket %s", a->host);
	return 0;
}

/* Without IPv6 in the kernel ":443" means all IPv4 addresses. */
static void fall_back_to_ipv4(struct endpoint *e)
{
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	in_port_t port = e->in6.sin6_port;

	if (fd >= 0) {
		close(fd);
		return;
	}
	*e = (struct endpoint){
		.in = {.sin_family = AF_INET, .sin_port = port}, .len = sizeof(e->in)};
}

static int open_sockets(struct listener *l, const struct endpoint *e, struct error *err)
{
	for (size_t i = 0; i < l->n; i++) {
		l->fds[i] = bound_socket(e, !l->shared);
		if (l->fds[i] < 0 || listen(l->fds[i], BACKLOG) < 0)
			return listener_bind_error(&l->address, err);
		/* Like a port: whoever reaches the folder may connect, TLS and the route decide. */
		if (l->shared && chmod(l->address.host, 0666) < 0)
			return error_set_errno(err, "%s: cannot set the mode", l->address.text);
	}
	return 0;
}

static int to_endpoint(const struct address *a, struct endpoint *e, struct error *err)
{
	if (address_to_endpoint(a, e, err) < 0)
		return -1;
	if (a->kind == ADDRESS_ANY)
		fall_back_to_ipv4(e);
	return 0;
}

int listener_check_free(
	const struct address *address, const struct listeners *others, struct error *err)
{
	struct endpoint e;

	if (to_endpoint(address, &e, err) < 0)
		return -1;
	return address->kind == ADDRESS_UNIX ? clear_path(address, &e, err)
					     : check_port(address, &e, others, err);
}

struct listener *listener_open(const struct address *address, size_t workers, struct error *err)
{
	bool is_unix = address->kind == ADDRESS_UNIX;
	size_t n = is_unix ? 1 : workers;
	struct listener *l = mem_zalloc(sizeof(*l) + n * sizeof(l->fds[0]));
	struct endpoint e;

	atomic_init(&l->refs, 1);
	address_copy(&l->address, address);
	l->shared = is_unix;
	l->n = n;
	for (size_t i = 0; i < n; i++)
		l->fds[i] = -1;
	if (to_endpoint(address, &e, err) < 0 || open_sockets(l, &e, err) < 0) {
		listener_unref(l);
		return NULL;
	}
	return l;
}

struct listener *listener_ref(struct listener *l)
{
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	return l;
}

void listener_unref(struct listener *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < l->n; i++)
		if (l->fds[i] >= 0)
			close(l->fds[i]);
	address_clear(&l->address);
	free(l);
}

void listener_set_rules(struct listener_rules *r, const struct conf_listen *conf)
{
	r->proxy_protocol = conf->proxy_protocol;
	r->n_trusted = conf->trusted.n;
	r->trusted = mem_zalloc(r->n_trusted * sizeof(*r->trusted));
	for (size_t i = 0; i < r->n_trusted; i++)
		cidr_parse(&r->trusted[i], conf->trusted.v[i], NULL); /* conf has checked it */
}

struct listeners *listeners_new(size_t n)
{
	struct listeners *l = mem_zalloc(sizeof(*l) + n * sizeof(l->v[0]));

	atomic_init(&l->refs, 1);
	l->n = n;
	l->rules = mem_zalloc(n * sizeof(*l->rules));
	return l;
}

struct listeners *listeners_ref(struct listeners *l)
{
	atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	return l;
}

void listeners_unref(struct listeners *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < l->n; i++) {
		listener_unref(l->v[i]);
		free(l->rules[i].trusted);
	}
	free(l->rules);
	free(l);
}

bool listener_trusts(const struct listener_rules *r, const struct inet_address *peer)
{
	if (peer->sa.sa_family == AF_UNIX)
		return true;
	for (size_t i = 0; i < r->n_trusted; i++)
		if (cidr_contains(&r->trusted[i], peer))
			return true;
	return false;
}

struct listener *listeners_find(const struct listeners *l, const struct address *address)
{
	for (size_t i = 0; l && i < l->n; i++)
		if (l->v[i] && strcmp(l->v[i]->address.text, address->text) == 0)
			return l->v[i];
	return NULL;
}

void listeners_unlink_gone(const struct listeners *before, const struct listeners *now)
{
	for (size_t i = 0; i < before->n; i++) {
		struct listener *l = before->v[i];

		if (l && l->shared && !listeners_find(now, &l->address))
			unlink(l->address.host);
	}
}
