// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Workloads: the birth of a cgroup, which is what a container is known by.
 *
 *   tp_btf/cgroup_mkdir   before any process is in it
 */
#include "lib/emit.bpf.h"

/* The hierarchy that workloads are looked for in; 0 is the unified one. Set by the loader. */
const volatile int cgroup_hierarchy = 0;

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(workload_mkdir, struct cgroup *cgroup, const char *path)
{
	struct counters *counters = counters_of(OPERATION_PROCESS);
	struct draft *draft;

	if (cgroup->root->hierarchy_id != cgroup_hierarchy)
		return 0;
	draft = draft_begin(HOOK_CGROUP, bpf_get_current_task_btf());
	if (!draft || !counters)
		return 0;
	draft->record.flags = RECORD_STATE;
	draft->record.cgroup_id = cgroup->kn->id;
	add_string(draft, ITEM_CGROUP, 0, path, false);
	draft_send(draft, counters);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
