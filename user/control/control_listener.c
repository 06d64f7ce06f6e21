/* SPDX-License-Identifier: MIT */
/*
 * control_listener.c - the requests "drain-listener" and "undrain-listener", see control_listener.h.
 * Called by control.c only.
 */
#include <errno.h>
#include <string.h>

#include "control/control_listener.h"
#include "control/listener_drain.h"

bool control_listener_is(const char *command)
{
	return !strcmp(command, "drain-listener") || !strcmp(command, "undrain-listener");
}

json_t *control_listener(struct supervisor *supervisor, const json_t *request)
{
	const char *command = json_string_value(json_object_get(request, "command"));
	const char *name = json_string_value(json_object_get(request, "listener"));
	char why[160] = "";
	int ret;

	if (!name || json_object_size(request) != 2)
		return json_pack("{s:s}", "error", "this command wants a \"listener\"");
	if (!strcmp(command, "drain-listener"))
		ret = listener_drain(supervisor, name);
	else
		ret = listener_undrain(supervisor, name, why, sizeof(why));
	if (!ret)
		return json_pack("{s:b}", "ok", 1);
	if (ret == -ENOENT)
		return json_pack("{s:o}", "error",
				 json_sprintf("there is no listener \"%s\"", name));
	return json_pack("{s:o}", "error",
			 json_sprintf("listener \"%s\": %s", name, why[0] ? why : strerror(-ret)));
}
