/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between the kernel programs and the agent: every byte that
 * crosses the ring buffer or a map is declared here and nowhere else.
 *
 * A raw record is a `struct record` followed by items: a `struct item` and
 * its bytes, one after the other, up to `size`. Fields are ordered so that no
 * padding is needed; the generator refuses holes and the sizes are asserted.
 */
#ifndef HAUBERK_ABI_H
#define HAUBERK_ABI_H

#include <linux/types.h>

enum limit {
	ABI_VERSION = 3,	 /* grows with any change of this file; recordings carry it */
	PATH_SIZE = 4096,	 /* PATH_MAX of linux/limits.h */
	ARGV_SIZE = 12288,	 /* bytes of argv that an exec record holds; more is cut and said so */
	ADDRESS_SIZE = 128,	 /* sizeof(struct sockaddr_storage) */
	DNS_SIZE = 512,		 /* a DNS message over UDP without extensions, RFC 1035 */
	ARGUMENT_COUNT = 6,	 /* what a system call can take */
	SYSCALL_SLOTS = 2048,	 /* native numbers, then the 32-bit ones from COMPAT_SLOT on */
	COMPAT_SLOT = 1024,
	SOCKETCALL_SLOT = 1984,	 /* ... then the calls that socketcall(2) multiplexes */
	ITEMS_SIZE = 25600,	 /* all items of a record; a scratch must fit a per-CPU map value */
	PREFIX_SIZE = 256,	 /* of the path that the operator asked for */
	ERRNO_COUNT = 192,
	OPEN_HOW_SIZE = 24,	 /* flags, mode, resolve: linux/openat2.h */
	GLOB_STATES = 65535,	 /* of the automaton of a rule table; state 0 leads nowhere */
	LIST_SIZE = 64,		 /* rules with different conditions for one and the same path */
	HASH_PRIME = 2147483647, /* 2^31 - 1 */
	SUBJECT_COUNT = 65536,	 /* workloads with rules */
	SET_COUNT = 16384,	 /* different rule tables */
	SET_UNKNOWN = 0x7ffffffe, /* of a container that the agent does not know: that of SUBJECT_UNKNOWN */
	SET_NONE = 0x7fffffff,	 /* of a container without rules; it has no table, but it is not the host */
};

enum hook {
	HOOK_NONE = 0,
	HOOK_SYSCALL = 1,  /* tp_btf/sys_exit */
	HOOK_EXEC = 2,	   /* tp_btf/sched_process_exec */
	HOOK_FORK = 3,	   /* tp_btf/sched_process_fork; arguments: who forked (tgid) and its cgroup */
	HOOK_EXIT = 4,	   /* tp_btf/sched_process_exit */
	HOOK_DNS = 5,	   /* tp_btf/sys_exit of a call that sent a query to port 53 */
	HOOK_IO_URING = 6, /* tp_btf/io_uring_complete */
	HOOK_CGROUP = 7,   /* tp_btf/cgroup_mkdir; also one for each cgroup that was there before */
	HOOK_PROCESS = 8,  /* no hook: a process that was there before, from procfs */
	HOOK_LSM = 9,	   /* a decision of an LSM program; argument 0 is its enum lsm_hook */
	HOOK_CAPABLE = 10, /* a capability was used, where LSM programs are not asked; its number, enum capable_source */
	HOOK_COUNT = 11,
};

