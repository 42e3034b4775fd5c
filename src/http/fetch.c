#include "config.h"

#include "http/fetch.h"

#include <curl/curl.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

struct sink {
	struct str body;
	size_t max;
	bool over;
};

/* CURLOPT_MAXFILESIZE looks at Content-Length only, so that the bytes are counted here. */
static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
	struct sink *s = arg;

	if (size * n > s->max - s->body.len) {
		s->over = true;
		return 0;
	}
	str_add(&s->body, data, size * n);
	return size * n;
}

static void init_once(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static struct curl_slist *make_headers(const struct fetch_request *req)
{
	struct curl_slist *list = curl_slist_append(NULL, "Expect:");
	char *line;

	if (req->bearer) {
		line = mem_printf("Authorization: Bearer %s", req->bearer);
		list = curl_slist_append(list, line);
		OPENSSL_cleanse(line, strlen(line));
		free(line);
	}
	if (req->body)
		list = curl_slist_append(list, "Content-Type: application/json");
	return list;
}

static void set_options(
	CURL *curl, const struct fetch_request *req, struct sink *sink, char *message)
{
	curl_easy_setopt(curl, CURLOPT_URL, req->url);
	curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "lintel/" PACKAGE_VERSION);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, req->timeout_ms);
	/* Without it a slow name server is waited for beyond the deadline. */
	curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, sink);
	if (req->unix_path)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, req->unix_path);
	if (req->body) {
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(req->body));
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, req->body);
	}
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, req->method);
}

int fetch(const struct fetch_request *req, struct fetch_response *res, struct error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct sink sink = {.max = req->max_bytes};
	char message[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers;
	const char *where = req->unix_path ? req->unix_path : req->url;
	CURLcode code;
	CURL *curl;
	long os = 0;

	*res = (struct fetch_response){0};
	pthread_once(&once, init_once);
	curl = curl_easy_init();
	headers = make_headers(req);
	if (!curl || !headers)
		abort(); /* out of memory */
	set_options(curl, req, &sink, message);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	code = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &res->status);
	curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);

	if (sink.over)
		error_set(err, "%s: the answer has more than %zu bytes", where, req->max_bytes);
	else if (code == CURLE_COULDNT_CONNECT && os)
		error_set(err, "%s: %s", where, strerror((int)os));
	else if (code != CURLE_OK)
		error_set(err, "%s: %s", where, *message ? message : curl_easy_strerror(code));
	if (code != CURLE_OK) {
		str_clear(&sink.body);
		return -1;
	}
	str_add(&sink.body, "", 0);
	res->body = sink.body.data;
	res->len = sink.body.len;
	return 0;
}
