/* A CA of a few lines, for tests: answers each request by a function of the test, over plain HTTP
 * on loopback. One connection at a time, kept open between requests. */
#ifndef LINTEL_TESTS_FAKECA_H
#define LINTEL_TESTS_FAKECA_H

#include <json-c/json.h>

struct fakeca_request {
	char method[8], path[64];
	struct json_object *header; /* of the JWS; NULL when it is none */
	char *payload;              /* of the JWS */
};

/* Starts it: `answer` is called in its thread and returns a whole HTTP response without
 * Content-Length ("HTTP/1.1 200 OK\r\nX: y\r\n\r\nbody"), a new string; "@" in it becomes the CA's
 * own "http://127.0.0.1:PORT". NULL = says nothing until fakeca_stop(). */
void fakeca_start(char *(*answer)(const struct fakeca_request *req));
/* "http://127.0.0.1:PORT/PATH", a new string. */
char *fakeca_url(const char *path);
void fakeca_stop(void);

#endif
