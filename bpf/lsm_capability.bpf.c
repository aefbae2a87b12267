// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which capabilities may be used.
 *
 *   lsm/capable   of those that the process has: the kernel asks for the others no further
 */
#include "lib/judge.bpf.h"

#define CAP_OPT_NOAUDIT 2 /* include/linux/security.h: the kernel asks, and nothing hangs on the answer */

SEC("lsm/capable")
int BPF_PROG(lsm_capable, const struct cred *credentials, struct user_namespace *namespace, int capability,
	     unsigned int options)
{
	struct access access = {
		.of = CLASS_CAPABILITIES,
		.hook = LSM_CAPABLE,
		.telling = options & CAP_OPT_NOAUDIT ? TELL_NONE : TELL_ALL,
		.writes = true,
		.kinds = {NUMBER_CAPABILITY},
		.numbers = {capability},
		.details = {capability},
	};

	return judge_for_hook(&access);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
