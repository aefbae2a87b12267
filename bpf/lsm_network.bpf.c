// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which sockets may be made and used.
 *
 *   lsm/socket_create, _connect, _bind, _listen, _accept
 *   lsm/socket_sendmsg   with a socket that was made before the rules were there, or by somebody else
 */
#include "lib/judge.bpf.h"

static __always_inline int judge_kind(__u16 hook, __u32 family, __u32 type, __u32 protocol)
{
	struct access access = {
		.of = CLASS_NETWORK,
		.hook = hook,
		.reporting = hook == LSM_SOCKET_SENDMSG ? REPORT_DENIED : REPORT_ALL,
		.writes = true,
		.kinds = {NUMBER_PROTOCOL, NUMBER_TYPE},
		.numbers = {effective_protocol(family, type, protocol), type},
		.details = {family, type, protocol},
	};

	return judge_for_hook(&access);
}

static __always_inline int judge_socket(__u16 hook, struct socket *socket)
{
	struct sock *sk = BPF_CORE_READ(socket, sk);

	if (!is_asked(CLASS_NETWORK))
		return 0;
	return judge_kind(hook, BPF_CORE_READ(sk, __sk_common.skc_family), BPF_CORE_READ(socket, type),
			  BPF_CORE_READ(sk, sk_protocol));
}

SEC("lsm/socket_create")
int BPF_PROG(lsm_socket, int family, int type, int protocol, int kernel)
{
	if (kernel)
		return 0;
	return judge_kind(LSM_SOCKET_CREATE, family, type, protocol);
}

SEC("lsm/socket_connect")
int BPF_PROG(lsm_connect, struct socket *socket, struct sockaddr *address, int size)
{
	return judge_socket(LSM_SOCKET_CONNECT, socket);
}

SEC("lsm/socket_bind")
int BPF_PROG(lsm_bind, struct socket *socket, struct sockaddr *address, int size)
{
	return judge_socket(LSM_SOCKET_BIND, socket);
}

SEC("lsm/socket_listen")
int BPF_PROG(lsm_listen, struct socket *socket, int backlog)
{
	return judge_socket(LSM_SOCKET_LISTEN, socket);
}

SEC("lsm/socket_accept")
int BPF_PROG(lsm_accept, struct socket *socket, struct socket *new_socket)
{
	return judge_socket(LSM_SOCKET_ACCEPT, socket);
}

SEC("lsm/socket_sendmsg")
int BPF_PROG(lsm_sendmsg, struct socket *socket, struct msghdr *message, int size)
{
	return judge_socket(LSM_SOCKET_SENDMSG, socket);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
