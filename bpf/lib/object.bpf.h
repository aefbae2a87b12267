/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What was acted upon, as the kernel itself holds it: files behind
 * descriptors, the ends of sockets.
 */
#ifndef HAUBERK_OBJECT_BPF_H
#define HAUBERK_OBJECT_BPF_H

#include "kernel.h"
#include "lib/emit.bpf.h"

#define AT_FDCWD (-100)

static __always_inline struct file *file_of(struct task_struct *task, int fd)
{
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = NULL;

	if (fd < 0 || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return NULL;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + fd);
	return file;
}

static __always_inline struct sock *sock_behind(struct file *file)
{
	struct socket *socket;

	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

static __always_inline struct sock *sock_of(struct task_struct *task, int fd)
{
	return sock_behind(file_of(task, fd));
}

/* struct sockaddr_in and sockaddr_in6 begin alike. */
struct inet_address {
	__u16 family;
	__be16 port;
	union {
		__be32 v4;
		struct {
			__u32 flow;
			struct in6_addr v6;
		};
	};
};

/* Adds one end of @sk as a struct sockaddr; for AF_UNIX also the path of its name. */
__noinline int add_socket(__u64 socket, __u8 index, bool peer)
{
	struct scratch *scratch = scratch_here();
	struct sock *sk = (struct sock *)socket;
	struct inet_address address = {.family = BPF_CORE_READ(sk, __sk_common.skc_family)};
	__u32 size = sizeof(address.family);

	if (!scratch)
		return 0;
	if (address.family == AF_UNIX) {
		struct unix_sock *end = (struct unix_sock *)sk;
		struct unix_address *name;

		if (peer)
			end = (struct unix_sock *)BPF_CORE_READ(end, peer);
		name = end ? BPF_CORE_READ(end, addr) : NULL;
		if (name) {
			size = BPF_CORE_READ(name, len);
			if (size > ADDRESS_SIZE)
				size = ADDRESS_SIZE;
			add_bytes(scratch, ITEM_ADDRESS, index, &name->name, size);
			if (BPF_CORE_READ(end, path.dentry))
				add_path(&end->path, ITEM_OBJECT, index);
			return 0;
		}
	} else if (address.family == AF_INET) {
		address.port = peer ? BPF_CORE_READ(sk, __sk_common.skc_dport) :
				      bpf_htons(BPF_CORE_READ(sk, __sk_common.skc_num));
		address.v4 = peer ? BPF_CORE_READ(sk, __sk_common.skc_daddr) :
				    BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		size = 8;
	} else if (address.family == AF_INET6) {
		address.port = peer ? BPF_CORE_READ(sk, __sk_common.skc_dport) :
				      bpf_htons(BPF_CORE_READ(sk, __sk_common.skc_num));
		address.v6 = peer ? BPF_CORE_READ(sk, __sk_common.skc_v6_daddr) :
				    BPF_CORE_READ(sk, __sk_common.skc_v6_rcv_saddr);
		size = sizeof(address);
	}
	add_bytes(scratch, ITEM_ADDRESS, index, &address, size);
	return 0;
}

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define IPPROTO_TCP 6

/* The protocol of an internet socket; 0 for any other (decode/arguments.py, effective_protocol). */
static __always_inline __u32 effective_protocol(__u32 family, __u32 type, __u32 protocol)
{
	if (family != AF_INET && family != AF_INET6)
		return 0;
	if (protocol)
		return protocol;
	return type == SOCK_STREAM ? IPPROTO_TCP : type == SOCK_DGRAM ? IPPROTO_UDP : 0;
}

#endif
