/* The admin listener on an event loop in a thread, with answers that the tests choose, and clients
 * of it over real sockets, byte for byte. */
#ifndef LINTEL_TESTS_ADMINPEER_H
#define LINTEL_TESTS_ADMINPEER_H

#include <pthread.h>
#include <stdatomic.h>

#include "admin/admin.h"

/* ---- the daemon's side ---- */

#define WAITING_MAX  8
#define RENEWALS_MAX 100

struct adminpeer {
	struct conf_admin conf;
	struct admin *admin;
	pthread_t thread;
	int commands[2]; /* a pipe: what on_command() does */
	uint16_t port;

	/* What the functions given to admin answer. */
	struct admin_view view;
	struct problems reasons;
	size_t route, server; /* whose mode was set last */
	int modes_set;
	struct problems reload_problems;
	bool reload_at_once;
	atomic_int reloads; /* begun */
	admin_reload_done *done[WAITING_MAX];
	void *done_arg[WAITING_MAX];

	/* Renewals: whether one runs already; those that were begun, whose they are ("" = all) and
	 * who watches (NULL = nobody, or no longer). */
	atomic_bool running;
	atomic_int renewals, unwatched, played;
	char renewed[RENEWALS_MAX][32];
	struct autocert_watch *watches[RENEWALS_MAX];
	struct autocert_event event; /* that command 'e' gives to all of them */
};
extern struct adminpeer d;

void start_at(const char *address, const char *token);
void start(const char *token); /* at a free port, d.port */
int stop(void **state);        /* for cmocka: a teardown, and at the end of it all is zero */
/* Makes the thread do something: 'd' end the reloads, 'c' take d.conf, 'e' play d.event, 'q' end.
 */
void command(char c);

/* Gives d.view three routes: of the first one's servers one is up, one has no address, and the
 * first is listed twice; of the two others', which share a host, all are out or down. */
void fill_routes(void);

/* ---- the client's side ---- */

#define HOST "Host: localhost\r\n"
#define JSON "Content-Type: application/json\r\nContent-Length: 2\r\n"

int connect_to(void);
void send_text(int fd, const char *text);
/* Everything up to the end of the connection, which it closes. Static storage of one answer. */
const char *receive(int fd);
const char *ask(const char *request);
/* "GET /path", and lines of headers each ending in \r\n. */
const char *ask_with(const char *method_path, const char *headers);

/* ---- answers ---- */

int status_of(const char *answer);
const char *body_of(const char *answer);
void assert_has(const char *text, const char *part);
void assert_lacks(const char *text, const char *part);
/* The answer has this status and a JSON object with a message. Returns the message. */
const char *message_of(const char *answer, int status);

/* What a path answers, which must be JSON; the caller's. */
struct json_object *fetch_json(const char *path);
/* What is at a JSON pointer, as it is written without spaces. */
void assert_json(struct json_object *o, const char *pointer, const char *want);

#endif
