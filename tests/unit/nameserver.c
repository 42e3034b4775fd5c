#include "nameserver.h"

#include <assert.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROOM 65535

void nameserver_reply(struct nameserver *s, ldns_pkt *p)
{
	assert(s->n < NAMESERVER_PACKETS);
	s->packets[s->n++] = p;
}

ldns_pkt *nameserver_answer(const ldns_pkt *question, ldns_pkt_rcode rcode)
{
	ldns_pkt *p = ldns_pkt_new();

	ldns_pkt_set_id(p, ldns_pkt_id(question));
	ldns_pkt_set_qr(p, true);
	ldns_pkt_set_aa(p, true);
	ldns_pkt_set_opcode(p, ldns_pkt_get_opcode(question));
	ldns_pkt_set_rcode(p, rcode);
	ldns_pkt_push_rr(p, LDNS_SECTION_QUESTION,
		ldns_rr_clone(ldns_rr_list_rr(ldns_pkt_question(question), 0)));
	return p;
}

void nameserver_add(ldns_pkt *answer, ldns_pkt_section section, const char *record)
{
	ldns_rr *rr;

	if (ldns_rr_new_frm_str(&rr, record, 60, NULL, NULL) != LDNS_STATUS_OK)
		abort();
	ldns_pkt_push_rr(answer, section, rr);
}

const char *nameserver_asked(const ldns_pkt *question, char out[300])
{
	const ldns_rr *rr = ldns_rr_list_rr(ldns_pkt_question(question), 0);
	char *name = ldns_rdf2str(ldns_rr_owner(rr)),
	     *type = ldns_rr_type2str(ldns_rr_get_type(rr));

	name[strlen(name) - 1] = '\0';
	snprintf(out, 300, "%s/%s", name, type);
	free(name);
	free(type);
	return out;
}

/* Calls the handler, and `send_one` with each packet that it has for us. */
static void serve(struct nameserver *s, const uint8_t *wire, size_t len, bool tcp,
	void (*send_one)(void *arg, const uint8_t *wire, size_t len), void *arg)
{
	ldns_pkt *question;

	if (ldns_wire2pkt(&question, wire, len) != LDNS_STATUS_OK)
		abort();
	atomic_fetch_add(&s->questions, 1);
	s->n = 0;
	s->handler(s, question, tcp);
	for (size_t i = 0; i < s->n; i++) {
		uint8_t *out;
		size_t out_len;

		if (ldns_pkt2wire(&out, s->packets[i], &out_len) != LDNS_STATUS_OK)
			abort();
		send_one(arg, out, out_len);
		free(out);
		ldns_pkt_free(s->packets[i]);
	}
	ldns_pkt_free(question);
}

struct peer {
	int fd;
	struct sockaddr_storage address;
	socklen_t len;
};

static void send_datagram(void *arg, const uint8_t *wire, size_t len)
{
	const struct peer *p = arg;

	sendto(p->fd, wire, len, 0, (const struct sockaddr *)&p->address, p->len);
}

static void send_framed(void *arg, const uint8_t *wire, size_t len)
{
	const int *fd = arg;
	const uint8_t size[2] = {(uint8_t)(len >> 8), (uint8_t)len};

	if (send(*fd, size, 2, MSG_NOSIGNAL) == 2)
		send(*fd, wire, len, MSG_NOSIGNAL);
}

static void on_udp(struct nameserver *s)
{
	uint8_t wire[ROOM];
	struct peer p = {.fd = s->udp, .len = sizeof(p.address)};
	ssize_t n = recvfrom(s->udp, wire, sizeof(wire), 0, (struct sockaddr *)&p.address, &p.len);

	if (n > 0)
		serve(s, wire, (size_t)n, false, send_datagram, &p);
}

/* One question a connection. */
static void on_tcp(struct nameserver *s)
{
	uint8_t wire[ROOM];
	int fd = accept(s->tcp, NULL, NULL);
	uint8_t size[2];
	ssize_t len;

	if (recv(fd, size, 2, MSG_WAITALL) == 2) {
		len = size[0] << 8 | size[1];
		if (recv(fd, wire, (size_t)len, MSG_WAITALL) == len)
			serve(s, wire, (size_t)len, true, send_framed, &fd);
	}
	close(fd);
}

static void *run(void *arg)
{
	struct nameserver *s = arg;

	while (!stop_is_set(&s->stop)) {
		struct pollfd fds[3] = {{.fd = s->udp, .events = POLLIN},
			{.fd = s->tcp, .events = POLLIN}, {.fd = s->stop.fd, .events = POLLIN}};

		poll(fds, 3, -1);
		if (fds[0].revents)
			on_udp(s);
		if (fds[1].revents)
			on_tcp(s);
	}
	return NULL;
}

static int open_bound(int type, struct endpoint *e)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, &e->sa, e->len) < 0) {
		close(fd);
		return -1;
	}
	getsockname(fd, &e->sa, &e->len);
	return fd;
}

void nameserver_start(struct nameserver *s, nameserver_handler handler, void *arg)
{
	struct error err;

	*s = (struct nameserver){.handler = handler, .arg = arg, .udp = -1};
	/* A port that is free for both. */
	while (s->udp < 0) {
		s->endpoint = (struct endpoint){
			.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
			.len = sizeof(s->endpoint.in)};
		s->tcp = open_bound(SOCK_STREAM, &s->endpoint);
		if (s->tcp < 0 || listen(s->tcp, 16) < 0 || stop_init(&s->stop, &err) < 0)
			abort();
		s->udp = open_bound(SOCK_DGRAM, &s->endpoint);
		if (s->udp < 0) {
			close(s->tcp);
			stop_clear(&s->stop);
		}
	}
	endpoint_text(s->text, &s->endpoint);
	if (pthread_create(&s->thread, NULL, run, s) != 0)
		abort();
}

void nameserver_stop(struct nameserver *s)
{
	stop_set(&s->stop);
	pthread_join(s->thread, NULL);
	close(s->udp);
	close(s->tcp);
	stop_clear(&s->stop);
}
