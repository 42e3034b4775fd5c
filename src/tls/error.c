#include "tls/error.h"

#include <openssl/err.h>
#include <stdio.h>

const char *tls_error_text(char out[ERROR_MAX])
{
	const char *data = NULL, *reason;
	int flags = 0;
	unsigned long e = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);

	reason = e ? ERR_reason_error_string(e) : NULL;
	snprintf(out, ERROR_MAX, "%s%s%s", reason ? reason : "unknown error",
		data && *data && (flags & ERR_TXT_STRING) ? ", " : "",
		data && (flags & ERR_TXT_STRING) ? data : "");
	ERR_clear_error();
	return out;
}

int tls_error_set(struct error *err, const char *fmt, ...)
{
	char what[ERROR_MAX], why[ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return error_set(err, "%s: %s", what, tls_error_text(why));
}
