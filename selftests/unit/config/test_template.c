/* SPDX-License-Identifier: MIT */
/*
 * test_template.c - templates are taken apart as they are written, and what is wrong has its place.
 */
#include "cm.h"

#include <errno.h>
#include <string.h>

#include "config/template.h"

static void expect_part(const char *template, size_t *at, enum template_variable variable,
			const char *text)
{
	struct template_part part = { 0 };
	const char *why = NULL;

	assert_int_equal(template_next(template, at, &part, &why), 1);
	assert_int_equal(part.variable, variable);
	assert_int_equal(part.len, strlen(text));
	if (part.len)
		assert_memory_equal(part.text, text, part.len);
}

static void expect_end(const char *template, size_t at)
{
	struct template_part part;
	const char *why;

	assert_int_equal(template_next(template, &at, &part, &why), 0);
	assert_int_equal(at, strlen(template));
}

static void literals_and_variables_alternate(void **state)
{
	static const char template[] = "a {client.ip}{request.header.x-user}/b";
	size_t at = 0;

	expect_part(template, &at, TEMPLATE_LITERAL, "a ");
	expect_part(template, &at, TEMPLATE_CLIENT_IP, "");
	expect_part(template, &at, TEMPLATE_REQUEST_HEADER, "x-user");
	expect_part(template, &at, TEMPLATE_LITERAL, "/b");
	expect_end(template, at);
	expect_end("", 0);
}

static void doubled_braces_are_braces(void **state)
{
	static const char template[] = "{{{tls.sni}}}x{{";
	size_t at = 0;

	expect_part(template, &at, TEMPLATE_LITERAL, "{");
	expect_part(template, &at, TEMPLATE_TLS_SNI, "");
	expect_part(template, &at, TEMPLATE_LITERAL, "}");
	expect_part(template, &at, TEMPLATE_LITERAL, "x");
	expect_part(template, &at, TEMPLATE_LITERAL, "{");
	expect_end(template, at);
}

static void every_variable_is_known(void **state)
{
	static const struct {
		const char *text;
		enum template_variable variable;
	} variables[] = {
		{ "{client.ip}", TEMPLATE_CLIENT_IP },
		{ "{client.port}", TEMPLATE_CLIENT_PORT },
		{ "{listener.name}", TEMPLATE_LISTENER_NAME },
		{ "{route.name}", TEMPLATE_ROUTE_NAME },
		{ "{tls.sni}", TEMPLATE_TLS_SNI },
		{ "{tls.client.subject}", TEMPLATE_TLS_CLIENT_SUBJECT },
		{ "{tls.client.fingerprint}", TEMPLATE_TLS_CLIENT_FINGERPRINT },
		{ "{tls.client.san}", TEMPLATE_TLS_CLIENT_SAN },
		{ "{request.id}", TEMPLATE_REQUEST_ID },
		{ "{request.authority}", TEMPLATE_REQUEST_AUTHORITY },
		{ "{request.path}", TEMPLATE_REQUEST_PATH },
		{ "{backend.address}", TEMPLATE_BACKEND_ADDRESS },
		{ "{group.name}", TEMPLATE_GROUP_NAME },
	};

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		size_t at = 0;

		expect_part(variables[i].text, &at, variables[i].variable, "");
		expect_end(variables[i].text, at);
		assert_null(template_check(variables[i].text, true, &at));
		if (variables[i].variable >= TEMPLATE_BACKEND_ADDRESS)
			assert_non_null(template_check(variables[i].text, false, &at));
		else
			assert_null(template_check(variables[i].text, false, &at));
	}
}

static void faults_have_their_place(void **state)
{
	static const struct {
		const char *text;
		size_t at;
	} bad[] = {
		{ "{", 0 },	   { "ab{client.ip", 2 }, { "}", 0 },	     { "{client.ip}}", 11 },
		{ "{client.ip }", 0 }, { "{Client.ip}", 0 },  { "x{}", 1 },	     { "{{{", 2 },
		{ "{a{b}", 0 },	   { "{request.header.}", 0 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t at = 99;

		assert_non_null(template_check(bad[i].text, true, &at));
		assert_int_equal(at, bad[i].at);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(literals_and_variables_alternate),
		cmocka_unit_test(doubled_braces_are_braces),
		cmocka_unit_test(every_variable_is_known),
		cmocka_unit_test(faults_have_their_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
