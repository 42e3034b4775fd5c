#include "dns/servers.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define LINE_MAX_BYTES 256

struct dns_server *dns_servers_add_one(struct dns_servers *s, const char *name)
{
	struct dns_server *one = mem_grow(&s->v, s->n++, sizeof(*s->v));

	one->name = mem_strdup(name);
	return one;
}

void dns_server_add_address(struct dns_server *s, const struct endpoint *e)
{
	*(struct endpoint *)mem_grow(&s->v, s->n++, sizeof(*s->v)) = *e;
}

void dns_servers_clear(struct dns_servers *s)
{
	for (size_t i = 0; i < s->n; i++) {
		free(s->v[i].name);
		free(s->v[i].v);
	}
	free(s->v);
	*s = (struct dns_servers){0};
}

/* --- by name --- */

/* getaddrinfo() cannot be told to stop: it runs in a thread that is left behind then. */
struct lookup {
	atomic_int refs;
	int fd; /* readable when it is done */
	atomic_bool done;
	char *host, port[8];
	struct addrinfo *list;
	int error;
};

static void lookup_unref(struct lookup *l)
{
	if (atomic_fetch_sub(&l->refs, 1) > 1)
		return;
	if (l->list)
		freeaddrinfo(l->list);
	close(l->fd);
	free(l->host);
	free(l);
}

static void *lookup_run(void *arg)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
	struct lookup *l = arg;

	l->error = getaddrinfo(l->host, l->port, &hints, &l->list);
	atomic_store(&l->done, true);
	eventfd_write(l->fd, 1);
	lookup_unref(l);
	return NULL;
}

static struct lookup *lookup_start(const struct address *a, struct error *err)
{
	struct lookup *l = mem_zalloc(sizeof(*l));
	pthread_t thread;
	int code;

	atomic_init(&l->refs, 2);
	atomic_init(&l->done, false);
	l->host = mem_strdup(a->host);
	snprintf(l->port, sizeof(l->port), "%u", a->port);
	l->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->fd < 0) {
		error_set_errno(err, "cannot make an eventfd");
	} else {
		code = pthread_create(&thread, NULL, lookup_run, l);
		if (!code) {
			pthread_detach(thread);
			return l;
		}
		error_set(err, "cannot start a thread: %s", strerror(code));
		close(l->fd);
	}
	free(l->host);
	free(l);
	return NULL;
}

static int lookup_wait(const struct lookup *l, const struct limits *limits, struct error *err)
{
	struct pollfd fds[2] = {{.fd = l->fd, .events = POLLIN},
		{.fd = limits->stop ? limits->stop->fd : -1, .events = POLLIN}};

	for (;;) {
		int64_t left = limits->deadline_ms - clock_mono_ms();

		if (stop_is_set(limits->stop))
			return error_set(err, "stopped");
		if (left <= 0)
			return error_set(err, "no answer in time");
		poll(fds, 2, left < 60000 ? (int)left : 60000);
		if (atomic_load(&l->done))
			return l->error ? error_set(err, "%s", gai_strerror(l->error)) : 0;
	}
}

static int add_by_name(struct dns_server *s, const struct address *a, const struct limits *limits,
	struct error *err)
{
	struct lookup *l = lookup_start(a, err);
	struct endpoint e = {0};
	int rc = l ? lookup_wait(l, limits, err) : -1;

	for (struct addrinfo *i = rc < 0 ? NULL : l->list; i; i = i->ai_next) {
		if (i->ai_addrlen > sizeof(e.in6))
			continue;
		memcpy(&e.sa, i->ai_addr, i->ai_addrlen);
		e.len = i->ai_addrlen;
		dns_server_add_address(s, &e);
	}
	if (l)
		lookup_unref(l);
	return rc < 0 ? error_prefix(err, "looking up the name server %s", a->host) : 0;
}

int dns_servers_add(struct dns_servers *s, const struct conf_strings *list, const struct limits *l,
	struct error *err)
{
	for (size_t i = 0; i < list->n; i++) {
		struct endpoint e;
		struct address a;
		struct dns_server *one;
		int rc;

		if (address_parse_default(&a, list->v[i], DNS_PORT, err) < 0)
			return -1;
		one = dns_servers_add_one(s, a.text);
		if (a.kind == ADDRESS_NAME) {
			rc = add_by_name(one, &a, l, err);
		} else {
			rc = address_to_endpoint(&a, &e, err);
			if (rc == 0)
				dns_server_add_address(one, &e);
		}
		address_clear(&a);
		if (rc < 0)
			return -1;
	}
	return 0;
}

/* --- the system's --- */

/* An address of resolv.conf(5), which may have a scope (fe80::1%eth0). */
static bool add_numeric(struct dns_servers *s, const char *host)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
	struct endpoint e = {0};
	char text[ENDPOINT_TEXT_SIZE];
	struct addrinfo *list;

	if (getaddrinfo(host, "53", &hints, &list) != 0)
		return false;
	if (list->ai_addrlen <= sizeof(e.in6)) {
		memcpy(&e.sa, list->ai_addr, list->ai_addrlen);
		e.len = list->ai_addrlen;
		dns_server_add_address(dns_servers_add_one(s, endpoint_text(text, &e)), &e);
	}
	freeaddrinfo(list);
	return true;
}

void dns_servers_add_system(struct dns_servers *s, const char *file)
{
	FILE *f = fopen(file, "re");
	char line[LINE_MAX_BYTES], host[128];
	size_t before = s->n;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "nameserver %127s", host) == 1)
			add_numeric(s, host);
	}
	if (f)
		fclose(f);
	if (s->n == before)
		add_numeric(s, "127.0.0.1"); /* resolv.conf(5) */
}

ldns_pkt *dns_server_ask(const struct dns_server *s, const char *name, ldns_rr_type type,
	const struct limits *l, struct error *err)
{
	ldns_pkt *p = NULL;

	error_set(err, "name server %s: it has no address", s->name);
	for (size_t i = 0; i < s->n && !p && !stop_is_set(l->stop); i++)
		p = dns_ask(&s->v[i], name, type, l, err);
	if (!p && stop_is_set(l->stop))
		error_set(err, "stopped");
	return p;
}

uint8_t *dns_server_exchange(const struct dns_server *s, const uint8_t *wire, size_t len,
	size_t *answer_len, int64_t each_ms, const struct limits *l, bool *again, struct error *err)
{
	uint8_t *answer = NULL;

	for (size_t i = 0; i < s->n && !answer; i++) {
		const struct limits within = limits_within(l, each_ms);

		answer = dns_exchange(&s->v[i], wire, len, answer_len, &within, again, err);
	}
	return answer;
}
