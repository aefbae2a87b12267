// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Who came into a container from outside, until it executes something there.
 *
 *   fentry/cgroup_attach_task    a process is about to be moved into a cgroup
 *   tp_btf/sched_process_fork    a entering's children are entering_tasks; so is who is born into another cgroup
 *   tp_btf/sched_process_exec    the end of it: what is there then is the container's root_ns
 */
#include "lib/root_ns.bpf.h"
#include "lib/entering.bpf.h"

static __always_inline int mark(struct task_struct *task, struct entering_task as)
{
	bpf_task_storage_get(&entering_tasks, task, &as, BPF_LOCAL_STORAGE_GET_F_CREATE);
	return 0;
}

static __always_inline int mark_first(struct task_struct *task, struct task_struct *sent_by)
{
	struct entering_task first = {.mounts = (__u64)own_mounts(sent_by)};

	return mark(task, first);
}

/* True if @to is in a container that @from is not in; what a container makes inside of itself is no other one. */
static __always_inline bool is_another(struct cgroup *from, struct cgroup *to)
{
	__u64 there = container_of_cgroup(to);

	return there && there != container_of_cgroup(from);
}

SEC("fentry/cgroup_attach_task")
int BPF_PROG(entering_attach, struct cgroup *to, struct task_struct *leader, bool threadgroup)
{
	struct selection *selection = selected();

	if (!selection || BPF_CORE_READ(to, root, hierarchy_id) != selection->cgroup_hierarchy)
		return 0;
	return is_another(cgroup_of(leader, selection), to) ? mark_first(leader, leader) : 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(entering_fork, struct task_struct *parent, struct task_struct *child)
{
	struct entering_task *entering = bpf_task_storage_get(&entering_tasks, parent, NULL, 0);
	struct selection *selection = selected();

	if (entering)
		return mark(child, *entering);
	if (!selection || child->cgroups == parent->cgroups)
		return 0;
	return is_another(cgroup_of(parent, selection), cgroup_of(child, selection)) ? mark_first(child, parent) : 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(entering_exec, struct task_struct *task)
{
	struct entering_task *entering = bpf_task_storage_get(&entering_tasks, task, NULL, 0);

	if (entering && is_outside(task))
		entering->execs++;
	else if (entering) {
		bpf_task_storage_delete(&entering_tasks, task);
		root_ns_here();
	}
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
