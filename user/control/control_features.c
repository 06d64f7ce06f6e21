/* SPDX-License-Identifier: MIT */
/*
 * control_features.c - see control_features.h. The kernel is asked anew each time: a sysctl may have
 * changed.
 */
#include "control/control_features.h"

#include <stdio.h>

#include "control/control_json.h"
#include "control/features.h"

static json_t *feature_rows(const struct features *features)
{
	json_t *rows = json_array();

	for (int i = 0; i < BPF_FEATURE_COUNT; i++) {
		const struct bpf_feature_row *row = &bpf_feature_rows[i];

		json_array_append_new(
			rows, json_pack("{s:s, s:o, s:s, s:b, s:s, s:s}", "feature", row->name, "has",
					features->asked ? json_boolean(features->has[i]) :
							  json_null(),
					"since_linux", row->since, "needed", row->needed,
					"used_for", row->used_for, "note",
					features_why(features, i)));
	}
	return rows;
}

static json_t *capability_rows(const struct features *features)
{
	json_t *rows = json_array();

	for (int i = 0; i < FEATURE_CAPABILITIES; i++)
		json_array_append_new(rows, json_pack("{s:s, s:b, s:s}", "capability",
						      features->capabilities[i].name, "has",
						      features->capabilities[i].has, "needed_for",
						      features->capabilities[i].needed_for));
	return rows;
}

static json_t *sysctl_rows(const struct features *features)
{
	json_t *rows = json_array();

	for (int i = 0; i < FEATURE_SYSCTLS; i++) {
		const struct feature_sysctl *sysctl = &features->sysctls[i];

		json_array_append_new(
			rows,
			json_pack("{s:s, s:o, s:s}", "sysctl", sysctl->name, "value",
				  sysctl->known ? json_integer(sysctl->value) : json_null(), "note",
				  sysctl->note ? sysctl->note : ""));
	}
	return rows;
}

json_t *control_features(const struct supervisor *supervisor, const json_t *request, char *why,
			 size_t why_size)
{
	const struct kernel *kernel = &supervisor->kernel;
	struct features features;
	json_t *answer;

	if (json_object_size(request) > 1) {
		snprintf(why, why_size, "this command takes no arguments");
		return NULL;
	}
	features_read(&features, kernel->cookies.known ? &kernel->cookies : NULL);
	answer = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "release", features.release,
			   "machine", features.machine, "state",
			   kernel_is_on(kernel) ? "on" : "off", "note", kernel->why, "features",
			   feature_rows(&features), "capabilities", capability_rows(&features),
			   "sysctls", sysctl_rows(&features));
	if (!answer)
		snprintf(why, why_size, "no memory");
	return answer;
}
