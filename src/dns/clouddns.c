/* The provider `clouddns`: two services are called so. Which one is meant is told by the options
 * that stand there, else by the environment. */
#include "dns/ops.h"

const struct dns_ops *dns_clouddns_choose(const struct conf_autocert *a, struct error *err)
{
	const char *cz = dns_options_key_of(&dns_clouddns_cz, &dns_gcloud, a),
		   *google = dns_options_key_of(&dns_gcloud, &dns_clouddns_cz, a);

	if (cz && google) {
		error_set(err,
			"\"%.100s\" is an option of CloudDNS.cz (client_id, email, password), "
			"\"%.100s\" one of Google Cloud DNS (service_account, project, zone_id, "
			"impersonate_service_account): keep those of one, or set the provider to "
			"clouddns_cz or gcloud",
			cz, google);
		return NULL;
	}
	if (cz || (!google && dns_options_in_environment(&dns_clouddns_cz)))
		return &dns_clouddns_cz;
	return &dns_gcloud;
}