/* The LSM hooks that decide, by the names of linux/lsm_hook_defs.h. */
enum lsm_hook {
	LSM_NONE = 0,
	LSM_BPRM_CHECK_SECURITY = 1,
	LSM_FILE_OPEN = 2,
	LSM_FILE_PERMISSION = 3,
	LSM_MMAP_FILE = 4,
	LSM_FILE_MPROTECT = 5,
	LSM_PATH_MKNOD = 6,
	LSM_PATH_MKDIR = 7,
	LSM_PATH_RMDIR = 8,
	LSM_PATH_UNLINK = 9,
	LSM_PATH_SYMLINK = 10,
	LSM_PATH_LINK = 11,
	LSM_PATH_RENAME = 12,
	LSM_PATH_CHMOD = 13,
	LSM_PATH_CHOWN = 14,
	LSM_PATH_TRUNCATE = 15,
	LSM_SOCKET_CREATE = 16,
	LSM_SOCKET_CONNECT = 17,
	LSM_SOCKET_BIND = 18,
	LSM_SOCKET_LISTEN = 19,
	LSM_SOCKET_ACCEPT = 20,
	LSM_SOCKET_SENDMSG = 21,
	LSM_CAPABLE = 22,
	LSM_SB_MOUNT = 23,
	LSM_MOVE_MOUNT = 24,
	LSM_SB_UMOUNT = 25,
	LSM_SB_PIVOTROOT = 26,
	LSM_PTRACE_ACCESS_CHECK = 27,
	LSM_BPF = 28,
	LSM_KERNEL_LOAD_DATA = 29,
	LSM_KERNEL_READ_FILE = 30,
	LSM_PATH_CHROOT = 31,
	LSM_TASK_KILL = 32,
	LSM_CAPSET = 33,
	LSM_COUNT = 34,
};

/* What saw the use of a capability. */
enum capable_source {
	CAPABLE_BY_FUNCTION = 0,   /* fexit/security_capable */
	CAPABLE_BY_TRACEPOINT = 1, /* tp_btf/cap_capable */
};

/* KubeArmor's classes; what the operator selects and the ledger is kept by. */
enum operation {
	OPERATION_PROCESS = 0,
	OPERATION_FILE = 1,
	OPERATION_NETWORK = 2,
	OPERATION_SYSCALL = 3,
	OPERATION_CAPABILITIES = 4,
	OPERATION_COUNT = 5,
};

enum record_flag {
	RECORD_STATE = 1,      /* bookkeeping: tells who is who, is no event */
	RECORD_CUT = 2,	       /* a string was longer than what a record holds */
	RECORD_UNREADABLE = 4, /* a string could not be read: its page was not there */
	RECORD_COMPAT = 8,     /* a 32-bit system call */
	RECORD_DELETED = 16,   /* the object has no name in its file system any more */
	RECORD_LATE = 32,      /* an argument was copied after the call, not before it */
	RECORD_SCRIPT = 64,    /* the image is an interpreter; argv is the interpreter's */
	RECORD_ALERT = 128,    /* carries an ITEM_VERDICT, and came by the ring of alerts */
};

enum item_kind {
	ITEM_CWD = 1,	     /* working directory */
	ITEM_TTY = 2,	     /* controlling terminal, "pts0" */
	ITEM_EXECUTABLE = 3, /* path of the running image */
	ITEM_FILENAME = 4,   /* what was asked to be executed, as the caller wrote it */
	ITEM_ARGV = 5,	     /* arguments, each ended by NUL */
	ITEM_OBJECT = 6,     /* path of the kernel's object that stands for argument `index` */
	ITEM_ARGUMENT = 7,   /* argument `index` as the caller passed it */
	ITEM_BASE = 8,	     /* path of the directory that argument `index` is relative to */
	ITEM_ADDRESS = 9,    /* struct sockaddr */
	ITEM_CGROUP = 10,    /* path of a cgroup in its hierarchy */
	ITEM_DNS = 11,	     /* a DNS message */
	ITEM_COMM = 12,	     /* name of the thread */
	ITEM_VERDICT = 13,   /* struct verdict */
};

struct item {
	__u8 kind;  /* enum item_kind */
	__u8 which; /* index of the argument it belongs to */
	__u16 size; /* bytes that follow */
};

