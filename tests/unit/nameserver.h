/* A name server on loopback, for the tests of dns: what it answers is a function of the test's,
 * called in the server's thread. UDP and TCP on one port. */
#ifndef LINTEL_TESTS_NAMESERVER_H
#define LINTEL_TESTS_NAMESERVER_H

#include <stdbool.h> /* before ldns, which else makes a char of bool */

#include <ldns/ldns.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/address.h"
#include "base/stop.h"

struct nameserver;
/* What to send back, one packet after the other (taken), by nameserver_reply(); nothing = silence.
 * `tcp`: the question came that way. */
typedef void (*nameserver_handler)(struct nameserver *s, const ldns_pkt *question, bool tcp);

#define NAMESERVER_PACKETS 8

struct nameserver {
	char text[ENDPOINT_TEXT_SIZE]; /* 127.0.0.1:PORT */
	struct endpoint endpoint;
	atomic_uint questions; /* that came */
	void *arg;
	/* its own */
	nameserver_handler handler;
	int udp, tcp;
	struct stop stop;
	pthread_t thread;
	ldns_pkt *packets[NAMESERVER_PACKETS];
	size_t n;
};

void nameserver_start(struct nameserver *s, nameserver_handler handler, void *arg);
void nameserver_stop(struct nameserver *s);

/* An answer to the question, with authority, without records. */
ldns_pkt *nameserver_answer(const ldns_pkt *question, ldns_pkt_rcode rcode);
void nameserver_add(ldns_pkt *answer, ldns_pkt_section section, const char *record);
void nameserver_reply(struct nameserver *s, ldns_pkt *p);
/* The name and type that are asked for: "a.example/CNAME". */
const char *nameserver_asked(const ldns_pkt *question, char out[300]);

#endif
