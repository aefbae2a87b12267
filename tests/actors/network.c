// SPDX-License-Identifier: Apache-2.0
/*
 * Network: sockets of all families, both ends of a connection, and DNS queries
 * by every call that can send one. Nothing leaves the machine.
 */
#include "actor.h"
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/un.h>

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un local;
	struct sockaddr_storage storage;
};

struct end {
	int domain;
	union address address;
	socklen_t size;
};

/* A machine that has just booted may have its loopback down; then the case brings up one of its own. */
static void must_have_loopback(void)
{
	struct ifreq request = {.ifr_name = "lo"};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));

	MUST(ioctl(fd, SIOCGIFFLAGS, &request));
	if (!(request.ifr_flags & IFF_UP)) {
		close(fd);
		MUST(unshare(CLONE_NEWNET));
		fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
		request.ifr_flags |= IFF_UP;
		MUST(ioctl(fd, SIOCSIFFLAGS, &request));
	}
	close(fd);
}

static struct end ipv4(int port)
{
	struct end end = {.domain = AF_INET, .size = sizeof(struct sockaddr_in)};

	must_have_loopback();
	end.address.v4.sin_family = AF_INET;
	end.address.v4.sin_port = htons(port);
	end.address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return end;
}

static struct end ipv6(int port)
{
	struct end end = {.domain = AF_INET6, .size = sizeof(struct sockaddr_in6)};

	must_have_loopback();
	end.address.v6.sin6_family = AF_INET6;
	end.address.v6.sin6_port = htons(port);
	end.address.v6.sin6_addr = in6addr_loopback;
	return end;
}

static struct end unix_path(const char *path)
{
	struct end end = {.domain = AF_UNIX};

	end.address.local.sun_family = AF_UNIX;
	strcpy(end.address.local.sun_path, path);
	end.size = offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
	return end;
}

/* The name begins with NUL, and may hold any byte: its size ends it. */
static struct end unix_abstract(void)
{
	struct end end = {.domain = AF_UNIX};

	end.address.local.sun_family = AF_UNIX;
	end.size = offsetof(struct sockaddr_un, sun_path) + 1 +
		   sprintf(end.address.local.sun_path + 1, "actor \xff\n%d", getpid());
	return end;
}

static int make_socket(const struct end *end, int type)
{
	int fd = socket(end->domain, type | SOCK_CLOEXEC, 0);

	if (fd < 0 && errno == EAFNOSUPPORT)
		unsupported("the kernel has no address family %d", end->domain);
	return MUST(fd);
}

static void bind_to(int fd, struct end *end)
{
	if (bind(fd, &end->address.any, end->size) && errno == EADDRNOTAVAIL)
		unsupported("the machine has no such address");
	MUST(getsockname(fd, &end->address.any, (end->size = sizeof(end->address), &end->size)));
}

/* A socket that listens at @end, which is told where that is. */
static int listener(struct end *end)
{
	int fd = make_socket(end, SOCK_STREAM);

	bind_to(fd, end);
	MUST(listen(fd, 4));
	return fd;
}

static void local_end(int fd)
{
	struct end end = {.size = sizeof(end.address)};

	MUST(getsockname(fd, &end.address.any, &end.size));
	address_is(&end.address, end.size);
}

static void far_end(int fd)
{
	struct end end = {.size = sizeof(end.address)};

	MUST(getpeername(fd, &end.address.any, &end.size));
	address_is(&end.address, end.size);
}

/* ---- socket ---- */

CASE(socket, tcp, 0)
{
	CALL(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP);
}

