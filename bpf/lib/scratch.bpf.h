/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Room to work in: a record is too large for the stack of a program.
 *
 * Tracepoint programs run with preemption off and do not interrupt each other:
 * one scratch per CPU is enough. LSM programs (HAUBERK_LSM) stay on their CPU but
 * may be preempted there by a task that runs one too, so they have several
 * scratches and each task takes one for its own.
 */
#ifndef HAUBERK_SCRATCH_BPF_H
#define HAUBERK_SCRATCH_BPF_H

#include "kernel.h"
#include "abi.h"
#include "lib/path.bpf.h"

/* One record under construction. The items leave room for one more at any time. */
struct scratch {
	struct record record;
	char items[ITEMS_SIZE];
	struct path_buffer path;
	__u64 call[ARGUMENT_COUNT]; /* arguments of a call that may hold events: no room on the stack */
};

/* What is asked of the rules; see lib/rules.bpf.h. */
struct question {
	__u32 of;	       /* enum rule_class */
	__u32 start;	       /* of the path in the scratch; PATH_SIZE: there is none */
	__u32 met;	       /* bits of enum condition */
	__u32 number_kinds[2]; /* enum number_kind; 0: none */
	__u32 numbers[2];
	__u32 unreadable; /* the path is not known whole */
	__u32 argv_at;	  /* of the arguments in the scratch's items */
	__u32 argv_size;
	__u32 is_written; /* the path lies in the work, not in the scratch */
	__u32 images; /* how many images ago the acting one was: 1 after an exec */
};

struct answer {
	__u32 set;
	__u32 rule;
	__u32 decision; /* enum decision */
};

struct list_head;
struct mnt_namespace;

/* A walk over the mounts of one file system; see lib/other_names.bpf.h. */
struct other_name_walk {
	struct dentry *dentry;	    /* what is looked for */
	struct mount *shown_by;	    /* the mount that it was reached by */
	struct dentry *root;	    /* of root_ns */
	bool is_root_asked;	    /* ... by its name: it needs no mount */
	struct mnt_namespace *own, *root_ns;
	struct list_head *at, *end; /* links of the list; where mounts are chained, the next one */
	struct mount *found;
};

struct decision_work {
	struct question question;
	struct answer answer;
	struct answer by_name; /* what the name in use came to, while others are asked about */
	struct answer strongest; /* of the questions about one act; see lib/observe.bpf.h */
	__u32 strongest_of;	 /* enum rule_class: what was asked then */
	struct other_name_walk other_names;
	__u32 path_list, glob_list; /* of rules that may hold */
	__u32 name_at;		    /* where the last name of the path begins */
	__u64 mnt, dentry;	    /* of what the path is to be built of */
	__u64 root;		    /* where it ends if there is no mount */
	__u64 mnt_by_name, root_by_name; /* the same of the name in use */
	__u64 details[4];	    /* for the record */
	__u64 file, sock;	    /* of a call: what it left behind, 0 if nothing */
	__u32 file_start;	    /* of the file's path in the scratch; PATH_SIZE: none */
	__u32 zero; /* which the verifier does not know: it would follow a loop that begins with a number step by step */
	struct path_buffer source;
	union { /* a path as a caller wrote it: behind it may stand what the verifier wants to see */
		struct path_buffer written;
		char room[2 * PATH_SIZE];
	};
};

#ifdef HAUBERK_LSM

#define SCRATCH_COUNT 4
#define SCRATCHES lsm_scratches
#define DECISION_WORK lsm_work

/* number of a scratch -> the task that has it; 0: nobody */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} owners SEC(".maps");

static __always_inline __u32 scratch_number(__u64 owner)
{
	for (__u32 i = 0; i < SCRATCH_COUNT; i++) {
		__u32 key = i;
		__u64 *had_by = bpf_map_lookup_elem(&owners, &key);

		if (had_by && *had_by == owner)
			return i;
	}
	return SCRATCH_COUNT;
}

/* Takes a scratch for this task; false if more tasks are in the middle of a decision than there are scratches. */
static __always_inline bool scratch_take(void)
{
	for (__u32 i = 0; i < SCRATCH_COUNT; i++) {
		__u32 key = i;
		__u64 *had_by = bpf_map_lookup_elem(&owners, &key);

		if (had_by && !__sync_val_compare_and_swap(had_by, 0, bpf_get_current_task()))
			return true;
	}
	return false;
}

static __always_inline void scratch_give_back(void)
{
	__u32 number = scratch_number(bpf_get_current_task());
	__u64 *had_by = bpf_map_lookup_elem(&owners, &number);

	if (had_by)
		*had_by = 0;
}

static __always_inline __u32 scratch_mine(void)
{
	return scratch_number(bpf_get_current_task());
}

#else

#define SCRATCH_COUNT 1
#define SCRATCHES scratches
#define DECISION_WORK decision_works

static __always_inline __u32 scratch_mine(void)
{
	return 0;
}

#endif

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_COUNT);
	__type(key, __u32);
	__type(value, struct scratch);
} SCRATCHES SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCH_COUNT);
	__type(key, __u32);
	__type(value, struct decision_work);
} DECISION_WORK SEC(".maps");

static __always_inline struct scratch *scratch_here(void)
{
	__u32 mine = scratch_mine();

	return bpf_map_lookup_elem(&SCRATCHES, &mine);
}

static __always_inline struct decision_work *decision_work_here(void)
{
	__u32 mine = scratch_mine();

	return bpf_map_lookup_elem(&DECISION_WORK, &mine);
}

#endif
