#include "proxy/redirect.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const char *const redirect_status_names[REDIRECT_STATUSES] = {
	[REDIRECT_308] = "308",
	[REDIRECT_400] = "400",
	[REDIRECT_408] = "408",
	[REDIRECT_431] = "431",
	[REDIRECT_505] = "505",
};

static const char *const reasons[REDIRECT_STATUSES] = {
	[REDIRECT_308] = "Permanent Redirect",
	[REDIRECT_400] = "Bad Request",
	[REDIRECT_408] = "Request Timeout",
	[REDIRECT_431] = "Request Header Fields Too Large",
	[REDIRECT_505] = "HTTP Version Not Supported",
};

enum redirect_status redirect_read(struct request *r, const char *head, size_t len)
{
	switch (request_parse(r, head, len)) {
	case REQUEST_WHOLE: return REDIRECT_308;
	case REQUEST_BAD: return REDIRECT_400;
	case REQUEST_TOO_LARGE: return REDIRECT_431;
	case REQUEST_BAD_VERSION: return REDIRECT_505;
	case REQUEST_UNFINISHED: break;
	}
	return REDIRECT_STATUSES;
}

size_t redirect_write(char out[REDIRECT_ANSWER_MAX], enum redirect_status status,
	const struct request *r, uint16_t port, int64_t now)
{
	char date[64], shown_port[8] = "";
	time_t when = now;
	struct tm tm;
	int n;

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&when, &tm));
	n = snprintf(out, REDIRECT_ANSWER_MAX, "HTTP/1.1 %s %s\r\nDate: %s\r\n",
		redirect_status_names[status], reasons[status], date);
	if (port != HTTPS_PORT)
		snprintf(shown_port, sizeof(shown_port), ":%u", port);
	if (status == REDIRECT_308)
		n += snprintf(out + n, REDIRECT_ANSWER_MAX - (size_t)n,
			"Location: https://%s%s%.*s\r\n", r->host, shown_port, (int)r->target_len,
			r->target);
	n += snprintf(out + n, REDIRECT_ANSWER_MAX - (size_t)n,
		"Content-Length: 0\r\nConnection: close\r\n\r\n");
	return (size_t)n; /* it fits: the target is shorter than the head that it stands in */
}
