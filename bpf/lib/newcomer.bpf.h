/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Newcomers: tasks that came into a container from outside and have executed
 * nothing there yet. They are the runtime's, at work on the container (mounts,
 * devices, its own pipes), and not the workload that rules are meant for: rules
 * ask about them only what they execute in the container.
 */
#ifndef HAUBERK_NEWCOMER_BPF_H
#define HAUBERK_NEWCOMER_BPF_H

#include "kernel.h"
#include "lib/task.bpf.h"

#define OWN_EXECS 2 /* of a runtime: runc executes a copy of itself in the middle of its work */

struct newcomer {
	__u64 mounts; /* the mount namespace that it came from */
	__u32 execs;  /* that it has made there */
	__u32 zero;
};

/* kept by newcomer.bpf.c */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct newcomer);
} newcomers SEC(".maps");

static __always_inline bool is_newcomer(struct task_struct *task)
{
	return bpf_task_storage_get(&newcomers, task, NULL, 0) != NULL;
}

/* True if what @task executes is not the container's yet: it sees the files that it saw before it came. */
static __always_inline bool is_outside(struct task_struct *task)
{
	struct newcomer *newcomer = bpf_task_storage_get(&newcomers, task, NULL, 0);

	return newcomer && newcomer->execs < OWN_EXECS && newcomer->mounts == (__u64)own_mounts(task);
}

#endif
