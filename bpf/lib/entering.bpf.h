/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Entering tasks: tasks that came into a container from outside and have executed
 * nothing there yet. They are the runtime's, at work on the container (mounts,
 * devices, its own pipes), and not the workload that rules are meant for: rules
 * ask about them only what they execute in the container.
 */
#ifndef HAUBERK_ENTERING_BPF_H
#define HAUBERK_ENTERING_BPF_H

#include "kernel.h"
#include "lib/task.bpf.h"

#define OWN_EXECS 2 /* of a runtime: runc executes a copy of itself in the middle of its work */

struct entering_task {
	__u64 mounts; /* the mount namespace that it came from */
	__u32 execs;  /* that it has made there */
	__u32 zero;
};

/* kept by entering.bpf.c */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct entering_task);
} entering_tasks SEC(".maps");

static __always_inline bool is_entering(struct task_struct *task)
{
	return bpf_task_storage_get(&entering_tasks, task, NULL, 0) != NULL;
}

/* True if what @task executes is not the container's yet: it sees the files that it saw before it came. */
static __always_inline bool is_outside(struct task_struct *task)
{
	struct entering_task *entering = bpf_task_storage_get(&entering_tasks, task, NULL, 0);

	return entering && entering->execs < OWN_EXECS && entering->mounts == (__u64)own_mounts(task);
}

#endif
