#include "dns/query.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define UDP_MS   2000 /* until TCP is tried */
#define TCP_MS   3000
#define UDP_ROOM 4096 /* more than we ask for */

/* Waits until the socket can be read or written. */
static int wait_for(int fd, short what, const struct limits *l, struct error *err)
{
	struct pollfd fds[2] = {
		{.fd = fd, .events = what}, {.fd = l->stop ? l->stop->fd : -1, .events = POLLIN}};

	for (;;) {
		int64_t left = l->deadline_ms - clock_mono_ms();

		if (stop_is_set(l->stop))
			return error_set(err, "stopped");
		if (left <= 0)
			return error_set(err, "no answer in time");
		if (poll(fds, 2, left < 60000 ? (int)left : 60000) > 0 && fds[0].revents)
			return 0;
	}
}

/* *refused: nobody listens there. */
static int open_socket(const struct endpoint *server, int type, const struct limits *l,
	bool *refused, struct error *err)
{
	int fd = socket(server->sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int code = 0;
	socklen_t size = sizeof(code);

	*refused = false;
	if (fd < 0)
		return error_set_errno(err, "cannot make a socket");
	if (connect(fd, &server->sa, server->len) < 0) {
		code = errno;
		if (code == EINPROGRESS && wait_for(fd, POLLOUT, l, err) < 0)
			goto fail;
		if (code == EINPROGRESS)
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size);
	}
	if (!code)
		return fd;
	*refused = code == ECONNREFUSED;
	error_set(err, "%s", strerror(code));
fail:
	close(fd);
	return -1;
}

/* --- TCP --- */

static int send_all(int fd, const uint8_t *p, size_t len, const struct limits *l, struct error *err)
{
	while (len) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno != EAGAIN && errno != EINTR) {
			return error_set(err, "%s", strerror(errno));
		} else if (wait_for(fd, POLLOUT, l, err) < 0) {
			return -1;
		}
	}
	return 0;
}

static int receive_all(int fd, uint8_t *p, size_t len, const struct limits *l, struct error *err)
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
		} else if (wait_for(fd, POLLIN, l, err) < 0) {
			return -1;
		}
	}
	return 0;
}

uint8_t *dns_exchange(const struct endpoint *server, const uint8_t *wire, size_t len,
	size_t *answer_len, const struct limits *l, bool *again, struct error *err)
{
	bool refused;
	int fd = open_socket(server, SOCK_STREAM, l, &refused, err);
	uint8_t *both = NULL, *answer = NULL, size[2];

	*again = !refused && !stop_is_set(l->stop);
	if (fd < 0)
		return NULL;
	if (len > DNS_MESSAGE_MAX) {
		*again = false;
		error_set(err, "a message of %zu bytes is more than DNS can carry", len);
		goto out;
	}
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

/* --- questions --- */

/* NULL with a sentence: not over UDP. */
static ldns_pkt *ask_udp(const struct endpoint *server, const uint8_t *wire, size_t len,
	const ldns_pkt *question, const struct limits *l, struct error *err)
{
	bool refused;
	int fd = open_socket(server, SOCK_DGRAM, l, &refused, err);
	uint8_t answer[UDP_ROOM];
	ldns_pkt *p = NULL;

	if (fd < 0)
		return NULL;
	if (send(fd, wire, len, MSG_NOSIGNAL) < 0) {
		error_set(err, "%s", strerror(errno));
		goto out;
	}
	while (!p && wait_for(fd, POLLIN, l, err) == 0) {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);

		if (n < 0 && errno != EAGAIN && errno != EINTR) {
			error_set(err, "%s", strerror(errno)); /* a closed port */
			break;
		}
		if (n > 0)
			p = dns_answer_read(answer, (size_t)n, question);
	}
	if (p && ldns_pkt_tc(p)) {
		ldns_pkt_free(p);
		p = NULL;
		error_set(err, "the answer is cut");
	}
out:
	close(fd);
	return p;
}

static ldns_pkt *ask_tcp(const struct endpoint *server, const uint8_t *wire, size_t len,
	const ldns_pkt *question, const struct limits *l, struct error *err)
{
	size_t answer_len;
	bool again;
	uint8_t *answer = dns_exchange(server, wire, len, &answer_len, l, &again, err);
	ldns_pkt *p = answer ? dns_answer_read(answer, answer_len, question) : NULL;

	if (answer && !p)
		error_set(err, "the answer is not to the question");
	free(answer);
	return p;
}

ldns_pkt *dns_ask(const struct endpoint *server, const char *name, ldns_rr_type type,
	const struct limits *l, struct error *err)
{
	char text[ENDPOINT_TEXT_SIZE];
	struct limits within = limits_within(l, UDP_MS);
	uint8_t *wire = NULL;
	size_t len;
	ldns_pkt *question = dns_question_make(name, type, &wire, &len, err), *p;

	if (!question)
		return NULL;
	p = ask_udp(server, wire, len, question, &within, err);
	if (!p && !stop_is_set(l->stop)) {
		within = limits_within(l, TCP_MS);
		p = ask_tcp(server, wire, len, question, &within, err);
	}
	if (!p)
		error_prefix(err, "name server %s", endpoint_text(text, server));
	free(wire);
	ldns_pkt_free(question);
	return p;
}
