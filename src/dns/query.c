#include "dns/query.h"

#include <errno.h>
#include <openssl/rand.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define UDP_MS   2000 /* until TCP is tried */
#define UDP_SIZE 1232 /* DNS flag day 2020: passes without fragments */

/* Waits until the socket can be read or written. */
static int wait_for(
	int fd, short what, int64_t until_ms, const struct dns_limits *l, struct error *err)
{
	struct pollfd fds[2] = {
		{.fd = fd, .events = what}, {.fd = l->stop ? l->stop->fd : -1, .events = POLLIN}};

	for (;;) {
		int64_t left = until_ms - clock_mono_ms();

		if (stop_is_set(l->stop))
			return error_set(err, "stopped");
		if (left <= 0)
			return error_set(err, "no answer in time");
		if (poll(fds, 2, (int)left) > 0 && fds[0].revents)
			return 0;
	}
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int open_socket(
	const struct endpoint *server, int type, const struct dns_limits *l, struct error *err)
{
	int fd = socket(server->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int code = 0;
	socklen_t size = sizeof(code);

	if (fd < 0)
		return error_set_errno(err, "cannot make a socket");
	if (connect(fd, &server->sa, server->len) < 0) {
		code = errno;
		if (code == EINPROGRESS && wait_for(fd, POLLOUT, l->deadline_ms, l, err) < 0)
			goto fail;
		if (code == EINPROGRESS)
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
	}
	if (!code)
		return fd;
	error_set(err, "%s", strerror(code));
fail:
	close(fd);
	return -1;
}

/* ---- TCP ---- */

static int send_all(
	int fd, const uint8_t *p, size_t len, const struct dns_limits *l, struct error *err)
{
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN && errno != EINTR) {
			return error_set(err, "%s", strerror(errno));
		} else if (wait_for(fd, POLLOUT, l->deadline_ms, l, err) < 0) {
			return -1;
		}
	}
	return 0;
}

static int receive_all(
	int fd, uint8_t *p, size_t len, const struct dns_limits *l, struct error *err)
{
	while (len) {
		ssize_t n = recv(fd, p, len, 0);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (n == 0) {
			return error_set(err, "the connection was closed before the answer");
		} else if (errno != EAGAIN && errno != EINTR) {
			return error_set(err, "%s", strerror(errno));
		} else if (wait_for(fd, POLLIN, l->deadline_ms, l, err) < 0) {
			return -1;
		}
	}
	return 0;
}

static uint8_t *exchange(const struct endpoint *server, const uint8_t *wire, size_t len,
	size_t *answer_len, const struct dns_limits *l, struct error *err)
{
	int fd = open_socket(server, SOCK_STREAM, l, err);
	uint8_t *both = NULL, *answer = NULL, size[2];

	if (fd < 0)
		return NULL;
	both = mem_alloc(len + 2);
	both[0] = (uint8_t)(len >> 8);
	both[1] = (uint8_t)len;
	memcpy(both + 2, wire, len);
	if (send_all(fd, both, len + 2, l, err) < 0 ||
		receive_all(fd, size, sizeof(size), l, err) < 0)
		goto out;
	*answer_len = (size_t)size[0] << 8 | size[1];
	answer = mem_alloc(*answer_len + 1);
	if (receive_all(fd, answer, *answer_len, l, err) < 0) {
		free(answer);
		answer = NULL;
	}
out:
	free(both);
	close(fd);
	return answer;
}

static void name_server(struct error *err, const struct endpoint *server)
{
	char text[ENDPOINT_TEXT_SIZE];

	error_prefix(err, "name server %s", endpoint_text(text, server));
}

uint8_t *dns_exchange(const struct endpoint *server, const uint8_t *wire, size_t len,
	size_t *answer_len, const struct dns_limits *l, struct error *err)
{
	uint8_t *answer = exchange(server, wire, len, answer_len, l, err);

	if (!answer)
		name_server(err, server);
	return answer;
}

/* ---- questions ---- */

