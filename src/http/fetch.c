#include "config.h"

#include "http/fetch.h"

#include <ctype.h>
#include <curl/curl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"

#define HEADERS_MAX 200
#define HEADER_MAX  (64 << 10) /* bytes of all of an answer's */
#define LINE_MAX_   (64 << 10) /* bytes of a streamed line */
#define POLL_MS     1000
#define CA_FOLDER   "/etc/ssl/certs"

struct fetch {
	CURLM *multi;
	CURL *easy;
	bool untrusted;
};

struct sink {
	const struct fetch_request *req;
	struct fetch_response *res;
	struct str body;
	size_t header_bytes;
	bool over;
};

static void give_lines(struct sink *s)
{
	char *line = s->body.data, *end;

	while (line && (end = memchr(line, '\n', s->body.len - (size_t)(line - s->body.data)))) {
		*end = '\0';
		s->req->on_line(s->req->arg, line);
		line = end + 1;
	}
	if (line && line != s->body.data) {
		s->body.len -= (size_t)(line - s->body.data);
		memmove(s->body.data, line, s->body.len + 1);
	}
}

/* CURLOPT_MAXFILESIZE looks at Content-Length only, so that the bytes are counted here. */
static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
	struct sink *s = arg;
	size_t max = s->req->on_line ? LINE_MAX_ : s->req->max_bytes;

	if (size * n > max - s->body.len) {
		s->over = true;
		return 0;
	}
	str_add(&s->body, data, size * n);
	if (s->req->on_line)
		give_lines(s);
	return size * n;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct sink *s = arg;
	struct fetch_response *res = s->res;
	size_t len = size * n, end = len;
	char *colon = memchr(data, ':', len), *value;
	struct fetch_header *h;

	if (len > 5 &&
		strncasecmp(data, "HTTP/", 5) == 0) { /* of an answer before: 100, a proxy's */
		for (size_t i = 0; i < res->n_headers; i++) {
			free(res->headers[i].name);
			free(res->headers[i].value);
		}
		free(res->headers);
		res->headers = NULL;
		res->n_headers = 0;
	}
	s->header_bytes += len;
	if (s->header_bytes > HEADER_MAX)
		return 0;
	if (!colon || res->n_headers == HEADERS_MAX)
		return len;
	value = colon + 1;
	while (end && isspace((unsigned char)data[end - 1]))
		end--;
	while (value < data + end && isspace((unsigned char)*value))
		value++;
	h = mem_grow(&res->headers, res->n_headers++, sizeof(*h));
	h->name = mem_strndup(data, (size_t)(colon - data));
	h->value = mem_strndup(value, value < data + end ? (size_t)(data + end - value) : 0);
	return len;
}

static void init_once(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static struct curl_slist *add(struct curl_slist *list, const char *name, const char *value)
{
	char *line = mem_printf("%s: %s", name, value);
	struct curl_slist *longer = curl_slist_append(list, line);

	OPENSSL_cleanse(line, strlen(line));
	free(line);
	if (!longer)
		abort(); /* out of memory */
	return longer;
}

static struct curl_slist *make_headers(const struct fetch_request *req)
{
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");
	char *bearer;

	if (!list)
		abort(); /* out of memory */
	if (req->bearer) {
		bearer = mem_printf("Bearer %s", req->bearer);
		list = add(list, "Authorization", bearer);
		OPENSSL_cleanse(bearer, strlen(bearer));
		free(bearer);
	}
	if (req->accept)
		list = add(list, "Accept", req->accept);
	for (size_t i = 0; i < req->n_headers; i++)
		list = add(list, req->headers[i].name, req->headers[i].value);
	if (req->body)
		list = add(list, "Content-Type",
			req->content_type ? req->content_type : "application/json");
	return list;
}

/* The folder with the hashed links, where the system has one, is read as needed; a bundle would be
 * parsed for each connection. */
static void set_roots(CURL *curl, const struct fetch_request *req)
{
	struct curl_blob blob;

	if (req->ca_pem) {
		blob = (struct curl_blob){
			.data = (char *)(uintptr_t)req->ca_pem,
			.len = strlen(req->ca_pem),
			.flags = CURL_BLOB_COPY,
		};
		curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
	} else if (access(CA_FOLDER "/ca-certificates.crt", R_OK) == 0) {
		curl_easy_setopt(curl, CURLOPT_CAINFO, NULL);
		curl_easy_setopt(curl, CURLOPT_CAPATH, CA_FOLDER);
	}
}

static void set_options(
	CURL *curl, const struct fetch_request *req, struct sink *sink, char *message)
{
	curl_easy_setopt(curl, CURLOPT_URL, req->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	if (!req->use_proxy)
		curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "lintel/" PACKAGE_VERSION);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, req->timeout_ms);
	/* Without it a slow name server is waited for beyond the deadline. */
	curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, sink);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, sink);
	set_roots(curl, req);
	if (req->unix_path)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, req->unix_path);
	if (req->body) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(req->body));
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, req->body);
	}
	if (strcmp(req->method, "HEAD") == 0)
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	else
		curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, req->method);
}

