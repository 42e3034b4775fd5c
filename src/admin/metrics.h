/* The Prometheus text of /metrics (exposition format 0.0.4). Plain function, control thread. */
#ifndef LINTEL_ADMIN_METRICS_H
#define LINTEL_ADMIN_METRICS_H

#include "admin/admin.h"
#include "base/str.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Servers and certificates have a time series each up to ADMIN_LIST_MAX of them. */
void metrics_write(struct str *out, const struct admin_view *v);

#endif