static ldns_pkt *make_question(const char *name, ldns_rr_type type, struct error *err)
{
	ldns_rdf *rdf = ldns_dname_new_frm_str(name);
	uint16_t id = 0;
	ldns_pkt *p;

	if (!rdf) {
		error_set(err, "\"%.260s\" is no name", name);
		return NULL;
	}
	p = ldns_pkt_query_new(rdf, type, LDNS_RR_CLASS_IN, LDNS_RD); /* takes it */
	if (!p)
		abort(); /* out of memory */
	RAND_bytes((unsigned char *)&id, sizeof(id));
	ldns_pkt_set_id(p, id);
	ldns_pkt_set_edns_udp_size(p, UDP_SIZE);
	return p;
}

/* An answer to this question and no other; NULL for anything else that came. */
static ldns_pkt *read_answer(const uint8_t *wire, size_t len, const ldns_pkt *question)
{
	ldns_pkt *p = NULL;
	ldns_rr *asked, *echoed;

	if (ldns_wire2pkt(&p, wire, len) != LDNS_STATUS_OK)
		return NULL;
	asked = ldns_rr_list_rr(ldns_pkt_question(question), 0);
	echoed = ldns_pkt_qdcount(p) == 1 ? ldns_rr_list_rr(ldns_pkt_question(p), 0) : NULL;
	if (ldns_pkt_qr(p) && ldns_pkt_id(p) == ldns_pkt_id(question) && echoed &&
		ldns_rr_get_type(echoed) == ldns_rr_get_type(asked) &&
		ldns_rr_get_class(echoed) == ldns_rr_get_class(asked) &&
		ldns_dname_compare(ldns_rr_owner(echoed), ldns_rr_owner(asked)) == 0)
		return p;
	ldns_pkt_free(p);
	return NULL;
}

/* NULL with the sentence empty: not over UDP. */
static ldns_pkt *ask_udp(const struct endpoint *server, const uint8_t *wire, size_t len,
	const ldns_pkt *question, const struct dns_limits *l, struct error *err)
{
	int64_t until = earlier(clock_mono_ms() + UDP_MS, l->deadline_ms);
	int fd = open_socket(server, SOCK_DGRAM, l, err);
	uint8_t answer[4096];
	ldns_pkt *p = NULL;

	if (fd < 0)
		return NULL;
	if (send(fd, wire, len, MSG_NOSIGNAL) < 0) {
		error_set(err, "%s", strerror(errno));
		goto out;
	}
	while (!p && wait_for(fd, POLLIN, until, l, err) == 0) {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);

		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			error_set(err, "%s", strerror(errno)); /* a closed port */
			break;
		}
		if (n > 0)
			p = read_answer(answer, (size_t)n, question);
	}
	if (p && ldns_pkt_tc(p)) {
		ldns_pkt_free(p);
		p = NULL;
		error_set(err, "cut");
	}
out:
	close(fd);
	return p;
}

ldns_pkt *dns_ask(const struct endpoint *server, const char *name, ldns_rr_type type,
	const struct dns_limits *l, struct error *err)
{
	struct error why = {""};
	ldns_pkt *question = make_question(name, type, err), *p = NULL;
	uint8_t *wire = NULL, *answer;
	size_t len, answer_len;

	if (!question)
		return NULL;
	if (ldns_pkt2wire(&wire, question, &len) != LDNS_STATUS_OK) {
		error_set(err, "\"%.260s\" cannot be asked for", name);
		goto out;
	}
	p = ask_udp(server, wire, len, question, l, &why);
	if (!p && !stop_is_set(l->stop)) {
		answer = exchange(server, wire, len, &answer_len, l, &why);
		p = answer ? read_answer(answer, answer_len, question) : NULL;
		if (answer && !p)
			error_set(&why, "the answer is not to the question");
		free(answer);
	}
	if (!p) {
		error_set(err, "%s", why.text);
		name_server(err, server);
	}
out:
	free(wire);
	ldns_pkt_free(question);
	return p;
}

const char *dns_rcode_name(const ldns_pkt *p, char out[16])
{
	char *name = ldns_pkt_rcode2str(ldns_pkt_get_rcode(p));

	snprintf(out, 16, "%s", name ? name : "?");
	free(name);
	return out;
}
