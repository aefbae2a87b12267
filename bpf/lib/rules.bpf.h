/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The matcher: what the rules of a workload say about one action.
 *
 * Its meaning is written in Python (policy/rules.py, policy/decide.py), and the
 * two are held against each other on generated cases. A rule is found by hashes
 * of the path and of the directories above it, all of them the prefixes of one
 * walk, so that the number of rules does not matter.
 */
#ifndef HAUBERK_RULES_BPF_H
#define HAUBERK_RULES_BPF_H

#include "kernel.h"
#include "lib/emit.bpf.h"

#define CGROUP_DEPTH 256 /* of cgroups in each other, until we give up looking for a rule's */
#define TABLE_TRIES 4

/* 0 -> what all decisions need */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct matching);
} matchings SEC(".maps");

/* cgroup id, or enum subject_key -> its rules */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SUBJECT_COUNT);
	__type(key, __u64);
	__type(value, struct subject);
} subjects SEC(".maps");

/* set -> its table. A set never changes, and is gone only when no subject has it any more. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SET_COUNT);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(map_flags, BPF_F_NO_PREALLOC);
		__uint(max_entries, 1);
		__uint(key_size, sizeof(struct table_key));
		__uint(value_size, sizeof(struct table_value));
	});
} sets SEC(".maps");

/* set -> the automaton of its globs */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SET_COUNT);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(map_flags, BPF_F_INNER_MAP);
		__uint(max_entries, 1);
		__uint(key_size, sizeof(__u32));
		__uint(value_size, sizeof(struct glob_state));
	});
} automata SEC(".maps");

/* image and set -> its source in that set's table; learned again at will */
struct source_key {
	struct image image;
	__u32 set;
	__u32 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct source_key);
	__type(value, __u32);
} sources SEC(".maps");

static __always_inline struct matching *matching_here(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&matchings, &zero);
}

/* Whose rules? */

struct subject_walk {
	struct cgroup *cgroup;
	struct subject found;
	__u64 id; /* of the cgroup that it is the subject of; 0: the host */
};

static long subject_step(__u32 step, struct subject_walk *walk)
{
	struct cgroup *cgroup = walk->cgroup;
	__u64 id = BPF_CORE_READ(cgroup, kn, id);
	struct cgroup_subsys_state *parent = BPF_CORE_READ(cgroup, self.parent);
	struct subject *subject;

	if (!parent) /* the root, where there is no container */
		return 1;
	subject = bpf_map_lookup_elem(&subjects, &id);
	if (subject) {
		walk->found = *subject;
		walk->id = id;
		return 1;
	}
	walk->cgroup = BPF_CORE_READ(parent, cgroup);
	return 0;
}

static long outermost_step(__u32 step, struct subject_walk *walk)
{
	struct cgroup *cgroup = walk->cgroup;
	__u64 met = walk->id;

	if (subject_step(step, walk)) {
		if (walk->id == met) /* the root */
			return 1;
		walk->cgroup = BPF_CORE_READ(cgroup, self.parent, cgroup);
	}
	return 0;
}

/* The outermost container that @cgroup is or lies in, as far as it is a subject; 0: none. */
static __always_inline __u64 container_of_cgroup(struct cgroup *cgroup)
{
	struct subject_walk walk = {.cgroup = cgroup};

	bpf_loop(CGROUP_DEPTH, outermost_step, &walk, 0);
	return walk.id;
}

/* The cgroup whose rules are the current task's: the nearest that has some; 0: those of the host. */
__noinline __u64 subject_id(void)
{
	struct selection *selection = selected();
	struct subject_walk walk = {};

	if (!selection)
		return 0;
	walk.cgroup = cgroup_of(bpf_get_current_task_btf(), selection);
	bpf_loop(CGROUP_DEPTH, subject_step, &walk, 0);
	return walk.id;
}

/*
 * The rules of the current task's cgroup or of the nearest one above that has some, else the host's: a
 * struct subject as a number, so that this is verified once and keeps its stack to itself.
 */
__noinline __u64 subject_bits(void)
{
	struct selection *selection = selected();
	struct subject_walk walk = {};
	struct subject *subject;
	__u64 key = SUBJECT_HOST;

	if (!selection)
		return 0;
	walk.cgroup = cgroup_of(bpf_get_current_task_btf(), selection);
	bpf_loop(CGROUP_DEPTH, subject_step, &walk, 0);
	if (walk.found.set == SET_UNKNOWN) {
		key = SUBJECT_UNKNOWN;
		walk.found.classes = 0;
	}
	if (!walk.found.set || key) {
		subject = bpf_map_lookup_elem(&subjects, &key);
		if (subject)
			walk.found = *subject;
	}
	return (__u64)walk.found.classes << 32 | walk.found.set;
}

