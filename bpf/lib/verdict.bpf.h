/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A verdict is reported in a ring buffer of its own, which telemetry cannot fill,
 * and it is reported second: a full ring buffer loses the record, never the verdict.
 */
#ifndef HAUBERK_VERDICT_BPF_H
#define HAUBERK_VERDICT_BPF_H

#include "kernel.h"
#include "lib/emit.bpf.h"
#include "lib/rules.bpf.h"

/* raw records that carry a verdict */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} alerts SEC(".maps");

/* enum operation -> what became of the alerts, one per CPU; `seen` are verdicts */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OPERATION_COUNT);
	__type(key, __u32);
	__type(value, struct counters);
} alert_ledger SEC(".maps");

/* 0 -> how many alerts this CPU has wanted to send */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} alert_sequences SEC(".maps");

static __always_inline __u32 operation_of(__u32 class)
{
	switch (class) {
	case CLASS_PROCESS:
	case CLASS_FILELESS_EXEC:
	case CLASS_EXEC:
		return OPERATION_PROCESS;
	case CLASS_NETWORK:
		return OPERATION_NETWORK;
	case CLASS_CAPABILITIES:
		return OPERATION_CAPABILITIES;
	}
	return class < CLASS_SYSCALL ? OPERATION_FILE : OPERATION_SYSCALL;
}

/* Sends the scratch as an alert: with the answer that this program's work holds. */
static __always_inline void alert_send(struct scratch *scratch, struct decision_work *work, bool denied)
{
	struct verdict verdict = {
		.set = work->answer.set,
		.rule = work->answer.rule,
		.decision = work->answer.decision,
		.denied = denied,
	};
	__u32 operation = operation_of(work->question.of), zero = 0, size;
	struct counters *counters = bpf_map_lookup_elem(&alert_ledger, &operation);
	__u64 *sequence = bpf_map_lookup_elem(&alert_sequences, &zero);

	if (!counters || !sequence)
		return;
	add_bytes(scratch, ITEM_VERDICT, work->question.of < CLASS_SYSCALL ? work->question.of : CLASS_SYSCALL,
		  &verdict, sizeof(verdict));
	scratch->record.flags |= RECORD_ALERT;
	scratch->record.sequence = __sync_fetch_and_add(sequence, 1);
	size = scratch->record.size;
	barrier_var(size); /* for older verifiers, as in add_bytes() */
	if (size > ITEMS_SIZE)
		size = ITEMS_SIZE;
	size += sizeof(scratch->record);
	scratch->record.size = size;
	__sync_fetch_and_add(&counters->seen, 1);
	/* wakes the reader if it had read all there was: an alert is worth the microsecond */
	if (bpf_ringbuf_output(&alerts, &scratch->record, size, 0))
		__sync_fetch_and_add(&counters->lost, 1);
	else
		__sync_fetch_and_add(&counters->sent, 1);
}

/* Counts a verdict that cannot be reported. */
static __always_inline void alert_lose(__u32 class)
{
	__u32 operation = operation_of(class), zero = 0;
	struct counters *counters = bpf_map_lookup_elem(&alert_ledger, &operation);
	__u64 *sequence = bpf_map_lookup_elem(&alert_sequences, &zero);

	if (!counters || !sequence)
		return;
	__sync_fetch_and_add(sequence, 1);
	__sync_fetch_and_add(&counters->seen, 1);
	__sync_fetch_and_add(&counters->lost, 1);
}

/* Adds to what holds of the question all that lies in the task and in the @inode that is acted upon. */
static __always_inline void question_describe(struct question *question, struct task_struct *task,
					      struct inode *inode)
{
	if (BPF_CORE_READ(task, signal, tty))
		question->met |= CONDITION_TERMINAL;
	if (inode && BPF_CORE_READ(inode, i_uid.val) == BPF_CORE_READ(task, cred, fsuid.val))
		question->met |= CONDITION_OWNER;
}

#endif
