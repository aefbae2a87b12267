/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is sent to port 53 over UDP, by whatever call.
 *
 * Resolvers send with sendto, send, sendmsg, sendmmsg (glibc asks for A and
 * AAAA with one call) or plain write (Go), so all of them are looked at; what
 * is no datagram for port 53 is no event.
 */
#ifndef HAUBERK_QUERY_BPF_H
#define HAUBERK_QUERY_BPF_H

#include "kernel.h"
#include "lib/arguments.bpf.h"

#define DNS_PORT 53
#define MESSAGES 4 /* of one sendmmsg(2) */

struct query {
	__u64 buffer;
	__u64 size;
	__u64 address; /* 0: wherever the socket is connected to */
	__u64 address_size;
};

static __always_inline __u64 user_word(__u64 from, __u32 index, bool compat)
{
	__u64 word = 0;

	if (compat)
		bpf_probe_read_user(&word, 4, (void *)(from + 4 * index));
	else
		bpf_probe_read_user(&word, 8, (void *)(from + 8 * index));
	return word;
}

/* struct msghdr and struct compat_msghdr: name, name size, vector, ... a word each */
static __always_inline struct query query_of_message(__u64 message, bool compat)
{
	__u64 vector = user_word(message, 2, compat);

	return (struct query){
		.address = user_word(message, 0, compat),
		.address_size = (__u32)user_word(message, 1, compat),
		.buffer = user_word(vector, 0, compat),
		.size = user_word(vector, 1, compat),
	};
}

/* Where @query goes: as it says itself, else as the socket is connected. */
static __always_inline struct inet_address query_address(const struct query *query, struct sock *sk)
{
	struct inet_address address = {};

	if (query->address) {
		if (query->address_size >= sizeof(address))
			bpf_probe_read_user(&address, sizeof(address), (void *)query->address);
		else
			bpf_probe_read_user(&address, offsetof(struct inet_address, v6), (void *)query->address);
		return address;
	}
	address.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	address.port = BPF_CORE_READ(sk, __sk_common.skc_dport);
	if (address.family == AF_INET)
		address.v4 = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	else
		address.v6 = BPF_CORE_READ(sk, __sk_common.skc_v6_daddr);
	return address;
}

static __always_inline void query_send(struct task_struct *task, struct sock *sk, __u32 slot,
				       const __u64 *arguments, const struct query *query, long result)
{
	struct inet_address address = query_address(query, sk);
	struct counters *counters = counters_of(OPERATION_NETWORK);
	struct selection *selection = selected();
	struct scratch *scratch;
	struct item *item;
	__u64 size = query->size;
	int reason;

	if (address.port != bpf_htons(DNS_PORT) || !counters || !selection)
		return;
	counters->seen++;
	reason = filter_of(selection, OPERATION_NETWORK, task, result < 0 ? result : 0,
			   cgroup_id_of(task, selection));
	if (reason >= 0) {
		counters->filtered[reason]++;
		return;
	}
	scratch = scratch_begin(HOOK_DNS);
	if (!scratch)
		return;
	scratch->record.syscall = slot;
	scratch->record.result = result < 0 ? result : 0;
	__builtin_memcpy(scratch->record.arguments, arguments, sizeof(scratch->record.arguments));
	add_place(task);
	add_bytes(scratch, ITEM_ADDRESS, 0, &address, address.family == AF_INET ? 8 : sizeof(address));
	item = item_begin(scratch);
	if (item) {
		if (size > DNS_SIZE) {
			size = DNS_SIZE;
			scratch->record.flags |= RECORD_CUT;
		}
		if (bpf_probe_read_user(item + 1, size, (void *)query->buffer)) {
			scratch->record.flags |= RECORD_UNREADABLE;
			size = 0;
		}
		item_end(scratch, item, ITEM_DNS, 0, size);
	}
	scratch_send(scratch, counters);
}

/* Looks at what a call of OBJECT_QUERY has sent, whose arguments the scratch keeps. */
__noinline int query_report(__u32 slot, __s64 result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct syscall *syscall = bpf_map_lookup_elem(&syscalls, &slot);
	struct scratch *scratch = scratch_here();
	bool compat = is_compat(task);
	struct query query;
	const __u64 *arguments;
	struct sock *sk;
	__u8 sent;

	if (!syscall || !scratch)
		return 0;
	arguments = scratch->call;
	sent = syscall->arguments[1];
	sk = sock_of(task, arguments[0]);
	if (!sk || BPF_CORE_READ(sk, sk_protocol) != IPPROTO_UDP)
		return 0;
	for (int i = 0; i < MESSAGES; i++) {
		if (sent == ARGUMENT_MESSAGES) {
			query = query_of_message(arguments[1] + i * (compat ? 32 : 64), compat);
			if (i >= (result < 0 ? 1 : result))
				break;
		} else if (sent == ARGUMENT_MESSAGE) {
			query = query_of_message(arguments[1], compat);
		} else {
			query = (struct query){.buffer = arguments[1], .size = arguments[2]};
			if (syscall->arguments[4] == ARGUMENT_ADDRESS) {
				query.address = arguments[4];
				query.address_size = arguments[5];
			}
		}
		query_send(task, sk, slot, arguments, &query, result);
		if (sent != ARGUMENT_MESSAGES)
			break;
	}
	return 0;
}

#endif