static __always_inline struct subject subject_here(void)
{
	__u64 bits = subject_bits();
	struct subject subject = {.set = bits, .classes = bits >> 32};

	return subject;
}

static __always_inline __u32 class_bit(__u32 class)
{
	return 1U << (class < CLASS_SYSCALL ? class : CLASS_SYSCALL);
}

/* Where is the path in the rules? */

struct rule_walk {
	const char *bytes;
	void *table;
	void *states;
	__u32 at;
	__u32 secrets[2];
	__u32 hash[2];
	__u32 length;	  /* of what was hashed */
	__u32 name_at;	  /* where the last name begins */
	__u32 deepest_at; /* ... of the directory with rules that is nearest */
	__u32 inside, below; /* its lists */
	__u32 state;	  /* of the globs */
	__u16 kind;	  /* of the directories */
	__u16 of;
};

/* hash * secret + byte + 1, modulo HASH_PRIME */
static __always_inline __u32 hash_step(__u32 hash, __u32 secret, __u8 byte)
{
	__u64 sum = (__u64)hash * secret + byte + 1;

	sum = (sum & HASH_PRIME) + (sum >> 31);
	sum = (sum & HASH_PRIME) + (sum >> 31);
	return sum >= HASH_PRIME ? sum - HASH_PRIME : sum;
}

static long rule_step(__u32 step, struct rule_walk *walk)
{
	__u32 at = walk->at;
	__u8 byte;

	if (at >= PATH_SIZE)
		return 1;
	byte = walk->bytes[at];
	walk->at = at + 1;
	walk->length++;
	walk->hash[0] = hash_step(walk->hash[0], walk->secrets[0], byte);
	walk->hash[1] = hash_step(walk->hash[1], walk->secrets[1], byte);
	if (walk->states && walk->state) {
		struct glob_state *state = bpf_map_lookup_elem(walk->states, &walk->state);

		walk->state = state ? state->next[byte] : 0;
	}
	if (byte == '/') {
		struct table_key key = {
			.kind = walk->kind,
			.of = walk->of,
			.length = walk->length,
			.hash = {walk->hash[0], walk->hash[1]},
		};
		struct table_value *value = bpf_map_lookup_elem(walk->table, &key);

		walk->name_at = at + 1;
		if (value) {
			walk->deepest_at = at + 1;
			walk->inside = value->words[0];
			walk->below = value->words[1];
		}
	}
	return 0;
}

static __always_inline struct table_value *look_up(void *table, __u16 kind, __u16 of, __u32 length, __u32 one,
						   __u32 other)
{
	struct table_key key = {.kind = kind, .of = of, .length = length, .hash = {one, other}};

	return bpf_map_lookup_elem(table, &key);
}

/* Begins a walk of what lies from @at to the end of @bytes. */
static __always_inline void walk_begin(struct rule_walk *walk, const char *bytes, __u32 at,
				       const struct matching *matching, const struct decision_work *work)
{
	walk->bytes = bytes;
	walk->at = at;
	walk->name_at = at;
	walk->secrets[0] = matching->secrets[0];
	walk->secrets[1] = matching->secrets[1];
	walk->hash[0] = walk->hash[1] = walk->length = walk->deepest_at = walk->inside = walk->below = work->zero;
}

/* The list for the path that starts at @walk's `at`: of itself, or of the directories above it. */
static __always_inline __u32 walk_path(struct rule_walk *walk, __u16 exact)
{
	struct table_value *value;

	bpf_loop(PATH_SIZE, rule_step, walk, 0);
	value = look_up(walk->table, exact, walk->of, walk->length, walk->hash[0], walk->hash[1]);
	if (value)
		return value->words[0];
	/* a path that ends in a slash is the root, which has been looked up */
	return walk->deepest_at == walk->name_at ? walk->inside : walk->below;
}

/* Which rules of a list hold? */

struct argument_walk {
	void *table;
	const char *items;
	__u32 secrets[2];
	__u32 hash[2];
	__u32 at, end, length;
	__u32 set, zero;
	__u32 count; /* of the arguments that are over */
	bool refused;
};

static long argument_step(__u32 step, struct argument_walk *walk)
{
	__u32 at = walk->at;
	__u8 byte;

	if (at >= walk->end || at >= ITEMS_SIZE)
		return 1;
	byte = walk->items[at];
	walk->at = at + 1;
	if (byte) {
		walk->length++;
		walk->hash[0] = hash_step(walk->hash[0], walk->secrets[0], byte);
		walk->hash[1] = hash_step(walk->hash[1], walk->secrets[1], byte);
		return 0;
	}
	/* the first is the name of the command */
	if (walk->count && !look_up(walk->table, TABLE_ARGUMENT, walk->set, walk->length, walk->hash[0], walk->hash[1])) {
		walk->refused = true;
		return 1;
	}
	walk->count++;
	walk->length = walk->hash[0] = walk->hash[1] = walk->zero;
	return 0;
}

