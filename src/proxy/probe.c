#include "proxy/probe.h"

#include <errno.h>
#include <event2/event_struct.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conf/value.h"
#include "http/response.h"
#include "proxy/pproto.h"
#include "tls/error.h"
#include "tls/outbound.h"

#define ASK_AGAIN_MS 100 /* a unix socket whose queue is full */
#define READ_SIZE    16384
#define READ_MAX     ((size_t)256 << 10) /* of a response, with whatever its chunks are made of */

enum state { PROBE_CONNECT, PROBE_HANDSHAKE, PROBE_REQUEST, PROBE_RESPONSE };

struct probe {
	struct probe_task task;
	const struct conf_health *health;
	const struct target *target;
	struct event_base *base;
	probe_done *done;
	void *arg;
	enum state state;
	struct event event;
	int64_t until, try_until; /* ms */
	size_t endpoint;
	bool asked; /* the server was, at one of its addresses at least */
	int fd;
	SSL *ssl;
	struct outbound_call call; /* the SSL's, where the server has a `tls` block */
	struct str request;
	size_t sent;
	struct response response;
	size_t received;
	bool ended; /* the server's stream */
	struct error why;
};

static void on_event(evutil_socket_t fd, short what, void *arg);

/* --- the end --- */

static void hang_up(struct probe *p)
{
	if (p->fd < 0)
		return;
	event_del(&p->event);
	if (p->ssl)
		SSL_shutdown(p->ssl);
	SSL_free(p->ssl);
	p->ssl = NULL;
	free(p->call.problem);
	p->call.problem = NULL;
	ERR_clear_error();
	close(p->fd);
	p->fd = -1;
}

void probe_cancel(struct probe *p)
{
	if (!p)
		return;
	hang_up(p);
	event_del(&p->event);
	str_clear(&p->request);
	response_clear(&p->response);
	routes_unref(p->task.routes);
	conf_unref(p->task.conf);
	free(p);
}

static void finish(struct probe *p, enum probe_result result)
{
	probe_done *done = p->done;
	void *arg = p->arg;
	struct error why = p->why;

	probe_cancel(p);
	done(arg, result, result == PROBE_GOOD ? "" : why.text);
}

/* --- waiting --- */

static void wait_for(struct probe *p, short what, int64_t until)
{
	int64_t left = until - clock_mono_ms();
	struct timeval tv = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};

	if (left < 0)
		tv = (struct timeval){0};
	event_assign(&p->event, p->base, p->fd, what, on_event, p);
	event_add(&p->event, &tv);
}

/* What a call of OpenSSL that has not succeeded waits for; -1 when it has failed. */
static int wait_for_tls(struct probe *p, int rc, const char *what)
{
	char why[ERROR_MAX];
	int err = errno;

	switch (SSL_get_error(p->ssl, rc)) {
	case SSL_ERROR_WANT_READ: wait_for(p, EV_READ, p->until); return 0;
	case SSL_ERROR_WANT_WRITE: wait_for(p, EV_WRITE, p->until); return 0;
	case SSL_ERROR_SYSCALL:
		return error_set(
			&p->why, "%s: %s", what, err ? strerror(err) : "the connection was closed");
	default: return error_set(&p->why, "%s: %s", what, outbound_problem(&p->call, why));
	}
}

/* --- what is asked --- */

static const char *host_of(const struct probe *p)
{
	const struct address *a = &p->target->server->address;

	if (p->health->host)
		return p->health->host;
	return a->kind == ADDRESS_UNIX ? "localhost" : a->text;
}

/* The name that TLS asks for: a host name, never an address. Returns new; NULL = none. */
static char *server_name_of(const struct probe *p)
{
	const char *first = p->task.conf->routes[p->task.route].hosts.v[0];
	struct address a;
	char *name = NULL;

	if (!p->health->host && first[0] != '*' && strcmp(first, "default") != 0)
		return mem_strdup(first);
	if (address_parse_default(&a, host_of(p), HTTP_PORT, NULL) < 0)
		return NULL;
	if (a.kind == ADDRESS_NAME)
		name = mem_strdup(a.host);
	address_clear(&a);
	return name;
}

