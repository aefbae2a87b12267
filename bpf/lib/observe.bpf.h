/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Deciding after the fact, in tracepoint programs: about system calls, which no
 * LSM program knows; and where no LSM program can be loaded, about everything
 * that was let pass. Nothing is denied here.
 */
#ifndef HAUBERK_OBSERVE_BPF_H
#define HAUBERK_OBSERVE_BPF_H

#include "kernel.h"
#include "lib/arguments.bpf.h"
#include "lib/presets.bpf.h"
#include "lib/verdict.bpf.h"

#define FMODE_WRITE 0x2
#define SOCK_TYPE_MASK 0xf
#define EXEC_CLASSES (1 << CLASS_PROCESS | 1 << CLASS_FILELESS_EXEC | 1 << CLASS_EXEC)

/* What tracepoint programs decide about for the current task: class bits, 0 if nothing. */
static __always_inline __u32 traced_here(void)
{
	struct matching *matching = matching_here();
	struct subject subject;

	if (!matching || !matching->traced)
		return 0;
	subject = subject_here();
	return subject.set ? subject.classes & matching->traced : 0;
}

/* Begins the questions about one act. */
static __always_inline void act_begin(struct decision_work *work)
{
	work->strongest.decision = DECISION_NONE;
}

/* Begins a question about something of class @of. */
static __always_inline struct decision_work *question_begin(__u32 of)
{
	struct decision_work *work = decision_work_here();

	if (!work)
		return NULL;
	work->question.of = of;
	work->question.start = PATH_SIZE;
	work->question.met = 0;
	work->question.number_kinds[0] = 0;
	work->question.number_kinds[1] = 0;
	work->question.unreadable = 0;
	work->question.argv_size = 0;
	work->question.is_written = 0;
	work->question.images = 0;
	return work;
}

/*
 * Puts the question that lies in @work: the enum decision of the act so far. One act is one alert: of the
 * answers to all its questions the strongest counts, the first among equals.
 */
static __always_inline int question_put(struct decision_work *work)
{
	decide();
	if (work->answer.decision > work->strongest.decision) {
		work->strongest = work->answer;
		work->strongest_of = work->question.of;
	}
	return work->strongest.decision;
}

/* Ends the questions about one act: what counts is the answer. */
static __always_inline void act_end(struct decision_work *work)
{
	work->answer = work->strongest;
	work->question.of = work->strongest_of;
}

/*
 * Writes the path of argument @which of the call in @slot, as its caller wrote
 * it, into the work, behind the directory that it is relative to. 0 if there is none. A name of dots is not resolved: such a path is unknown.
 */
__noinline int written_path(__u32 slot, __u32 which)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct syscall *syscall = bpf_map_lookup_elem(&syscalls, &slot);
	struct decision_work *work = decision_work_here();
	struct scratch *scratch = scratch_here();
	struct path *directory;
	struct file *file;
	__u32 start, before = which - 1;
	__u64 pointer;
	long size;

	if (!syscall || !work || !scratch || which >= ARGUMENT_COUNT)
		return 0;
	pointer = scratch->record.arguments[which];
	size = bpf_probe_read_user_str(work->source.bytes, PATH_SIZE, (void *)pointer);
	if (size <= 1 || size >= PATH_SIZE) {
		work->question.unreadable = 1;
		return 1;
	}
	start = (PATH_SIZE - (__u32)(size - 1)) & (PATH_SIZE - 1);
	bpf_probe_read_kernel(&work->room[start], size & (PATH_SIZE - 1), work->source.bytes);
	if (work->source.bytes[0] == '.')
		work->question.unreadable = 1;
	if (work->source.bytes[0] != '/') {
		barrier_var(before); /* what is checked must be what is used, for older verifiers */
		if (before < ARGUMENT_COUNT && syscall->arguments[before] == ARGUMENT_DIRFD &&
		    (int)scratch->record.arguments[before] != AT_FDCWD) {
			file = file_of(task, scratch->record.arguments[before]);
			directory = file ? &file->f_path : NULL;
		} else {
			struct fs_struct *fs = BPF_CORE_READ(task, fs);

			directory = fs ? &fs->pwd : NULL;
		}
		if (!directory || !start) {
			work->question.unreadable = 1;
			return 1;
		}
		start = (start - 1) & (PATH_SIZE - 1);
		work->room[start] = '/';
		start = path_build_before(start, &work->written, BPF_CORE_READ(directory, mnt),
					  BPF_CORE_READ(directory, dentry), &scratch->record.flags);
	}
	work->question.start = start;
	work->question.is_written = 1;
	return 1;
}

/* The same from what the kernel's own objects gave while the call ran (named.bpf.c). */
__noinline int named_path(__u32 path)
{
	struct named *named = bpf_task_storage_get(&nameds, bpf_get_current_task_btf(), NULL, 0);
	struct decision_work *work = decision_work_here();
	struct scratch *scratch = scratch_here();
	__u32 start;

	if (!named || !work || !scratch || path > 1)
		return 0;
	start = named->starts[path & 1];
	if (!named->known[path & 1] || start >= PATH_SIZE)
		return 0;
	bpf_probe_read_kernel(scratch->path.bytes, PATH_SIZE, named->paths[path & 1].bytes);
	work->question.start = start;
	return 1;
}

