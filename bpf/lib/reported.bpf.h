/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What was reported of a system call that is not over yet: the kernel asks for one
 * capability again and again (chown: for the user and for the group), and one
 * action is one alert.
 */
#ifndef HAUBERK_REPORTED_BPF_H
#define HAUBERK_REPORTED_BPF_H

#include "kernel.h"

/* task -> bit set of the capabilities that its call was reported to use */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u64);
} reported_uses SEC(".maps");

/* 0 -> how many tasks there are in it, more or less: as a rule none, and then no call has to look */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} reported_counts SEC(".maps");

static __always_inline bool reported_has(struct task_struct *task, int capability)
{
	__u64 *reported = bpf_task_storage_get(&reported_uses, task, NULL, 0);

	return reported && *reported >> (capability & 63) & 1;
}

/* Remembers that the use of @capability was reported; not for the kernel's own threads, whose calls have no end. */
static __always_inline void reported_add(struct task_struct *task, int capability)
{
	__u32 zero = 0, *count = bpf_map_lookup_elem(&reported_counts, &zero);
	__u64 *reported;

	if (!count || (task->flags & (PF_KTHREAD | PF_IO_WORKER)))
		return;
	reported = bpf_task_storage_get(&reported_uses, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!reported)
		return;
	if (!*reported)
		__sync_fetch_and_add(count, 1);
	*reported |= 1ULL << (capability & 63);
}

/* The call of @task is over. */
static __always_inline void reported_forget(struct task_struct *task)
{
	__u32 zero = 0, *count = bpf_map_lookup_elem(&reported_counts, &zero);

	if (!count || !*count)
		return;
	if (!bpf_task_storage_delete(&reported_uses, task))
		__sync_fetch_and_sub(count, 1);
}

#endif