/* A server with a `tls` block is believed as sessions believe it, another one whoever it is. */
static void start_tls(struct probe *p)
{
	struct outbound *o = p->target->outbound;
	char *name = server_name_of(p);
	BIO *bio = BIO_new_socket(p->fd, BIO_NOCLOSE);
	bool of_client;

	ERR_clear_error();
	if (o) {
		p->ssl = outbound_connect(o, &p->call,
			outbound_name(o, &p->target->server->address, name ? name : "", &of_client),
			NULL, 0, bio);
	} else {
		p->ssl = SSL_new(p->task.tls);
		if (!p->ssl || (name && !SSL_set_tlsext_host_name(p->ssl, name)))
			abort(); /* out of memory */
		SSL_set_app_data(p->ssl, &p->call);
		SSL_set_bio(p->ssl, bio, bio);
		SSL_set_connect_state(p->ssl);
	}
	/* Many end without close_notify: whether a response is whole is seen by its length. */
	SSL_set_options(p->ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
	free(name);
	p->state = PROBE_HANDSHAKE;
}

static void make_request(struct probe *p)
{
	static const char *const methods[] = {
		[HEALTH_GET] = "GET",
		[HEALTH_HEAD] = "HEAD",
		[HEALTH_OPTIONS] = "OPTIONS",
	};

	str_addf(&p->request,
		"%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: lintel\r\nConnection: close\r\n\r\n",
		methods[p->health->method], p->health->path, host_of(p));
	response_init(&p->response, p->health->body);
	p->state = PROBE_REQUEST;
}

/* --- steps; -1 with the sentence set: a bad result --- */

static int judge(struct probe *p)
{
	const struct response *r = &p->response;

	if (value_statuses(p->health->statuses, r->status, NULL) != 1)
		return error_set(&p->why, "HTTP %d, wanted %s", r->status, p->health->statuses);
	if (r->wanted && !r->found)
		return error_set(&p->why,
			"HTTP %d, but its body does not hold the text that is expected", r->status);
	finish(p, PROBE_GOOD);
	return 0;
}

/* Some bytes of the server's. 0 = none: its stream has ended, or they are waited for. */
static long receive(struct probe *p, char *data, size_t size)
{
	ssize_t n;

	if (p->ssl) {
		ERR_clear_error();
		errno = 0;
		n = SSL_read(p->ssl, data, (int)size);
		p->ended = n <= 0 && SSL_get_error(p->ssl, (int)n) == SSL_ERROR_ZERO_RETURN;
		if (n > 0 || p->ended)
			return n > 0 ? n : 0;
		return wait_for_tls(p, (int)n, "its response could not be read");
	}
	n = recv(p->fd, data, size, 0);
	p->ended = n == 0;
	if (n >= 0)
		return n;
	if (errno != EAGAIN)
		return error_set_errno(&p->why, "its response could not be read");
	wait_for(p, EV_READ, p->until);
	return 0;
}

static int read_response(struct probe *p)
{
	char data[READ_SIZE];

	while (p->response.state != RESPONSE_WHOLE) {
		long n = receive(p, data, sizeof(data));

		if (n < 0 || (n == 0 && !p->ended))
			return (int)n;
		p->received += (size_t)n;
		if (p->received > READ_MAX)
			return error_set(&p->why, "its response is too long");
		if ((p->ended ? response_end(&p->response, &p->why)
			      : response_add(&p->response, data, (size_t)n, &p->why)) < 0)
			return -1;
	}
	return judge(p);
}

/* Sends some bytes. 0 = none: it is waited for. */
static long send_some(struct probe *p, const char *data, size_t len)
{
	ssize_t n;

	if (p->ssl) {
		ERR_clear_error();
		errno = 0;
		n = SSL_write(p->ssl, data, (int)len);
		return n > 0 ? n : wait_for_tls(p, (int)n, "its request could not be sent");
	}
	n = send(p->fd, data, len, MSG_NOSIGNAL);
	if (n >= 0)
		return n;
	if (errno != EAGAIN)
		return error_set_errno(&p->why, "its request could not be sent");
	wait_for(p, EV_WRITE, p->until);
	return 0;
}

static int send_request(struct probe *p)
{
	while (p->sent < p->request.len) {
		long n = send_some(p, p->request.data + p->sent, p->request.len - p->sent);

		if (n <= 0)
			return (int)n;
		p->sent += (size_t)n;
	}
	p->state = PROBE_RESPONSE;
	return read_response(p);
}

static int ask(struct probe *p)
{
	if (p->health->type == HEALTH_HTTP) {
		make_request(p);
		return send_request(p);
	}
	finish(p, PROBE_GOOD);
	return 0;
}

static int shake_hands(struct probe *p)
{
	int rc;

	ERR_clear_error();
	errno = 0;
	rc = SSL_do_handshake(p->ssl);
	return rc == 1 ? ask(p) : wait_for_tls(p, rc, "the TLS handshake failed");
}

/* Nobody's connection: UNKNOWN, or LOCAL. There is room for it in a socket that is new. */
static int send_header(struct probe *p)
{
	const struct pproto_ends nobody = {.from.sa.sa_family = AF_UNSPEC};
	const struct pproto_tlvs none = {0};
	unsigned char header[PPROTO_WRITE_MAX];
	size_t n = 0;

	switch (p->task.routes->v[p->task.route].proxy_protocol) {
	case PROXY_PROTOCOL_NONE: return 0;
	case PROXY_PROTOCOL_V1: n = pproto_write_v1(header, &nobody); break;
	case PROXY_PROTOCOL_V2: n = pproto_write_v2(header, &nobody, &none); break;
	}
	if (send(p->fd, header, n, MSG_NOSIGNAL) != (ssize_t)n)
		return error_set_errno(&p->why, "its PROXY header could not be sent");
	return 0;
}

/* Whether the check is one in TLS. Without a kind of its own it goes as far as connects do. */
static bool wants_tls(const struct probe *p)
{
	switch (p->health->type) {
	case HEALTH_TLS: return true;
	case HEALTH_TCP: return false;
	case HEALTH_NONE:
	case HEALTH_HTTP: return p->target->outbound;
	}
	return false;
}

static int begin(struct probe *p)
{
	if (send_header(p) < 0)
		return -1;
	if (!wants_tls(p))
		return ask(p);
	start_tls(p);
	return shake_hands(p);
}

/* --- connecting --- */

/* Each try has half of the time that is left while there is another address. Returns an errno
 * value, 0 when it is under way. */
static int ask_server(struct probe *p)
{
	const struct endpoint *e = &p->target->endpoints[p->endpoint];
	int64_t now = clock_mono_ms(), left = p->until - now;
	int err;

	if (left <= 0)
		return ETIMEDOUT;
	p->fd = socket(e->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		return errno;
	p->try_until = now + (p->endpoint + 1 < p->target->n ? left / 2 : left);
	if (connect(p->fd, &e->sa, e->len) == 0 || errno == EINPROGRESS) {
		wait_for(p, EV_WRITE, p->try_until);
		return 0;
	}
	err = errno;
	hang_up(p);
	if (err != EAGAIN || e->sa.sa_family != AF_UNIX)
		return err;
	wait_for(p, EV_TIMEOUT, now + (left < ASK_AGAIN_MS ? left : ASK_AGAIN_MS));
	return 0;
}

static void set_why(struct probe *p, int err)
{
	if (err == ETIMEDOUT)
		error_set(&p->why, "no answer within its timeout");
	else
		error_set(&p->why, "%s", strerror(err));
}

static void connect_next(struct probe *p)
{
	for (; p->endpoint < p->target->n; p->endpoint++) {
		int err = ask_server(p);

		/* What is under way fails through the server's fault, where it does. */
		p->asked |= !err || server_is_to_blame(err);
		if (!err)
			return;
		set_why(p, err);
	}
	finish(p, p->asked ? PROBE_BAD : PROBE_UNKNOWN);
}

static int settle_connect(struct probe *p)
{
	socklen_t len = sizeof(int);
	int err = 0;

	if (getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0)
		err = errno;
	if (!err)
		return begin(p);
	set_why(p, err);
	hang_up(p);
	p->endpoint++;
	connect_next(p);
	return 0;
}

/* --- events --- */

static int go_on(struct probe *p)
{
	switch (p->state) {
	case PROBE_CONNECT: return settle_connect(p);
	case PROBE_HANDSHAKE: return shake_hands(p);
	case PROBE_REQUEST: return send_request(p);
	case PROBE_RESPONSE: return read_response(p);
	}
	return -1;
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct probe *p = arg;

	(void)fd;
	if (p->fd < 0) { /* the first time, or it was a unix socket's turn to wait */
		connect_next(p);
	} else if (what & EV_TIMEOUT) {
		set_why(p, ETIMEDOUT);
		hang_up(p);
		if (p->state == PROBE_CONNECT) {
			p->endpoint++;
			connect_next(p);
		} else {
			finish(p, PROBE_BAD);
		}
	} else if (go_on(p) < 0) {
		finish(p, PROBE_BAD);
	}
}

struct probe *probe_start(
	struct event_base *base, const struct probe_task *task, probe_done *done, void *arg)
{
	struct probe *p = mem_zalloc(sizeof(*p));

	p->task = *task;
	conf_ref(task->conf);
	routes_ref(task->routes);
	p->health = &task->conf->routes[task->route].health;
	p->target = &task->routes->v[task->route].targets[task->target];
	p->base = base;
	p->done = done;
	p->arg = arg;
	p->fd = -1;
	p->until = clock_mono_ms() + p->health->timeout_ms;
	wait_for(p, EV_TIMEOUT, 0);
	return p;
}
