#include "proxy/wire.h"

#include <stdlib.h>
#include <string.h>

int wire_flush(struct wire *w, struct conn *to, struct conn *other)
{
	size_t n = w->out_len;
	int rc;

	w->out_len = 0;
	if (!n)
		return 0;
	rc = conn_send(to, w->out, n);
	if (rc == 1)
		conn_pause(other);
	if (conn_queued(to) > ANSWERS_MAX)
		conn_pause(to);
	return rc < 0 ? -1 : 0;
}

int wire_read(struct wire *w, BIO *b, char *data, int size)
{
	size_t n = w->in_len < (size_t)size ? w->in_len : (size_t)size;

	BIO_clear_retry_flags(b);
	if (!n) {
		BIO_set_retry_read(b);
		return -1;
	}
	memcpy(data, w->in, n);
	w->in += n;
	w->in_len -= n;
	return (int)n;
}

int wire_write(struct wire *w, BIO *b, const char *data, int len, int (*flush)(struct session *),
	struct session *s)
{
	size_t left = (size_t)len;

	BIO_clear_retry_flags(b);
	while (left) {
		size_t room = WIRE_OUT - w->out_len, n = left < room ? left : room;

		memcpy(w->out + w->out_len, data, n);
		w->out_len += n;
		data += n;
		left -= n;
		if (w->out_len == WIRE_OUT && flush(s) < 0)
			return -1;
	}
	return len;
}

static long ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

BIO_METHOD *wire_method(const char *name, int (*read)(BIO *b, char *data, int size),
	int (*write)(BIO *b, const char *data, int len))
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, name);

	if (!m || !BIO_meth_set_read(m, read) || !BIO_meth_set_write(m, write) ||
		!BIO_meth_set_ctrl(m, ctrl))
		abort();
	return m;
}

BIO *wire_bio(BIO_METHOD *method, struct session *s)
{
	BIO *bio = BIO_new(method);

	if (!bio)
		abort();
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	return bio;
}
