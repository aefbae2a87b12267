// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which capabilities were used, where no LSM program can be loaded to decide.
 *
 *   fexit/security_capable   as an LSM program would be asked, with the answer
 *   tp_btf/cap_capable       from 6.14 on, where the kernel lets no function be traced
 *
 * The tracepoint does not say whether anything hangs on the answer. Who asks only to
 * know is found on the stack: there are three functions for that.
 */
#define HAUBERK_LSM /* may be preempted, as LSM programs may */

#include "lib/observe.bpf.h"
#include "lib/reported.bpf.h"

#define CAP_OPT_NOAUDIT 2 /* include/linux/security.h: the kernel asks, and nothing hangs on the answer */
#define FRAME_COUNT 16

/* enum function_key -> where that function of the kernel lies; written by the loader */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FUNCTION_COUNT);
	__type(key, __u32);
	__type(value, struct function);
} functions SEC(".maps");

struct stack {
	__u64 frames[FRAME_COUNT];
};

/* 0 -> the stack of the current task: no room on that of a program */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack);
} stacks SEC(".maps");

static __always_inline bool lies_in(__u32 key, __u64 address)
{
	struct function *function = bpf_map_lookup_elem(&functions, &key);

	return function && address > function->start && address <= function->end;
}

/* True if the kernel was asked by security_capable(), as an LSM program is, and for more than to know. */
static __always_inline bool is_audited(void *context)
{
	__u32 zero = 0;
	struct stack *stack = bpf_map_lookup_elem(&stacks, &zero);
	bool was_asked = false;

	if (!stack || bpf_get_stack(context, stack->frames, sizeof(stack->frames), 0) < 0)
		return false;
	for (int i = 0; i < FRAME_COUNT; i++) {
		__u64 address = stack->frames[i];

		if (was_asked)
			return !lies_in(FUNCTION_NS_CAPABLE_NOAUDIT, address) &&
			       !lies_in(FUNCTION_HAS_NS_CAPABILITY_NOAUDIT, address) &&
			       !lies_in(FUNCTION_HAS_CAPABILITY_NOAUDIT, address);
		was_asked = lies_in(FUNCTION_SECURITY_CAPABLE, address);
	}
	return false;
}

/* Decides about the use of @capability by the current task: enum decision. The scratch is this task's. */
__noinline int decide_use(__u32 capability)
{
	struct decision_work *work = question_begin(CLASS_CAPABILITIES);

	if (!work)
		return DECISION_NONE;
	work->question.number_kinds[0] = NUMBER_CAPABILITY;
	work->question.numbers[0] = capability;
	question_describe(&work->question, bpf_get_current_task_btf(), NULL);
	return decide();
}

static __always_inline void emit_use(struct task_struct *task, __u32 capability, enum capable_source source)
{
	struct decision_work *work = decision_work_here();
	struct scratch *scratch = scratch_begin(HOOK_CAPABLE);

	if (!scratch || !work)
		return;
	scratch->record.arguments[0] = capability;
	scratch->record.arguments[1] = source;
	add_place(task);
	alert_send(scratch, work, false);
	reported_add(task, capability);
}

/* True if rules are about such a use and it has not been reported yet. */
static __always_inline bool is_open(struct task_struct *task, int capability)
{
	return (traced_here() & 1 << CLASS_CAPABILITIES) && !reported_has(task, capability);
}

SEC("fexit/security_capable")
int BPF_PROG(capable_fn, const struct cred *credentials, struct user_namespace *namespace, int capability,
	     unsigned int options, int result)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (result || options & CAP_OPT_NOAUDIT || !is_open(task, capability))
		return 0;
	if (!scratch_take()) {
		alert_lose(CLASS_CAPABILITIES);
		return 0;
	}
	if (decide_use(capability) >= DECISION_AUDIT)
		emit_use(task, capability, CAPABLE_BY_FUNCTION);
	scratch_give_back();
	return 0;
}

SEC("tp_btf/cap_capable")
int BPF_PROG(capable_tp, const struct cred *credentials, struct user_namespace *namespace,
	     struct user_namespace *having, int capability, int result)
{
	struct task_struct *task = bpf_get_current_task_btf();

	if (result || !is_open(task, capability))
		return 0;
	if (!scratch_take()) {
		alert_lose(CLASS_CAPABILITIES);
		return 0;
	}
	if (decide_use(capability) >= DECISION_AUDIT && is_audited(ctx))
		emit_use(task, capability, CAPABLE_BY_TRACEPOINT);
	scratch_give_back();
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
