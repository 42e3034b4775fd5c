/* What the admin listener shows, gathered from the running parts. Control thread only. */
#ifndef LINTEL_VIEW_H
#define LINTEL_VIEW_H

#include "admin/admin.h"
#include "proxy/worker.h"
#include "renewals.h"

struct view {
	struct admin_view shown;
	struct admin_listener *listeners;
	struct admin_server *servers;
	struct admin_route *routes;
	struct admin_autocert *autocerts;
};

/* Fills v->shown but for started, loaded, reloads_*, last_reload_error, workers and draining, which
 * are the caller's. Valid until the next call or the next publication. */
void view_fill(struct view *v, const struct snapshot *snapshot, struct worker *const *workers,
	size_t n_workers, const struct renewals *renewals);
/* Why the process is not ready; nothing = it is. `served` is the table that every worker has by
 * now. */
void view_unready(const struct view *v, const struct certs *served, struct problems *reasons);
void view_clear(struct view *v);

#endif