struct record {
	__u64 time_ns;	 /* CLOCK_BOOTTIME */
	__u64 sequence;	 /* per CPU; counts the lost ones too, so a gap is a loss */
	__u64 cgroup_id; /* names the workload */
	__u64 start_ns;	 /* CLOCK_BOOTTIME at which the process was forked; with tgid it names a process for good */
	__s64 result;	 /* what the system call returned; exit code (wait status) for HOOK_EXIT */
	__u64 arguments[ARGUMENT_COUNT];
	__u32 tgid;	 /* in the initial PID namespace */
	__u32 tid;
	__u32 ppid;	 /* tgid of the parent, in the initial PID namespace */
	__u32 ns_tgid;	 /* the same two in the process's own PID namespace; */
	__u32 ns_ppid;	 /* 0 where the parent is outside of it */
	__u32 pid_ns;	 /* inode numbers of the namespaces */
	__u32 mnt_ns;
	__u32 uid;	 /* real UID in the initial user namespace */
	__u32 exec_id;	 /* how many images this line of processes has run; changes with each exec */
	__u16 hook;	 /* enum hook */
	__u16 syscall;	 /* its slot in `syscalls`: the native number, COMPAT_SLOT + the 32-bit one */
	__u16 cpu;
	__u16 flags;	 /* enum record_flag */
	__u32 size;	 /* of header and items together */
};

_Static_assert(sizeof(struct item) == 4, "item is ABI");
_Static_assert(sizeof(struct record) == 136, "record is ABI");

/* How the kernel programs treat one argument of a system call. */
enum argument_kind {
	ARGUMENT_NUMBER = 0,
	ARGUMENT_DIRFD = 1,   /* the directory that the next path is relative to */
	ARGUMENT_PATH = 2,    /* a path in user memory */
	ARGUMENT_STRING = 3,  /* any other string in user memory */
	ARGUMENT_ADDRESS = 4, /* a struct sockaddr in user memory; its size is the next argument */
	ARGUMENT_ARGV = 5,    /* a vector of strings in user memory */
	ARGUMENT_FD = 6,      /* a descriptor whose file is the object */
	/* what the calls of OBJECT_QUERY send */
	ARGUMENT_BUFFER = 7,   /* its size is the next argument */
	ARGUMENT_MESSAGE = 8,  /* a struct msghdr */
	ARGUMENT_MESSAGES = 9, /* a vector of struct mmsghdr */
	ARGUMENT_HOW = 10,     /* the struct open_how of openat2(2) */
};

/* Which object of the kernel a successful call leaves behind. */
enum object_kind {
	OBJECT_NONE = 0,
	OBJECT_OPENED = 1, /* the file behind the descriptor that was returned */
	OBJECT_FILE = 2,   /* the file behind the ARGUMENT_FD */
	OBJECT_PEER = 3,   /* the far end of the socket that argument 0 names */
	OBJECT_LOCAL = 4,  /* the near end of it */
	OBJECT_ACCEPTED = 5, /* the far end of the socket that was returned */
	OBJECT_IMAGE = 6,    /* success is reported by HOOK_EXEC */
	OBJECT_QUERY = 7,    /* no event by itself: HOOK_DNS tells of what went to port 53 */
	OBJECT_MEMORY = 8,   /* no event but by a rule: memory that becomes code */
};

/* One row of the catalogue (decode/syscalls.py), written by the loader. */
struct syscall {
	__u8 known;
	__u8 operation; /* enum operation */
	__u8 object;	/* enum object_kind */
	__u8 at_entry;	/* strings are copied when the call begins */
	__u8 hook;	/* enum lsm_hook that the kernel asks before it does what the call is for */
	__u8 arguments[ARGUMENT_COUNT]; /* enum argument_kind */
};

_Static_assert(sizeof(struct syscall) == 11, "syscall is ABI");

/* Why an event was left out in the kernel. */
enum filter {
	FILTER_OPERATION = 0,
	FILTER_WORKLOAD = 1,
	FILTER_PROCESS = 2,
	FILTER_PATH = 3,
	FILTER_RESULT = 4,
	FILTER_ALERT = 5, /* reported, but as an alert */
	FILTER_VISIBILITY = 6,
	FILTER_COUNT = 7,
};

