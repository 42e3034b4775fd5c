#include "proxy/plain.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "proxy/origin.h"
#include "proxy/redirect.h"

#define LINGER_MS  2000
#define LINGER_MAX (256u << 10) /* bytes that are read for nothing */

static struct session *of_client(struct conn *c)
{
	return (struct session *)((char *)c - offsetof(struct session, client));
}

static void drained(struct conn *c)
{
	(void)c; /* conn.c has sent the end of the stream: that is all */
}

static void failed(struct conn *c)
{
	session_close(of_client(c), CLOSE_CLIENT_RESET);
}

static const struct conn_events plain_events = {drained, failed};

void plain_begin(struct session *s)
{
	session_set_state(s, SESSION_REQUEST);
	s->client.events = &plain_events;
}

static void answer(struct session *s, enum redirect_status status, const struct request *r)
{
	struct worker *w = s->worker;
	char text[REDIRECT_ANSWER_MAX];
	uint16_t port = s->snapshot->routes->by_listener[s->listener].https_port;
	size_t len = redirect_write(text, status, r, port, clock_wall_s());

	session_set_state(s, SESSION_ANSWERED);
	stats_count(&w->stats.answered[status], 1);
	record_reason(s->record, redirect_status_names[status]);
	session_log(s, LOG_DEBUG, "redirect: answered %s", redirect_status_names[status]);
	wheel_set(&w->wheel, &s->timer, w->now + LINGER_MS);
	if (conn_send(&s->client, text, len) < 0)
		session_close(s, CLOSE_CLIENT_RESET);
	else
		conn_finish(&s->client);
}

static void keep(struct session *s, const unsigned char *data, size_t len)
{
	if (!s->pending)
		s->pending = evbuffer_new();
	if (!s->pending || evbuffer_add(s->pending, data, len) < 0)
		abort(); /* out of memory */
}

static void drop(struct session *s, size_t len)
{
	s->dropped += len;
	if (s->dropped > LINGER_MAX)
		session_close(s, CLOSE_REDIRECTED);
}

void plain_take(struct session *s, const unsigned char *data, size_t len)
{
	struct request r;
	enum redirect_status status;
	const char *header;

	if (!len) /* behind a PROXY header */
		return;
	if (s->state == SESSION_ANSWERED) {
		drop(s, len);
		return;
	}
	/* It is seldom in pieces. */
	if (s->pending) {
		keep(s, data, len);
		data = evbuffer_pullup(s->pending, -1);
		len = evbuffer_get_length(s->pending);
	}
	status = redirect_read(&r, (const char *)data, len);
	header = status == REDIRECT_400 ? origin_misplaced(s, data, len) : NULL;
	if (header)
		session_log(s, LOG_INFO, "redirect: %s", header);
	if (status != REDIRECT_STATUSES)
		answer(s, status, &r);
	else if (!s->pending)
		keep(s, data, len);
}

void plain_client_gone(struct session *s, ssize_t n)
{
	enum close_reason why = n ? CLOSE_CLIENT_RESET : CLOSE_ENDED;

	session_close(s, s->state == SESSION_ANSWERED ? CLOSE_REDIRECTED : why);
}

void plain_expire(struct session *s)
{
	/* Browsers open connections that they may not need: nobody waits for an answer there. */
	if (s->state == SESSION_ANSWERED)
		session_close(s, CLOSE_REDIRECTED);
	else if (s->pending)
		answer(s, REDIRECT_408, NULL);
	else
		session_close(s, CLOSE_HANDSHAKE_TIMEOUT);
}