/* Asks about the @path-th path that the call in @slot names; 0 if it names none. */
static __always_inline int ask_about_path(struct decision_work *work, __u32 slot, __u32 path)
{
	struct syscall *syscall = bpf_map_lookup_elem(&syscalls, &slot);
	__u32 seen = 0;

	if (!syscall)
		return 0;
	if (named_path(path))
		return 1;
	for (__u32 i = 0; i < ARGUMENT_COUNT; i++)
		if (syscall->arguments[i] == ARGUMENT_PATH && seen++ == path)
			return written_path(slot, i);
	return 0;
}

/* Asks about the socket of the call in @slot: its own, or the one that was made. */
static __always_inline int ask_about_socket(struct decision_work *work, __u32 slot)
{
	struct syscall *syscall = bpf_map_lookup_elem(&syscalls, &slot);
	struct sock *sk = (struct sock *)work->sock;
	struct scratch *scratch = scratch_here();
	__u32 family, type, protocol;

	if (!syscall || !scratch)
		return 0;
	if (sk) {
		family = BPF_CORE_READ(sk, __sk_common.skc_family);
		type = BPF_CORE_READ(sk, sk_type);
		protocol = BPF_CORE_READ(sk, sk_protocol);
	} else if (syscall->object == OBJECT_NONE) { /* socket(2) */
		family = scratch->record.arguments[0];
		type = scratch->record.arguments[1] & SOCK_TYPE_MASK;
		protocol = scratch->record.arguments[2];
	} else {
		return 0;
	}
	work->question.number_kinds[0] = NUMBER_PROTOCOL;
	work->question.number_kinds[1] = NUMBER_TYPE;
	work->question.numbers[0] = effective_protocol(family, type, protocol);
	work->question.numbers[1] = type;
	return 1;
}

/* What is asked about a call that was let pass. */
enum call_question {
	ASK_PATH = 0, /* its path, by the rules for files; its socket, by those for sockets */
	ASK_OTHER_PATH = 1,
	ASK_PROTECT_PROC = 2,
	ASK_PROTECT_ENV = 3,
	ASK_CALL = 4, /* its path, by the rules for calls */
	ASK_CALL_OTHER_PATH = 5,
	CALL_QUESTIONS = 6,
};

/* The classes of rules that a question (enum call_question) can be put to. */
static __always_inline __u32 classes_asked(__u32 number)
{
	switch (number) {
	case ASK_PATH:
	case ASK_OTHER_PATH:
		return 1 << CLASS_FILE | 1 << CLASS_NETWORK;
	case ASK_PROTECT_PROC:
		return 1 << CLASS_PROTECT_PROC;
	case ASK_PROTECT_ENV:
		return 1 << CLASS_PROTECT_ENV;
	}
	return 1 << CLASS_SYSCALL;
}

/* True if @file, which the current task has opened, is one that the preset of class @of protects. */
static __always_inline bool is_protected(struct file *file, __u32 of)
{
	if (!file || !is_of_another(bpf_get_current_task_btf(), BPF_CORE_READ(file, f_inode)))
		return false;
	return of == CLASS_PROTECT_PROC || is_named_environ(BPF_CORE_READ(file, f_path.dentry));
}

/*
 * Prepares a question (enum call_question) about the call in @slot, whose object
 * lies in the work; 0 if it is not to be asked.
 */
__noinline int ask_about_call(__u32 slot, __u32 traced, __u32 number)
{
	struct syscall *syscall = bpf_map_lookup_elem(&syscalls, &slot);
	struct scratch *scratch = scratch_here();
	struct decision_work *work;
	struct file *file;
	__u32 path = number & 1; /* which of its two */

	/* most of what could be asked is not: that costs nothing more */
	if (!(traced & classes_asked(number)) || !syscall || !scratch)
		return 0;
	work = question_begin(CLASS_FILE);
	if (!work)
		return 0;
	file = (struct file *)work->file;
	if (number == ASK_PROTECT_PROC || number == ASK_PROTECT_ENV) {
		work->question.of = number == ASK_PROTECT_PROC ? CLASS_PROTECT_PROC : CLASS_PROTECT_ENV;
		if (syscall->object != OBJECT_OPENED || !is_protected(file, work->question.of))
			return 0;
		work->question.met |= CONDITION_READ;
	} else if (path && file) {
		return 0;
	}
	question_describe(&work->question, bpf_get_current_task_btf(), file ? BPF_CORE_READ(file, f_inode) : NULL);
	if (work->question.of != CLASS_FILE) {
		work->question.start = work->file_start;
		return 1;
	}
	if (number >= ASK_CALL) {
		work->question.of = CLASS_SYSCALL + slot;
	} else if (syscall->operation == OPERATION_NETWORK) {
		if (!(traced & 1 << CLASS_NETWORK) || path)
			return 0;
		work->question.of = CLASS_NETWORK;
		return ask_about_socket(work, slot);
	} else if (syscall->operation != OPERATION_FILE || !(traced & 1 << CLASS_FILE)) {
		return 0;
	} else if (file && is_nameless(BPF_CORE_READ(file, f_path.dentry))) { /* no path that a rule could mean */
		return 0;
	}
	if (file) {
		work->question.start = work->file_start;
		work->question.unreadable = !!(scratch->record.flags & (RECORD_CUT | RECORD_UNREADABLE));
		if (syscall->object == OBJECT_OPENED && !(BPF_CORE_READ(file, f_mode) & FMODE_WRITE))
			work->question.met |= CONDITION_READ;
		return 1;
	}
	/* a call without a path can be meant by rules for calls */
	return ask_about_path(work, slot, path) || (number == ASK_CALL);
}

#endif