/* What unwanted_groups says of a cgroup: a bit for each enum operation that is not visible, and one for all. */
enum unwanted {
	UNWANTED_WHOLLY = 1 << 16, /* the operator has not selected it */
};

/* The ledger's kernel side: one per CPU and operation. */
struct counters {
	__u64 seen;
	__u64 sent;
	__u64 lost;
	__u64 state_sent; /* records that are no events */
	__u64 state_lost;
	__u64 filtered[FILTER_COUNT];
};

_Static_assert(sizeof(struct counters) == 96, "counters is ABI");

/*
 * Rules. A workload's rules are one table, a hash from `struct table_key` to
 * four words, whose size does not matter to a look-up. It is built by the agent
 * (policy/compile.py) and never changes: other rules are another table.
 */

/* What rules are asked about, each with rules of its own. */
enum rule_class {
	CLASS_PROCESS = 0,
	CLASS_FILE = 1,
	CLASS_NETWORK = 2,
	CLASS_CAPABILITIES = 3,
	CLASS_FILELESS_EXEC = 4, /* the presets */
	CLASS_ANONYMOUS_MAP_EXEC = 5,
	CLASS_PROTECT_ENV = 6,
	CLASS_PROTECT_PROC = 7,
	CLASS_EXEC = 8,
	CLASS_MAP_EXEC = 9, /* code of a file that is mapped, not executed: ld.so FILE */
	CLASS_MOVE = 10,    /* a directory that is renamed or mounted over, with what rules are about below it */
	CLASS_SYSCALL = 16, /* + slot */
};

/*
 * Keys of a table. Text is known by its length and a hash that has a secret of
 * the node in it, so that nobody can look for a path that passes for another.
 * `list`: a number that stands for the rules to try, 0 for none.
 */
enum table_kind {
	TABLE_CLASS = 1,	    /* class -> table_flags, posture, first state of its globs, list for anything */
	TABLE_EXACT = 2,	    /* path -> list */
	TABLE_DIRECTORY = 3,	    /* path with its slash -> list for what is in it, list for all below that */
	TABLE_NAME = 4,		    /* last name of a path -> list */
	TABLE_NUMBER = 5,	    /* enum number_kind and a number -> list */
	TABLE_LIST = 6,		    /* list, source, position -> rule, decision, bits of enum condition, arguments */
	TABLE_SOURCE_EXACT = 7,	    /* path of an image -> source */
	TABLE_SOURCE_DIRECTORY = 8, /* path with its slash -> source of what is in it, of all below that */
	TABLE_ARGUMENT = 9,	    /* set of arguments (as `of`) and one of them -> 1 */
};

enum number_kind {
	NUMBER_PROTOCOL = 1,   /* of an internet socket, linux/in.h */
	NUMBER_TYPE = 2,       /* of any socket, linux/net.h */
	NUMBER_CAPABILITY = 3, /* linux/capability.h */
};

enum table_flag {
	TABLE_HAS_ALLOW = 1,   /* the posture acts */
	TABLE_HAS_SOURCES = 2, /* it matters which image acts */
	TABLE_HAS_PATHS = 4,
	TABLE_HAS_NAMES = 8,
	TABLE_HAS_GLOBS = 16,
};

/*
 * Rules with conditions: one that allows does so when all hold, one that audits
 * or blocks when not all do; but the last is asked of any rule.
 */
enum condition {
	CONDITION_OWNER = 1,	 /* the user owns the object */
	CONDITION_READ = 2,	 /* the object is not changed */
	CONDITION_ARGUMENTS = 4, /* every argument is in the set */
	CONDITION_TERMINAL = 8,	 /* the process has a terminal */
};

/* In the order in which they win over each other, where nothing else tells rules apart. */
enum decision {
	DECISION_NONE = 0,
	DECISION_ALLOW = 1,
	DECISION_AUDIT = 2,
	DECISION_BLOCK = 3,
};

