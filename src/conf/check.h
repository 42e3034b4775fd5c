/* Rules between options: what one option alone cannot get wrong. One thread. */
#ifndef LINTEL_CONF_CHECK_H
#define LINTEL_CONF_CHECK_H

#include "conf/conf.h"
#include "conf/option.h"

/* Adds every problem of `conf`, which was read from `root`; what is missing in it, because it was
 * wrong, is passed over. Autocert is in providers.c. */
void check_conf(struct option_loader *ld, const struct node *root, const struct conf *conf);
/* The admin block alone; its node, which may be NULL when it is not set. */
void check_admin(struct option_loader *ld, const struct node *node, const struct conf_admin *a);

#endif