CASE(socket, tcp6, 0)
{
	CALL(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

CASE(socket, udp, 0)
{
	CALL(AF_INET, SOCK_DGRAM, IPPROTO_UDP);
}

CASE(socket, raw, 0)
{
	CALL(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

CASE(socket, unix, 0)
{
	CALL(AF_UNIX, SOCK_SEQPACKET, 0);
}

CASE(socket, netlink, 0)
{
	CALL(AF_NETLINK, SOCK_RAW, 0);
}

CASE(socket, unknown_family, EAFNOSUPPORT)
{
	CALL(99, SOCK_STREAM, 0);
}

CASE(socket, unknown_type, EINVAL)
{
	CALL(AF_INET, 15, 0);
}

CASE(socket, raw_denied, EPERM)
{
	become_nobody();
	CALL(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

/* ---- connect ---- */

static void connect_to(struct end end)
{
	int fd;

	listener(&end);
	fd = make_socket(&end, SOCK_STREAM);
	CALL(fd, &end.address, end.size);
	far_end(fd);
}

CASE(connect, ipv4, 0)
{
	connect_to(ipv4(0));
}

CASE(connect, ipv6, 0)
{
	connect_to(ipv6(0));
}

CASE(connect, unix_path, 0)
{
	connect_to(unix_path("socket"));
}

CASE(connect, unix_abstract, 0)
{
	connect_to(unix_abstract());
}

/* An IPv4 address as an IPv6 socket calls it. */
CASE(connect, mapped, 0)
{
	struct end end = ipv4(0), mapped = ipv6(0);
	int fd;

	listener(&end);
	mapped.address.v6.sin6_port = end.address.v4.sin_port;
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &mapped.address.v6.sin6_addr);
	fd = make_socket(&mapped, SOCK_STREAM);
	CALL(fd, &mapped.address, mapped.size);
	far_end(fd);
}

CASE(connect, udp, 0)
{
	struct end end = ipv4(9);
	int fd = make_socket(&end, SOCK_DGRAM);

	CALL(fd, &end.address, end.size);
	far_end(fd);
}

/* Takes back what a datagram socket is connected to. */
CASE(connect, unspecified, 0)
{
	struct end end = ipv4(9);
	int fd = make_socket(&end, SOCK_DGRAM);

	MUST(connect(fd, &end.address.any, end.size));
	end.address.any.sa_family = AF_UNSPEC;
	CALL(fd, &end.address, end.size);
}

CASE(connect, refused, ECONNREFUSED)
{
	struct end end = ipv4(0);
	int fd = make_socket(&end, SOCK_STREAM);

	bind_to(make_socket(&end, SOCK_STREAM), &end); /* taken, but nobody listens */
	CALL(fd, &end.address, end.size);
}

CASE(connect, refused6, ECONNREFUSED)
{
	struct end end = ipv6(0);
	int fd = make_socket(&end, SOCK_STREAM);

	bind_to(make_socket(&end, SOCK_STREAM), &end);
	CALL(fd, &end.address, end.size);
}

CASE(connect, nobody_there, ENOENT)
{
	struct end end = unix_path("socket");

	CALL(make_socket(&end, SOCK_STREAM), &end.address, end.size);
}

CASE(connect, not_socket, ENOTSOCK)
{
	struct end end = ipv4(9);

	make_file("leaf", 0644, "");
	CALL(MUST(open("leaf", O_RDWR)), &end.address, end.size);
}

CASE(connect, short_address, EINVAL)
{
	struct end end = ipv4(9);

	CALL(make_socket(&end, SOCK_STREAM), &end.address, 3);
}

/* ---- bind ---- */

static void bind_at(struct end end)
{
	int fd = make_socket(&end, SOCK_STREAM);

	CALL(fd, &end.address, end.size);
	local_end(fd);
}

CASE(bind, ipv4, 0)
{
	bind_at(ipv4(0));
}

CASE(bind, ipv6, 0)
{
	bind_at(ipv6(0));
}

CASE(bind, unix_path, 0)
{
	bind_at(unix_path("socket"));
}

CASE(bind, unix_abstract, 0)
{
	bind_at(unix_abstract());
}

/* The longest path that fits, without a NUL at its end. */
CASE(bind, unix_unterminated, 0)
{
	struct end end = unix_path("");

	memset(end.address.local.sun_path, 's', sizeof(end.address.local.sun_path));
	end.size = sizeof(struct sockaddr_un);
	CALL(make_socket(&end, SOCK_STREAM), &end.address, end.size);
}

CASE(bind, in_use, EADDRINUSE)
{
	struct end end = ipv4(0);

	listener(&end);
	CALL(make_socket(&end, SOCK_STREAM), &end.address, end.size);
}

CASE(bind, not_ours, EADDRNOTAVAIL)
{
	struct end end = ipv4(0);

	end.address.v4.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1, of nobody */
	CALL(make_socket(&end, SOCK_STREAM), &end.address, end.size);
}

CASE(bind, exists, EADDRINUSE)
{
	struct end end = unix_path("socket");

	make_file("socket", 0644, "");
	CALL(make_socket(&end, SOCK_STREAM), &end.address, end.size);
}

/* ---- listen, accept ---- */

CASE(listen, ipv4, 0)
{
	struct end end = ipv4(0);
	int fd = make_socket(&end, SOCK_STREAM);

	bind_to(fd, &end);
	CALL(fd, 7);
	local_end(fd);
}

CASE(listen, datagram, EOPNOTSUPP)
{
	struct end end = ipv4(0);

	CALL(make_socket(&end, SOCK_DGRAM), 7);
}

CASE(listen, bad_fd, EBADF)
{
	CALL(-1, 7);
}

/* A listener that somebody has connected to; who has been given a name if that is needed to know them. */
static int awaited(struct end end, struct end from)
{
	int fd = listener(&end);
	int far = make_socket(&end, SOCK_STREAM);

	if (from.size)
		MUST(bind(far, &from.address.any, from.size));
	MUST(connect(far, &end.address.any, end.size));
	return fd;
}

static void accept_it(int fd)
{
	long accepted = CALL(fd, NULL, NULL);

	if (accepted >= 0)
		far_end(accepted);
}

/* The caller wants to know who it is. */
static void accept4_it(int fd)
{
	socklen_t *size = low(sizeof(*size));
	long accepted;

	*size = sizeof(struct sockaddr_storage);
	accepted = CALL(fd, low(*size), size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (accepted >= 0)
		far_end(accepted);
}

CASE(accept, ipv4, 0)
{
	accept_it(awaited(ipv4(0), (struct end){}));
}

CASE(accept, ipv6, 0)
{
	accept_it(awaited(ipv6(0), (struct end){}));
}

CASE(accept, unix_path, 0)
{
	accept_it(awaited(unix_path("socket"), unix_path("far")));
}

CASE(accept, unix_unnamed, 0)
{
	accept_it(awaited(unix_path("socket"), (struct end){}));
}

CASE(accept, nobody_there, EAGAIN)
{
	struct end end = ipv4(0);
	int fd = listener(&end);

	MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
	accept_it(fd);
}

CASE(accept4, ipv4, 0)
{
	accept4_it(awaited(ipv4(0), (struct end){}));
}

CASE(accept4, ipv6, 0)
{
	accept4_it(awaited(ipv6(0), (struct end){}));
}

CASE(accept4, unix_abstract, 0)
{
	accept4_it(awaited(unix_path("socket"), unix_abstract()));
}

CASE(accept4, not_listening, EINVAL)
{
	struct end end = ipv4(0);

	accept4_it(make_socket(&end, SOCK_STREAM));
}

/* ---- DNS: queries that nobody needs to answer ---- */

enum { A = 1, AAAA = 28, DNS_PORT = 53 };

struct query {
	size_t size;
	char bytes[512];
};

static struct query query_for(const char *domain, int type)
{
	struct query query = {.bytes = {0x12, 0x34, 0x01, 0x00, 0, 1}}; /* recursion desired; one question */
	char *at = query.bytes + 12;

	while (*domain) {
		size_t size = strcspn(domain, ".");

		*at++ = size;
		memcpy(at, domain, size);
		at += size;
		domain += size + (domain[size] == '.');
	}
	*at++ = 0;
	*at++ = 0;
	*at++ = type;
	*at++ = 0;
	*at++ = 1; /* IN */
	query.size = at - query.bytes;
	return query;
}

static int connected(struct end end)
{
	int fd = make_socket(&end, SOCK_DGRAM);

	MUST(connect(fd, &end.address.any, end.size));
	return fd;
}

CASE(sendto, dns, 0)
{
	struct query query = query_for("a.hauberk.test", A);
	struct end end = ipv4(DNS_PORT);

	query_is("a.hauberk.test", "A");
	CALL(make_socket(&end, SOCK_DGRAM), query.bytes, query.size, 0, &end.address, end.size);
	address_is(&end.address, end.size);
}

CASE(sendto, dns6, 0)
{
	struct query query = query_for("aaaa.hauberk.test", AAAA);
	struct end end = ipv6(DNS_PORT);

	query_is("aaaa.hauberk.test", "AAAA");
	CALL(make_socket(&end, SOCK_DGRAM), query.bytes, query.size, 0, &end.address, end.size);
	address_is(&end.address, end.size);
}

CASE(sendto, dns_connected, 0)
{
	struct query query = query_for("connected.hauberk.test", A);
	int fd = connected(ipv4(DNS_PORT));

	query_is("connected.hauberk.test", "A");
	CALL(fd, query.bytes, query.size, MSG_NOSIGNAL, NULL, 0);
	far_end(fd);
}

CASE(send, dns, 0)
{
	struct query query = query_for("sent.hauberk.test", A);
	int fd = connected(ipv4(DNS_PORT));

	query_is("sent.hauberk.test", "A");
	CALL(fd, query.bytes, query.size, MSG_NOSIGNAL);
	far_end(fd);
}

CASE(sendto, dns_denied, EACCES)
{
	struct query query = query_for("denied.hauberk.test", A);
	struct end end = ipv4(DNS_PORT);

	query_is("denied.hauberk.test", "A");
	end.address.v4.sin_addr.s_addr = htonl(0x7fffffff); /* the broadcast address of the loopback, not asked for */
	CALL(make_socket(&end, SOCK_DGRAM), query.bytes, query.size, 0, &end.address, end.size);
	address_is(&end.address, end.size);
}

/* No query, but what a broken or hostile program may send to that port. */
CASE(sendto, dns_garbage, 0)
{
	struct end end = ipv4(DNS_PORT);

	CALL(make_socket(&end, SOCK_DGRAM), "\xff\xff\xff\xff\xff\xff", 6, 0, &end.address, end.size);
	address_is(&end.address, end.size);
}

CASE(sendto, other_port, 0)
{
	struct query query = query_for("elsewhere.hauberk.test", A);
	struct end end = ipv4(9);

	CALL(make_socket(&end, SOCK_DGRAM), query.bytes, query.size, 0, &end.address, end.size);
}

CASE(sendmsg, dns, 0)
{
	struct query query = query_for("message.hauberk.test", AAAA);
	struct end end = ipv4(DNS_PORT);
	struct iovec vector = {memcpy(low(query.size), query.bytes, query.size), query.size};
	struct msghdr message = {
		.msg_name = &end.address,
		.msg_namelen = end.size,
		.msg_iov = &vector,
		.msg_iovlen = 1,
	};

	query_is("message.hauberk.test", "AAAA");
	CALL(make_socket(&end, SOCK_DGRAM), &message, 0);
	address_is(&end.address, end.size);
}

/* As the C library does: one call, a question for each kind of address. */
CASE(sendmmsg, dns, 0)
{
	struct query queries[] = {query_for("both.hauberk.test", A), query_for("both.hauberk.test", AAAA)};
	int fd = connected(ipv4(DNS_PORT));
	struct mmsghdr messages[2] = {};
	struct iovec vectors[2];

	for (int i = 0; i < 2; i++) {
		vectors[i].iov_base = memcpy(low(queries[i].size), queries[i].bytes, queries[i].size);
		vectors[i].iov_len = queries[i].size;
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	query_is("both.hauberk.test", "A AAAA");
	CALL(fd, messages, 2, MSG_NOSIGNAL);
	far_end(fd);
}

/* As Go's resolver does. */
CASE(write, dns, 0)
{
	struct query query = query_for("written.hauberk.test", A);
	int fd = connected(ipv4(DNS_PORT));

	query_is("written.hauberk.test", "A");
	CALL(fd, query.bytes, query.size);
	far_end(fd);
}

/* A write that has nothing to do with the network. */
CASE(write, file, 0)
{
	CALL(MUST(open("leaf", O_CREAT | O_WRONLY, 0644)), "content", 7);
}
