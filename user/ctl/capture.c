/* SPDX-License-Identifier: MIT */
/*
 * capture.c - sluicectl capture: packets of chosen verdicts into a pcapng file, each with its verdict as
 * a comment.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "ctl/ctl.h"
#include "ctl/listen.h"
#include "ctl/pcapng.h"
#include "sluice/abi.h"
#include "sluice/control.h"

struct capture {
	struct pcapng pcapng;
	const char *path;
	int err; /* of the file */
};

static const char *text_of(const json_t *event, const char *key)
{
	const char *text = json_string_value(json_object_get(event, key));

	return text ? text : "";
}

static void comment_of(const json_t *event, char *text, size_t size)
{
	const char *listener = text_of(event, "listener"), *reason = text_of(event, "reason");
	unsigned number = listen_reason(reason);

	snprintf(text, size, "%s: %s%s%s", reason,
		 number < VERDICT_MAX ? listen_texts[number] : "?",
		 *listener ? "; listener " : "", listener);
}

static int on_event(void *context, const json_t *event, const char *line)
{
	struct capture *capture = context;
	const char *base64 = text_of(event, "packet");
	uint8_t bytes[SLUICE_EVENT_SNAP];
	ssize_t len = base64_decode(bytes, sizeof(bytes), base64, strlen(base64));
	char comment[512];
	struct pcapng_packet packet = {
		.ifindex = (uint32_t)json_integer_value(json_object_get(event, "ifindex")),
		.interface = json_string_value(json_object_get(event, "interface")),
		.time_ns = (uint64_t)json_integer_value(json_object_get(event, "time_ns")),
		.bytes = bytes,
		.len = len < 0 ? 0 : (uint32_t)len,
		.wire_bytes = (uint32_t)json_integer_value(json_object_get(event, "bytes")),
		.comment = comment,
	};

	comment_of(event, comment, sizeof(comment));
	capture->err = pcapng_write(&capture->pcapng, &packet);
	return capture->err;
}

static FILE *open_output(const char *path)
{
	FILE *file;

	if (strcmp(path, "-"))
		file = fopen(path, "wbe");
	else if (isatty(STDOUT_FILENO))
		file = NULL, errno = ENOTSUP;
	else
		return stdout;
	if (!file)
		fprintf(stderr, "sluicectl: cannot write %s: %s\n", path,
			errno == ENOTSUP ? "a capture is no text for a terminal" : strerror(errno));
	return file;
}

/* What was written may still be refused by the disk. */
static int close_output(struct capture *capture, FILE *file)
{
	if (!capture->err && (fflush(file) || ferror(file)))
		capture->err = -errno;
	if (file != stdout && fclose(file) && !capture->err)
		capture->err = -errno;
	if (capture->err)
		fprintf(stderr, "sluicectl: cannot write %s: %s\n", capture->path,
			strerror(-capture->err));
	return capture->err;
}

int ctl_capture(const struct ctl *ctl)
{
	struct capture capture = { .path = ctl_option(ctl, "write") };
	struct listen listen = {
		.mask = listen_mask_default(),
		.packets = true,
		.on_event = on_event,
		.context = &capture,
	};
	int ret = listen_options(ctl, &listen);
	FILE *file;

	if (ret)
		return ret;
	if (!capture.path) {
		fputs("sluicectl: capture wants a file to write: -w FILE, or -w - for a pipe\n", stderr);
		return CTL_USAGE;
	}
	file = open_output(capture.path);
	if (!file)
		return CTL_FAILED;
	capture.err = pcapng_begin(&capture.pcapng, file, "sluicectl " SLUICE_VERSION);
	ret = capture.err ? CTL_FAILED : listen_run(ctl, &listen);
	pcapng_done(&capture.pcapng);
	if (close_output(&capture, file))
		ret = CTL_FAILED;
	fprintf(stderr, "%llu packet%s written\n", (unsigned long long)listen.events,
		listen.events == 1 ? "" : "s");
	listen_say_lost(&listen);
	return ret;
}
