/* SPDX-License-Identifier: MIT */
/*
 * h2_hpack.c - header compression (RFC 7541) by nghttp2's codec, and the only file that calls
 * nghttp2 besides h2_fields.c's character checks. A codec is made when the first block needs it: an
 * idle connection has none.
 */
#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <string.h>

#include "proxy/h2_mem.h"
#include "proxy/h2_session.h"

/* RFC 7541 4.2: what we announce (the default) and at most use. */
#define TABLE_SIZE 4096u

static void *mem_alloc(size_t size, void *user_data)
{
	return h2_mem_alloc(size);
}

static void *mem_zalloc(size_t n, size_t size, void *user_data)
{
	return h2_mem_zalloc(n, size);
}

static void *mem_resize(void *block, size_t size, void *user_data)
{
	return h2_mem_resize(block, size);
}

static void mem_free(void *block, void *user_data)
{
	h2_mem_free(block);
}

static nghttp2_mem mem = { NULL, mem_alloc, mem_free, mem_zalloc, mem_resize };

/* struct h2_codec is nghttp2's object under another name, so that no other file sees it. */
static nghttp2_hd_inflater *inflater(struct h2_codec **decoder)
{
	nghttp2_hd_inflater *made;

	if (!*decoder && !nghttp2_hd_inflate_new2(&made, &mem))
		*decoder = (struct h2_codec *)made;
	return (nghttp2_hd_inflater *)*decoder;
}

static nghttp2_hd_deflater *deflater(struct h2_codec **encoder)
{
	nghttp2_hd_deflater *made;

	if (!*encoder && !nghttp2_hd_deflate_new2(&made, TABLE_SIZE, &mem))
		*encoder = (struct h2_codec *)made;
	return (nghttp2_hd_deflater *)*encoder;
}

int h2_hpack_decode(struct h2_codec **decoder, struct h2_fields *block, const uint8_t *bytes,
		    size_t size, bool last)
{
	nghttp2_hd_inflater *hd = inflater(decoder);

	if (!hd)
		return -ENOMEM;
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t n = nghttp2_hd_inflate_hd2(hd, &nv, &flags, bytes, size, last);

		if (n < 0)
			return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EBADMSG;
		bytes += n;
		size -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT)
			h2_fields_add(block, nv.name, nv.namelen, nv.value, nv.valuelen,
				     nv.flags & NGHTTP2_NV_FLAG_NO_INDEX);
		if (flags & NGHTTP2_HD_INFLATE_FINAL) {
			nghttp2_hd_inflate_end_headers(hd);
			return 0;
		}
		if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && !size)
			return 0;
	}
}

/* One block is encoded at a time. */
static nghttp2_nv nv_scratch[H2_HEADERS_MAX];

/* How many of them stand before the first that is to go out verbatim. */
static size_t fill_scratch(const struct h2_header *headers, size_t n)
{
	size_t i;

	for (i = 0; i < n && headers[i].sensitive != H2_VERBATIM; i++) {
		nv_scratch[i].name = (uint8_t *)(uintptr_t)headers[i].name;
		nv_scratch[i].namelen = headers[i].name_len;
		nv_scratch[i].value = (uint8_t *)(uintptr_t)headers[i].value;
		nv_scratch[i].valuelen = headers[i].value_len;
		nv_scratch[i].flags = headers[i].sensitive ? NGHTTP2_NV_FLAG_NO_INDEX :
							     NGHTTP2_NV_FLAG_NONE;
	}
	return i;
}

size_t h2_hpack_bound(const struct h2_header *headers, size_t n)
{
	size_t bound = 12; /* two changes of the table's size */

	for (size_t i = 0; i < n; i++)
		bound += 12 + headers[i].name_len + headers[i].value_len;
	return bound;
}

/* RFC 7541 5.2, not Huffman-coded; less than 16 KiB. */
static uint8_t *put_text(uint8_t *at, const char *text, size_t len)
{
	if (len < 127) {
		*at++ = (uint8_t)len;
	} else {
		*at++ = 127;
		len -= 127;
		if (len >= 128)
			*at++ = (uint8_t)(len & 127) | 128;
		*at++ = (uint8_t)(len >= 128 ? len >> 7 : len);
		len += 127;
	}
	memcpy(at, text, len);
	return at + len;
}

/* RFC 7541 6.2.3: a literal never indexed leaves no trace in the table, so nghttp2 need not know. */
static size_t put_verbatim(uint8_t *dst, const struct h2_header *header)
{
	uint8_t *at = dst;

	*at++ = 0x10;
	at = put_text(at, header->name, header->name_len);
	at = put_text(at, header->value, header->value_len);
	return (size_t)(at - dst);
}

ssize_t h2_hpack_encode(struct h2_codec **encoder, uint8_t *dst, size_t size,
			const struct h2_header *headers, size_t n)
{
	nghttp2_hd_deflater *hd = deflater(encoder);
	size_t at = 0;

	if (!hd)
		return -ENOMEM;
	for (size_t i = 0; i < n;) {
		size_t plain = fill_scratch(headers + i, n - i);
		ssize_t len = nghttp2_hd_deflate_hd(hd, dst + at, size - at, nv_scratch, plain);

		if (len < 0)
			return -ENOMEM;
		at += (size_t)len;
		for (i += plain; i < n && headers[i].sensitive == H2_VERBATIM; i++)
			at += put_verbatim(dst + at, &headers[i]);
	}
	return (ssize_t)at;
}

int h2_hpack_set_table_size(struct h2_codec **encoder, uint32_t size)
{
	nghttp2_hd_deflater *hd = deflater(encoder);

	return hd && !nghttp2_hd_deflate_change_table_size(hd, size) ? 0 : -ENOMEM;
}

void h2_hpack_free_decoder(struct h2_codec *decoder)
{
	if (decoder)
		nghttp2_hd_inflate_del((nghttp2_hd_inflater *)decoder);
}

void h2_hpack_free_encoder(struct h2_codec *encoder)
{
	if (encoder)
		nghttp2_hd_deflate_del((nghttp2_hd_deflater *)encoder);
}
