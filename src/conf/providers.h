/* The block `autocert`: main, and the extras that start as copies of it. One thread. */
#ifndef LINTEL_CONF_PROVIDERS_H
#define LINTEL_CONF_PROVIDERS_H

#include "conf/conf.h"
#include "conf/option.h"

/* Fills conf->providers (main is there even without the block) from `root`, and checks them. */
void providers_load(struct option_loader *ld, const struct node *root, struct conf *conf);
void providers_clear(struct conf *conf);

#endif
