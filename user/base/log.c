/* SPDX-License-Identifier: MIT */
/*
 * log.c - formats one record into a fixed buffer and writes it to stderr with one write, so that
 * records of several processes do not mix. Called by everyone above base; base itself never
 * logs. Must not allocate, and must let nothing through that could end the line or move the
 * cursor: values may come from peers.
 */
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/loop.h"

/* Kept free for the closing quote, the mark of a cut record, "}" and the newline. */
#define TAIL_MAX 24

static struct {
	const char *role;
	enum log_level level;
	enum log_format format;
	bool journal;
} settings = { .role = "sluiced", .level = LOG_INFO };

static const char *const level_names[] = {
	[LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"
};

/* syslog's numbers; <syslog.h> would clash with enum log_level. */
static const char level_priorities[] = {
	[LOG_ERROR] = '3', [LOG_WARN] = '4', [LOG_INFO] = '6', [LOG_DEBUG] = '7'
};

struct line {
	char text[LOG_LINE_MAX];
	size_t at;
	bool cut;
};

/* systemd names the stream it gave us in JOURNAL_STREAM; stderr may have been redirected since. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2)
		return false;
	return fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == ino;
}

void log_init(const char *role, enum log_level level, enum log_format format)
{
	settings.role = role;
	settings.level = level;
	settings.format = format;
	settings.journal = stderr_is_journal();
}

bool log_enabled(enum log_level level)
{
	return level <= settings.level;
}

/* All or nothing. */
static bool put(struct line *line, const char *bytes, size_t length)
{
	if (line->cut || line->at + length > sizeof(line->text) - TAIL_MAX) {
		line->cut = true;
		return false;
	}
	memcpy(line->text + line->at, bytes, length);
	line->at += length;
	return true;
}

static bool put_str(struct line *line, const char *str)
{
	return put(line, str, strlen(str));
}

/* Length of the well-formed UTF-8 sequence at s (RFC 3629), or 0. */
static unsigned utf8_length(const unsigned char *s, unsigned *ret_code)
{
	static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned length, code, i;

	if (s[0] < 0x80) {
		*ret_code = s[0];
		return 1;
	}
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	length = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	code = s[0] & (0x7fu >> length);
	for (i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return length;
}

/* Controls, and what reorders or breaks lines on a terminal. */
static bool is_unsafe(unsigned code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069);
}

static bool put_escaped_byte(struct line *line, unsigned char byte)
{
	char text[8];

	switch (byte) {
	case '\n':
		return put_str(line, "\\n");
	case '\t':
		return put_str(line, "\\t");
	case '\r':
		return put_str(line, "\\r");
	}
	snprintf(text, sizeof(text), "\\x%02x", byte);
	return put_str(line, text);
}

static bool put_text_char(struct line *line, const unsigned char *s, unsigned length, unsigned code)
{
	unsigned i;

	if (code == '"' || code == '\\')
		return put(line, code == '"' ? "\\\"" : "\\\\", 2);
	if (length && !is_unsafe(code))
		return put(line, (const char *)s, length);
	for (i = 0; i < (length ? length : 1); i++)
		if (!put_escaped_byte(line, s[i]))
			return false;
	return true;
}

static bool put_json_char(struct line *line, const unsigned char *s, unsigned length, unsigned code)
{
	char text[8];

	if (code == '"' || code == '\\')
		return put(line, code == '"' ? "\\\"" : "\\\\", 2);
	if (length && !is_unsafe(code))
		return put(line, (const char *)s, length);
	snprintf(text, sizeof(text), "\\u%04x", length ? code : 0xfffd);
	return put(line, text, 6);
}

static void put_chars(struct line *line, const char *str)
{
	const unsigned char *s = (const unsigned char *)str;
	bool ok = true;

	while (*s && ok) {
		unsigned code = 0, length = utf8_length(s, &code);

		if (settings.format == LOG_JSON)
			ok = put_json_char(line, s, length, code);
		else
			ok = put_text_char(line, s, length, code);
		s += length ? length : 1;
	}
}

static bool needs_quotes(const char *str)
{
	const unsigned char *s = (const unsigned char *)str;

	if (!*s)
		return true;
	while (*s) {
		unsigned code, length = utf8_length(s, &code);

		if (!length || is_unsafe(code) || code == ' ' || code == '"' || code == '\\' ||
		    code == '=')
			return true;
		s += length;
	}
	return false;
}

/* The closing quote has its place in the tail, also where the value is cut. */
static void put_quoted(struct line *line, const char *str)
{
	if (!put(line, "\"", 1))
		return;
	put_chars(line, str);
	line->text[line->at++] = '"';
}

static void put_value(struct line *line, const struct log_field *field)
{
	const char *str = "";
	char number[24];

	switch (field->kind) {
	case LOG_FIELD_INT:
		snprintf(number, sizeof(number), "%lld", (long long)field->i64);
		put_str(line, number);
		return;
	case LOG_FIELD_UINT:
		snprintf(number, sizeof(number), "%llu", (unsigned long long)field->u64);
		put_str(line, number);
		return;
	case LOG_FIELD_ERRNO:
		str = strerror((int)(field->i64 < 0 ? -field->i64 : field->i64));
		break;
	case LOG_FIELD_STR:
		if (field->str)
			str = field->str;
		break;
	}
	if (settings.format == LOG_JSON || needs_quotes(str))
		put_quoted(line, str);
	else
		put_str(line, str);
}

static void put_field(struct line *line, const struct log_field *field)
{
	size_t start = line->at, value;

	if (line->cut)
		return;
	if (settings.format == LOG_JSON) {
		put_str(line, ",\"");
		put_str(line, field->key);
		put_str(line, "\":");
	} else {
		put_str(line, " ");
		put_str(line, field->key);
		put_str(line, "=");
	}
	value = line->at;
	put_value(line, field);
	/* A key of whose value nothing is left says nothing, and in JSON is an error. */
	if (line->cut && (line->at == value || (line->at == value + 2 && line->text[value] == '"')))
		line->at = start;
}

static void put_time(struct line *line)
{
	struct timespec ts;
	char text[40];
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(text + n, sizeof(text) - n, ".%03ldZ", ts.tv_nsec / 1000000);
	put_str(line, text);
}

static void put_head_text(struct line *line, enum log_level level, const char *message)
{
	char text[64];

	if (settings.journal) {
		/* journald stamps the time itself. */
		snprintf(text, sizeof(text), "<%c>", level_priorities[level]);
		put_str(line, text);
	} else {
		put_time(line);
		snprintf(text, sizeof(text), " %-5s ", level_names[level]);
		put_str(line, text);
	}
	snprintf(text, sizeof(text), "%.32s[%d] ", settings.role, (int)getpid());
	put_str(line, text);
	put_chars(line, message);
}

static void put_head_json(struct line *line, enum log_level level, const char *message)
{
	char text[96];

	put_str(line, "{\"time\":\"");
	put_time(line);
	snprintf(text, sizeof(text), "\",\"level\":\"%s\",\"role\":\"%.32s\",\"pid\":%d,\"message\":",
		 level_names[level], settings.role, (int)getpid());
	put_str(line, text);
	put_quoted(line, message);
}

void log_write(enum log_level level, const char *message, const struct log_field *fields,
	       unsigned n_fields)
{
	struct line line = { .at = 0 };
	const char *tail;
	unsigned i;

	if (!log_enabled(level))
		return;
	if (settings.format == LOG_JSON)
		put_head_json(&line, level, message);
	else
		put_head_text(&line, level, message);
	for (i = 0; i < n_fields && fields[i].key; i++)
		put_field(&line, &fields[i]);

	if (settings.format == LOG_JSON)
		tail = line.cut ? ",\"cut\":true}\n" : "}\n";
	else
		tail = line.cut ? " cut=true\n" : "\n";
	memcpy(line.text + line.at, tail, strlen(tail));
	line.at += strlen(tail);

	/* Nobody can be told that the log itself fails. */
	while (write(STDERR_FILENO, line.text, line.at) < 0 && errno == EINTR)
		;
}

bool log_limit_allow(struct log_limit *limit, uint64_t now_ns, unsigned burst)
{
	uint64_t second = now_ns / NS_PER_S;

	if (second != limit->second) {
		limit->second = second;
		limit->written = 0;
	}
	if (limit->written >= burst) {
		limit->suppressed++;
		return false;
	}
	limit->written++;
	return true;
}