struct list_walk {
	void *table;
	struct question *question;
	struct scratch *scratch;
	struct matching *matching;
	__u32 list, source, zero;
	__u32 rule, decision; /* of the first that holds */
};

/* True if every argument of the command is in the set. One that could not be read whole is not. */
static __always_inline bool arguments_met(struct list_walk *list, __u32 set)
{
	__u32 zero = list->zero;
	struct argument_walk walk = {
		.table = list->table,
		.items = list->scratch->items,
		.secrets = {list->matching->secrets[0], list->matching->secrets[1]},
		.at = list->question->argv_at,
		.end = list->question->argv_at + list->question->argv_size,
		.set = set,
		.zero = zero,
		.hash = {zero, zero},
		.length = zero,
		.count = zero,
	};

	if (!list->question->argv_size || (list->scratch->record.flags & (RECORD_CUT | RECORD_UNREADABLE)))
		return false;
	bpf_loop(ARGV_SIZE, argument_step, &walk, 0);
	return !walk.refused;
}

static long list_step(__u32 step, struct list_walk *walk)
{
	struct table_value *value = look_up(walk->table, TABLE_LIST, step, walk->source, walk->list, 0);
	__u32 asked, met, decision;

	if (!value)
		return 1;
	decision = value->words[1];
	asked = value->words[2];
	met = walk->question->met;
	if ((asked & CONDITION_ARGUMENTS) && arguments_met(walk, value->words[3]))
		met |= CONDITION_ARGUMENTS;
	if (asked & CONDITION_TERMINAL) {
		if (!(met & CONDITION_TERMINAL))
			return 0;
		asked &= ~CONDITION_TERMINAL;
	}
	if (asked && ((met & asked) == asked) != (decision == DECISION_ALLOW))
		return 0;
	walk->rule = value->words[0];
	walk->decision = decision;
	return 1;
}

/* The functions that follow are verified once each, which keeps loading quick; so they take numbers only. */

/*
 * Holds the rules of @list against the question; the answer keeps the one with
 * the lowest number, which is the one that comes first in the order of rules.
 */
__noinline int try_list(__u32 set, __u32 list, __u32 source)
{
	struct list_walk walk = {
		.table = bpf_map_lookup_elem(&sets, &set),
		.scratch = scratch_here(),
		.matching = matching_here(),
		.list = list,
		.source = source,
	};
	struct decision_work *work = decision_work_here();

	if (!list || !walk.table || !walk.scratch || !walk.matching || !work)
		return 0;
	walk.question = &work->question;
	walk.zero = work->zero;
	if (source && !look_up(walk.table, TABLE_LIST, 0, source, list, 0))
		walk.source = 0; /* no rule of this list names this source */
	bpf_loop(LIST_SIZE, list_step, &walk, 0);
	if (walk.rule && (!work->answer.rule || walk.rule < work->answer.rule)) {
		work->answer.rule = walk.rule;
		work->answer.decision = walk.decision;
	}
	return 0;
}

/*
 * The source that the current task's image is in this set's table; or, where an
 * exec has just replaced the image, the one that was there @images before, which
 * must have been asked for then.
 */
__noinline int find_source(__u32 set, __u32 images)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct matching *matching = matching_here();
	struct decision_work *work = decision_work_here();
	struct source_key key = {
		.image = {
			.start_ns = BPF_CORE_READ(task, group_leader, start_boottime),
			.tgid = BPF_CORE_READ(task, tgid),
			.exec_id = (__u32)BPF_CORE_READ(task, self_exec_id) - images,
		},
		.set = set,
	};
	struct rule_walk walk = {
		.table = bpf_map_lookup_elem(&sets, &set),
		.kind = TABLE_SOURCE_DIRECTORY,
	};
	__u32 *known = bpf_map_lookup_elem(&sources, &key), source;
	struct file *executable;
	__u16 flags = 0;

	if (known)
		return *known;
	executable = BPF_CORE_READ(task, mm, exe_file);
	if (images || !executable || !matching || !work || !walk.table)
		return 0;
	walk_begin(&walk, work->source.bytes,
		   path_build(&work->source, BPF_CORE_READ(executable, f_path.mnt),
			      BPF_CORE_READ(executable, f_path.dentry), &flags),
		   matching, work);
	source = walk_path(&walk, TABLE_SOURCE_EXACT);
	bpf_map_update_elem(&sources, &key, &source, BPF_ANY);
	return source;
}

