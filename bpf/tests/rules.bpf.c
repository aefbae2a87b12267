// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The matcher, wrapped for BPF_PROG_TEST_RUN: a case from user space in, the
 * answer out. Loaded by the tests of the twins only.
 */
#include "lib/rules.bpf.h"

/* 0 -> what is asked; the source is looked up here, not at the running task */
struct test_case {
	__u32 set;
	__u32 of;
	__u32 met;
	__u32 number_kinds[2];
	__u32 numbers[2];
	__u32 unreadable;
	__u32 path_size;
	__u32 argv_size;
	__u32 rule, decision; /* out */
	char path[PATH_SIZE];
	char argv[4096];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct test_case);
} cases SEC(".maps");

SEC("syscall")
int rules_decide(void *context)
{
	struct decision_work *work = decision_work_here();
	struct scratch *scratch = scratch_here();
	__u32 zero = 0, size;
	struct test_case *asked = bpf_map_lookup_elem(&cases, &zero);

	if (!asked || !work || !scratch)
		return 0;
	scratch->record.flags = 0;
	work->question = (struct question){
		.of = asked->of,
		.met = asked->met,
		.number_kinds = {asked->number_kinds[0], asked->number_kinds[1]},
		.numbers = {asked->numbers[0], asked->numbers[1]},
		.unreadable = asked->unreadable,
		.argv_size = asked->argv_size,
	};
	size = asked->path_size;
	if (size > PATH_SIZE)
		size = PATH_SIZE;
	work->question.start = PATH_SIZE - size;
	bpf_probe_read_kernel(scratch->path.bytes, PATH_SIZE, asked->path); /* right aligned by the test */
	bpf_probe_read_kernel(scratch->items, sizeof(asked->argv), asked->argv);
	if (!decide_by(asked->set))
		return -1;
	asked->rule = work->answer.rule;
	asked->decision = work->answer.decision;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