struct table_key {
	__u16 kind;	/* enum table_kind */
	__u16 of;	/* enum rule_class */
	__u32 length;	/* of the text; the source, for TABLE_LIST */
	__u32 hash[2];	/* of the text; two numbers, for the others */
};

struct table_value {
	__u32 words[4];
};

/* One state of the automaton of a table's globs. */
struct glob_state {
	__u16 next[256]; /* state by byte */
	__u32 list;	 /* for a path that ends here */
};

/* What stands for more than one cgroup among the subjects. */
enum subject_key {
	SUBJECT_HOST = 0,    /* all that is in no container */
	SUBJECT_UNKNOWN = 1, /* containers that the agent does not know yet; no cgroup but the root has this ID */
};

/* The rules of one cgroup and of all below it that have none of their own. */
struct subject {
	__u32 set;     /* names a table */
	__u32 classes; /* bit set of the enum rule_class that it has rules for; bit 16 for system calls */
};

/* What all decisions need; written by the agent. */
struct matching {
	__u32 secrets[2]; /* of the hash, each below HASH_PRIME */
	__u32 traced;	  /* bits as in `struct subject`: what no LSM program decides, but tracepoint programs do */
	__u32 zero;
};

/* The functions by which the kernel asks about capabilities; all but the first only to know. */
enum function_key {
	FUNCTION_SECURITY_CAPABLE = 0,
	FUNCTION_NS_CAPABLE_NOAUDIT = 1,
	FUNCTION_HAS_NS_CAPABILITY_NOAUDIT = 2,
	FUNCTION_HAS_CAPABILITY_NOAUDIT = 3,
	FUNCTION_COUNT = 4,
};

/* Where a function of the kernel lies: from its first byte to the one behind its last. */
struct function {
	__u64 start;
	__u64 end;
};

/* What was decided: the content of an ITEM_VERDICT. */
struct verdict {
	__u32 set;
	__u32 rule; /* in that set; 0: the posture */
	__u32 decision; /* enum decision */
	__u32 denied;	/* ... and did it come to that? */
};

_Static_assert(sizeof(struct table_key) == 16, "table_key is ABI");
_Static_assert(sizeof(struct table_value) == 16, "table_value is ABI");
_Static_assert(sizeof(struct glob_state) == 516, "glob_state is ABI");
_Static_assert(sizeof(struct subject) == 8, "subject is ABI");
_Static_assert(sizeof(struct matching) == 16, "matching is ABI");
_Static_assert(sizeof(struct verdict) == 16, "verdict is ABI");
_Static_assert(sizeof(struct function) == 16, "function is ABI");

/* What the operator wants to see; written by the agent, may change while running. */
struct selection {
	__u32 operations;	 /* bit set of enum operation */
	__s32 cgroup_controller; /* number of the cgroup v1 controller that knows containers; -1: unified */
	__s32 cgroup_hierarchy;	 /* its hierarchy; 0: unified */
	__u8 lifecycle;		 /* fork and exit as events */
	__u8 passed;		 /* results >= 0 */
	__u8 by_group;		 /* hold events against unwanted_groups */
	__u8 by_image;		 /* ... and against unwanted_images */
	__u32 prefix_size;	 /* 0: any path */
	__u32 ring_limit;	 /* bytes of the ring buffer that events may fill; the rest is for state */
	__u8 errnos[ERRNO_COUNT]; /* 1: wanted; 0 stands for all errors beyond the array */
	char prefix[PREFIX_SIZE];
};

_Static_assert(sizeof(struct selection) == 472, "selection is ABI");

/* One image that a process runs: the key of `unwanted`. */
struct image {
	__u64 start_ns;
	__u32 tgid;
	__u32 exec_id;
};

_Static_assert(sizeof(struct image) == 16, "image is ABI");

#endif
