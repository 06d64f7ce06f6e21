/* SPDX-License-Identifier: MIT */
/*
 * log.h - one line a record, to stderr: what happened, then key=value fields. As text, as text
 * with journald's <N> priorities (where stderr is the journal), or as JSON. Records longer than
 * LOG_LINE_MAX are cut. Values are quoted and escaped where they need it, so a peer cannot forge
 * a line.
 */
#ifndef SLUICE_BASE_LOG_H
#define SLUICE_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_LINE_MAX 2048

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

struct log_field {
	const char *key; /* NULL: end of the fields, or nothing (first place only) */
	enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_UINT, LOG_FIELD_ERRNO } kind;
	union {
		const char *str; /* NULL prints as "" */
		int64_t i64;
		uint64_t u64;
	};
};

#define F_STR(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_STR, .str = (v) })
#define F_INT(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_INT, .i64 = (v) })
#define F_UINT(k, v) ((struct log_field){ .key = (k), .kind = LOG_FIELD_UINT, .u64 = (v) })
/* error=strerror(err); takes errno values of either sign. */
#define F_ERR(err) ((struct log_field){ .key = "error", .kind = LOG_FIELD_ERRNO, .i64 = (err) })

/* role: "supervisor", "worker", "monitor": a field of every line, with the pid. */
void log_init(const char *role, enum log_level level, enum log_format format);
void log_write(enum log_level level, const char *message, const struct log_field *fields,
	       unsigned n_fields);
bool log_enabled(enum log_level level);

#define log_at(level, msg, ...)                                                                    \
	do {                                                                                       \
		if (log_enabled(level)) {                                                          \
			const struct log_field log_fields_[] = { { 0 }, ##__VA_ARGS__ };           \
			log_write(level, msg, log_fields_ + 1,                                     \
				  sizeof(log_fields_) / sizeof(log_fields_[0]) - 1);               \
		}                                                                                  \
	} while (0)
#define log_error(msg, ...) log_at(LOG_ERROR, msg, ##__VA_ARGS__)
#define log_warn(msg, ...) log_at(LOG_WARN, msg, ##__VA_ARGS__)
#define log_info(msg, ...) log_at(LOG_INFO, msg, ##__VA_ARGS__)
#define log_debug(msg, ...) log_at(LOG_DEBUG, msg, ##__VA_ARGS__)

/* For the data path: true while fewer than burst lines were written in this second. */
struct log_limit {
	uint64_t second;
	unsigned written, suppressed;
};
bool log_limit_allow(struct log_limit *limit, uint64_t now_ns, unsigned burst);

#endif
