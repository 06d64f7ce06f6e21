/* SPDX-License-Identifier: MIT */
/*
 * fuzz_route.c - routes and calls of any bytes: nothing reads past its end, and what the indexes find
 * is what a walk over all routes finds. The input is a list of routes, then a call; its texts are
 * words of a short list, so that they meet, or bytes of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "proxy/route_internal.h"
#include "proxy/tls.h"

#define ROUTES_MAX  16
#define LIST_MAX    3
#define HEADERS_MAX 24

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const words[] = {
	"a.example", "*.example", "b.a.example", "A.Example:443", "[2001:db8::1]", "[2001:DB8:0::1]:1",
	"*.a.example", "example", "/s/m", "/s/", "/t.U/V", "/t.U/", "/", "/s/m?q=/x", "/s", "x-a",
	"x-b", "x-bin", "y-bin", "a", "aa", "AAAA", "AAA=", "aGVsbG8", "aGVsbG8=,AAAA", "(a+)+b", ".*",
	"/s/[a-z]+", "spiffe://a/b", "me@a.example", "", "203.0.113.7", "2001:db8::9",
};
#define WORDS (sizeof(words) / sizeof(words[0]))

struct input {
	const uint8_t *data;
	size_t left;
	char *kept[1024]; /* everything made of it */
	size_t n_kept;
};

static uint8_t byte(struct input *input)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->data++;
}

static void *keep(struct input *input, void *memory)
{
	if (!memory || input->n_kept == sizeof(input->kept) / sizeof(input->kept[0]))
		abort();
	return input->kept[input->n_kept++] = memory;
}

/* A word, or as many bytes as said. NUL-terminated, and no NUL inside. */
static char *text(struct input *input)
{
	uint8_t first = byte(input);
	size_t len = first < 2 * WORDS ? 0 : (size_t)(first - 2 * WORDS);
	char *out;

	if (first < 2 * WORDS)
		return keep(input, strdup(words[first % WORDS]));
	out = keep(input, malloc(len + 1));
	for (size_t i = 0; i < len; i++) {
		out[i] = (char)byte(input);
		if (!out[i])
			out[i] = 'z';
	}
	out[len] = '\0';
	return out;
}

static void texts(struct input *input, struct config_texts *to)
{
	to->n = byte(input) % (LIST_MAX + 1);
	to->items = keep(input, calloc(LIST_MAX, sizeof(*to->items)));
	for (size_t i = 0; i < to->n; i++)
		to->items[i] = text(input);
}

static void match(struct input *input, struct config_match *to)
{
	uint8_t what = byte(input);

	if (what & 1)
		texts(input, &to->hosts);
	if (what & 2) {
		to->n_paths = byte(input) % (LIST_MAX + 1);
		to->paths = keep(input, calloc(LIST_MAX, sizeof(*to->paths)));
		for (size_t i = 0; i < to->n_paths; i++) {
			size_t len;

			to->paths[i].match = byte(input) % 4;
			to->paths[i].text = text(input);
			len = strlen(to->paths[i].text);
			/* As the config's check has it. */
			if (to->paths[i].match < PATH_PREFIX)
				to->paths[i].match = len && to->paths[i].text[len - 1] == '/' ?
							     PATH_SERVICE : PATH_EXACT;
		}
	}
	if (what & 4) {
		to->n_metadata = byte(input) % (LIST_MAX + 1);
		to->metadata = keep(input, calloc(LIST_MAX, sizeof(*to->metadata)));
		for (size_t i = 0; i < to->n_metadata; i++) {
			to->metadata[i].key = text(input);
			to->metadata[i].match = byte(input) % 6;
			texts(input, &to->metadata[i].values);
		}
	}
	if (what & 8) {
		to->sources = keep(input, calloc(1, sizeof(*to->sources)));
		to->n_sources = !prefix_parse(to->sources, byte(input) & 1 ? "203.0.113.0/24" :
								      "2001:db8::/32");
	}
	if (what & 16)
		texts(input, &to->snis);
	if (what & 32)
		texts(input, &to->sans);
}

struct walk {
	size_t n;
	bool skipped_a_match;
};

static void on_passed_over(void *ctx, const struct config_route *route, const char *condition)
{
	struct walk *walk = ctx;

	walk->n++;
	if (!condition[0])
		walk->skipped_a_match = true;
}

static void call(struct input *input, struct route_table *table, struct config_route *routes,
		 size_t n_routes)
{
	struct h2_header *headers = keep(input, calloc(HEADERS_MAX, sizeof(*headers)));
	struct walk walk = { 0 };
	struct route_trace trace = { .ctx = &walk, .passed_over = on_passed_over };
	struct config_texts sans = { 0 };
	struct tls_peer peer = { .subject = "", .fingerprint = "" };
	struct route_facts facts = { .headers = headers };
	const struct route *plain, *traced;
	struct addr source;
	uint8_t what = byte(input);

	if (what & 1 && !addr_from_ip(&source, text(input), 5))
		facts.source = &source;
	if (what & 2) {
		peer.sni = text(input);
		texts(input, &sans);
		peer.sans = (const char *const *)sans.items;
		peer.n_sans = sans.n;
		facts.peer = &peer;
	}
	for (size_t n = byte(input) % HEADERS_MAX; facts.n < n && input->left;) {
		struct h2_header *header = &headers[facts.n++];

		header->name = facts.n == 1 ? ":path" : facts.n == 2 ? ":authority" : text(input);
		header->value = text(input);
		header->name_len = (uint32_t)strlen(header->name);
		header->value_len = (uint32_t)strlen(header->value);
	}
	plain = route_match(table, &facts, NULL);
	traced = route_match(table, &facts, &trace);
	if (plain != traced || walk.skipped_a_match)
		abort();
	if (!route_match_gave_up(table) &&
	    walk.n != (plain ? (size_t)(plain->config - routes) : n_routes))
		abort();
	if (plain) {
		route_group(plain, &facts);
		route_key_hash(&plain->config->sticky, &facts);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct config_group groups[3] = { { .name = (char *)"a" }, { .name = (char *)"b" },
						 { .name = (char *)"c" } };
	struct config config = { .groups = groups, .n_groups = 3 };
	struct input *input = calloc(1, sizeof(*input));
	struct config_route *routes = calloc(ROUTES_MAX, sizeof(*routes));
	struct config_split *splits = calloc(ROUTES_MAX * 2, sizeof(*splits));
	struct config_listener listener = { .routes = routes };
	struct route_table *table;
	char why[256];

	input->data = data;
	input->left = size;
	listener.n_routes = byte(input) % (ROUTES_MAX + 1);
	for (size_t i = 0; i < listener.n_routes; i++) {
		struct config_route *route = &routes[i];

		route->name = (char *)"r";
		route->status = -1;
		route->mirror_group = CONFIG_NO_GROUP;
		route->splits = &splits[2 * i];
		route->n_splits = 1 + byte(input) % 2;
		route->splits[0] = (struct config_split){ .group = 0, .weight = byte(input) };
		route->splits[1] = (struct config_split){ .group = 1, .weight = 1 };
		route->sticky.source = byte(input) % 5;
		route->sticky.metadata = (char *)"x-a";
		match(input, &route->match);
	}
	table = route_table_new(&config, &listener, 0, why, sizeof(why));
	for (unsigned calls = 0; table && calls < 4 && input->left; calls++)
		call(input, table, routes, listener.n_routes);
	route_table_free(table);
	while (input->n_kept)
		free(input->kept[--input->n_kept]);
	free(splits);
	free(routes);
	free(input);
	return 0;
}
