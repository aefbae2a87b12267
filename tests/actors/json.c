// SPDX-License-Identifier: Apache-2.0
/*
 * What is told, as JSON. Strings are bytes in Linux: what is not UTF-8 becomes
 * \xNN, and a backslash that would look like that becomes \x5c.
 */
#include "actor.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <linux/openat2.h>
#include <netinet/in.h>

/* Length of the UTF-8 sequence that @at begins with, or 0. */
static size_t utf8_size(const unsigned char *at, size_t left)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t point;
	size_t size;

	if (at[0] < 0x80)
		return 1;
	size = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
	if (at[0] < 0xc2 || at[0] > 0xf4 || size > left)
		return 0;
	point = at[0] & (0x7f >> size);
	for (size_t i = 1; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | (at[i] & 0x3f);
	}
	if (point < least[size] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	return size;
}

static bool is_lower_hex(unsigned char c)
{
	return isdigit(c) || (c >= 'a' && c <= 'f');
}

void json_bytes(FILE *to, const char *bytes, size_t size)
{
	const unsigned char *at = (const unsigned char *)bytes, *end = at + size;

	fputc('"', to);
	while (at < end) {
		size_t step = utf8_size(at, end - at);

		if (!step) {
			fprintf(to, "\\\\x%02x", *at++);
			continue;
		}
		if (*at == '\\' && end - at > 3 && at[1] == 'x' && is_lower_hex(at[2]) && is_lower_hex(at[3]))
			fputs("\\\\x5c", to);
		else if (*at == '"' || *at == '\\')
			fprintf(to, "\\%c", *at);
		else if (*at < 0x20)
			fprintf(to, "\\u%04x", *at);
		else
			fwrite(at, 1, step, to);
		at += step;
	}
	fputc('"', to);
}

void json_string(FILE *to, const char *string)
{
	if ((uintptr_t)string < 4096) /* NULL, or bad on purpose */
		fputs("null", to);
	else
		json_bytes(to, string, strlen(string));
}

void json_address(FILE *to, const struct sockaddr_storage *address, size_t size)
{
	const struct sockaddr_in *v4 = (const void *)address;
	const struct sockaddr_in6 *v6 = (const void *)address;
	const struct sockaddr_un *local = (const void *)address;
	char text[INET6_ADDRSTRLEN];

	if ((uintptr_t)address < 4096) {
		fputs("null", to);
		return;
	}
	fprintf(to, "{\"family\": %d", address->ss_family);
	if (address->ss_family == AF_INET) {
		inet_ntop(AF_INET, &v4->sin_addr, text, sizeof(text));
		fprintf(to, ", \"address\": \"%s\", \"port\": %d", text, ntohs(v4->sin_port));
	} else if (address->ss_family == AF_INET6) {
		inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof(text));
		fprintf(to, ", \"address\": \"%s\", \"port\": %d", text, ntohs(v6->sin6_port));
	} else if (address->ss_family == AF_UNIX && size > offsetof(struct sockaddr_un, sun_path)) {
		size -= offsetof(struct sockaddr_un, sun_path);
		if (local->sun_path[0]) {
			fputs(", \"path\": ", to);
			json_bytes(to, local->sun_path, strnlen(local->sun_path, size));
		} else {
			fputs(", \"abstract\": ", to);
			json_bytes(to, local->sun_path + 1, size - 1);
		}
	}
	fputc('}', to);
}

void json_vector(FILE *to, char *const *vector)
{
	if ((uintptr_t)vector < 4096) {
		fputs("null", to);
		return;
	}
	fputc('[', to);
	for (int i = 0; vector[i]; i++) {
		fputs(i ? ", " : "", to);
		json_string(to, vector[i]);
	}
	fputc(']', to);
}

static void json_how(FILE *to, const struct open_how *how)
{
	if ((uintptr_t)how < 4096)
		fputs("null", to);
	else
		fprintf(to, "{\"flags\": %llu, \"mode\": %llu, \"resolve\": %llu}", how->flags, how->mode, how->resolve);
}

void json_arguments(FILE *to, const struct call *call, const long *arguments)
{
	fputc('{', to);
	for (int i = 0; i < ARGUMENTS && call->arguments[i].kind; i++) {
		long value = arguments[i];

		fprintf(to, "%s\"%s\": ", i ? ", " : "", call->arguments[i].name);
		switch (call->arguments[i].kind) {
		case INT:
			fprintf(to, "%d", (int)value);
			break;
		case STRING:
			json_string(to, (const char *)value);
			break;
		case VECTOR:
			json_vector(to, (char *const *)value);
			break;
		case ADDRESS:
			json_address(to, (const void *)value, arguments[i + 1]);
			break;
		case HOW:
			json_how(to, (const void *)value);
			break;
		case LONG:
			fprintf(to, "%ld", value);
			break;
		default: /* where memory lies is nobody's business */
			fputs("null", to);
			break;
		}
	}
	fputc('}', to);
}