/* Until it ends, or is told to. */
static CURLcode perform(struct fetch *f, const struct stop *stop)
{
	struct curl_waitfd fd = {.fd = stop ? stop->fd : -1, .events = CURL_WAIT_POLLIN};
	CURLcode code = CURLE_FAILED_INIT;
	int running = 1, left;
	CURLMsg *m;

	if (curl_multi_add_handle(f->multi, f->easy) != CURLM_OK)
		return code;
	while (running && !stop_is_set(stop)) {
		if (curl_multi_perform(f->multi, &running) != CURLM_OK)
			break;
		if (running)
			curl_multi_poll(f->multi, &fd, stop ? 1 : 0, POLL_MS, NULL);
	}
	if (running)
		code = CURLE_ABORTED_BY_CALLBACK;
	while ((m = curl_multi_info_read(f->multi, &left)))
		if (m->msg == CURLMSG_DONE)
			code = m->data.result;
	curl_multi_remove_handle(f->multi, f->easy);
	return code;
}

struct fetch *fetch_new(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct fetch *f = mem_zalloc(sizeof(*f));

	pthread_once(&once, init_once);
	f->multi = curl_multi_init();
	f->easy = curl_easy_init();
	if (!f->multi || !f->easy)
		abort(); /* out of memory */
	return f;
}

void fetch_free(struct fetch *f)
{
	if (!f)
		return;
	curl_easy_cleanup(f->easy);
	curl_multi_cleanup(f->multi);
	free(f);
}

static int explain(const struct fetch_request *req, CURL *easy, CURLcode code,
	const struct sink *sink, const char *message, struct error *err)
{
	const char *where = req->where ? req->where : req->unix_path ? req->unix_path : req->url;
	long os = 0;

	curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &os);
	if (sink->over)
		return error_set(err, "%s: the answer has more than %zu bytes", where,
			req->on_line ? (size_t)LINE_MAX_ : req->max_bytes);
	if (sink->header_bytes > HEADER_MAX)
		return error_set(
			err, "%s: the answer's headers have more than %d bytes", where, HEADER_MAX);
	if (stop_is_set(req->stop))
		return error_set(err, "%s: stopped", where);
	if (code == CURLE_COULDNT_CONNECT && os)
		return error_set(err, "%s: %s", where, strerror((int)os));
	return error_set(err, "%s: %s", where, *message ? message : curl_easy_strerror(code));
}

int fetch_run(struct fetch *f, const struct fetch_request *req, struct fetch_response *res,
	struct error *err)
{
	struct sink sink = {.req = req, .res = res};
	char message[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = make_headers(req);
	CURLcode code;
	int rc = 0;

	*res = (struct fetch_response){0};
	curl_easy_reset(f->easy); /* connections stay */
	set_options(f->easy, req, &sink, message);
	curl_easy_setopt(f->easy, CURLOPT_HTTPHEADER, headers);
	code = perform(f, req->stop);
	curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &res->status);
	f->untrusted = code == CURLE_PEER_FAILED_VERIFICATION;
	if (code != CURLE_OK) {
		rc = explain(req, f->easy, code, &sink, message, err);
		str_clear(&sink.body);
		fetch_response_clear(res);
	} else {
		str_add(&sink.body, "", 0);
		if (req->on_line && sink.body.len) /* the last one had no end */
			req->on_line(req->arg, sink.body.data);
		res->body = sink.body.data;
		res->len = sink.body.len;
	}
	curl_easy_reset(f->easy); /* it points to what goes now */
	curl_slist_free_all(headers);
	return rc;
}

bool fetch_is_untrusted(const struct fetch *f)
{
	return f->untrusted;
}

int fetch(const struct fetch_request *req, struct fetch_response *res, struct error *err)
{
	struct fetch *f = fetch_new();
	int rc = fetch_run(f, req, res, err);

	fetch_free(f);
	return rc;
}

const char *fetch_header(const struct fetch_response *res, const char *name, size_t i)
{
	for (size_t h = 0; h < res->n_headers; h++)
		if (strcasecmp(res->headers[h].name, name) == 0 && i-- == 0)
			return res->headers[h].value;
	return NULL;
}

void fetch_response_clear(struct fetch_response *res)
{
	for (size_t i = 0; i < res->n_headers; i++) {
		free(res->headers[i].name);
		free(res->headers[i].value);
	}
	free(res->headers);
	free(res->body);
	*res = (struct fetch_response){0};
}