static __always_inline const char *path_asked(const struct decision_work *work, const struct scratch *scratch)
{
	return work->question.is_written ? work->written.bytes : scratch->path.bytes;
}

/* Walks the path of the question and leaves in the work the lists that it leads to. */
__noinline int find_lists(__u32 set, __u32 glob_state)
{
	struct matching *matching = matching_here();
	struct decision_work *work = decision_work_here();
	struct scratch *scratch = scratch_here();
	struct rule_walk walk = {
		.table = bpf_map_lookup_elem(&sets, &set),
		.kind = TABLE_DIRECTORY,
		.state = glob_state,
	};

	if (!matching || !work || !scratch || !walk.table)
		return 0;
	walk_begin(&walk, path_asked(work, scratch), work->question.start, matching, work);
	walk.of = work->question.of;
	if (glob_state)
		walk.states = bpf_map_lookup_elem(&automata, &set);
	work->path_list = walk_path(&walk, TABLE_EXACT);
	work->name_at = walk.name_at;
	work->glob_list = 0;
	if (walk.states && walk.state) {
		struct glob_state *state = bpf_map_lookup_elem(walk.states, &walk.state);

		if (state)
			work->glob_list = state->list;
	}
	return 0;
}

/* The list of the last name of the path. */
__noinline int find_name(__u32 set)
{
	struct matching *matching = matching_here();
	struct decision_work *work = decision_work_here();
	struct scratch *scratch = scratch_here();
	struct rule_walk walk = {
		.table = bpf_map_lookup_elem(&sets, &set),
		.kind = TABLE_NAME, /* a name has no slash: nothing is looked up on the way */
	};

	if (!matching || !work || !scratch || !walk.table)
		return 0;
	walk_begin(&walk, path_asked(work, scratch), work->name_at, matching, work);
	walk.of = work->question.of;
	return walk_path(&walk, TABLE_NAME);
}

/* Answers the question from one table; 0 if the set is gone. */
__noinline int decide_by(__u32 set)
{
	struct decision_work *work = decision_work_here();
	__u32 flags, posture, globs, anything, source = 0, of;
	struct table_value *value;
	void *table = bpf_map_lookup_elem(&sets, &set);

	if (!work || !table)
		return 0;
	work->answer.set = set;
	work->answer.rule = 0;
	work->answer.decision = DECISION_NONE;
	of = work->question.of;
	value = look_up(table, TABLE_CLASS, of, 0, 0, 0);
	if (!value)
		return 1;
	flags = value->words[0];
	posture = value->words[1];
	globs = value->words[2];
	anything = value->words[3];
	if (work->question.unreadable) {
		work->answer.decision = posture;
		return 1;
	}
	if (flags & TABLE_HAS_SOURCES)
		source = find_source(set, work->question.images);
	if (anything)
		try_list(set, anything, source);
	if (work->question.start < PATH_SIZE && (flags & (TABLE_HAS_PATHS | TABLE_HAS_NAMES | TABLE_HAS_GLOBS))) {
		find_lists(set, globs);
		if (work->path_list)
			try_list(set, work->path_list, source);
		if (work->glob_list)
			try_list(set, work->glob_list, source);
		if (flags & TABLE_HAS_NAMES)
			try_list(set, find_name(set), source);
	}
	for (int i = 0; i < 2; i++) {
		if (!work->question.number_kinds[i])
			continue;
		value = look_up(table, TABLE_NUMBER, of, 0, work->question.number_kinds[i], work->question.numbers[i]);
		if (value)
			try_list(set, value->words[0], source);
	}
	if (!work->answer.rule && (flags & TABLE_HAS_ALLOW))
		work->answer.decision = posture;
	return bpf_map_lookup_elem(&sets, &set) != NULL; /* else it may have gone in the middle */
}

/*
 * Answers the question that lies in this program's work, for the current
 * task: the enum decision. Where a rule gave it, the answer names the rule.
 */
__noinline int decide(void)
{
	struct decision_work *work = decision_work_here();

	if (!work)
		return DECISION_NONE;
	work->answer.decision = DECISION_NONE;
	for (int i = 0; i < TABLE_TRIES; i++) {
		struct subject subject = subject_here();

		if (!subject.set || !(subject.classes & class_bit(work->question.of)))
			return DECISION_NONE;
		/* a table that has gone: the workload has another one by now */
		if (decide_by(subject.set))
			return work->answer.decision;
	}
	return DECISION_NONE;
}

#endif
