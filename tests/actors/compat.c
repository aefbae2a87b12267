// SPDX-License-Identifier: Apache-2.0
/*
 * System calls as a 32-bit program makes them: int $0x80, which a 64-bit
 * program may use too, as long as all that it points to lies below 4 GiB.
 */
#include "actor.h"
#include <linux/openat2.h>
#include <setjmp.h>

#define COMPAT_SOCKETCALL 102
#define COMPAT_GETPID 20

static __thread int compat_number;
static __thread uint32_t compat_arguments[ARGUMENTS];

long int80(uint32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e, uint32_t f);

asm(".globl int80\n"
    "int80:\n"
    "	push %rbx\n"
    "	push %rbp\n"
    "	mov 24(%rsp), %ebp\n"
    "	mov %edi, %eax\n"
    "	mov %esi, %ebx\n"
    "	xchg %ecx, %edx\n"
    "	mov %r8d, %esi\n"
    "	mov %r9d, %edi\n"
    "	int $0x80\n"
    "	cdqe\n"
    "	pop %rbp\n"
    "	pop %rbx\n"
    "	ret\n");

static sigjmp_buf no_compat;

static void on_fault(int number)
{
	siglongjmp(no_compat, number);
}

/* Without the 32-bit entry of the kernel, int $0x80 is a fault. */
static void must_have_compat(void)
{
	struct sigaction action = {.sa_handler = on_fault}, old;
	static bool known;

	if (known)
		return;
	sigaction(SIGSEGV, &action, &old);
	if (sigsetjmp(no_compat, 1))
		unsupported("int $0x80: the kernel has no 32-bit system calls");
	if (int80(COMPAT_GETPID, 0, 0, 0, 0, 0, 0) == -ENOSYS)
		unsupported("int $0x80: 32-bit system calls are switched off");
	sigaction(SIGSEGV, &old, NULL);
	known = true;
}

static uint32_t low_copy(const void *from, size_t size)
{
	if ((uintptr_t)from < 4096) /* NULL, or bad on purpose */
		return (uintptr_t)from;
	return (uintptr_t)memcpy(low(size), from, size);
}

static uint32_t low_string(const char *string)
{
	return low_copy(string, (uintptr_t)string < 4096 ? 0 : strlen(string) + 1);
}

static uint32_t low_vector(char *const *vector)
{
	size_t count = 0;
	uint32_t *copy;

	if ((uintptr_t)vector < 4096)
		return (uintptr_t)vector;
	while (vector[count])
		count++;
	copy = low((count + 1) * sizeof(*copy));
	for (size_t i = 0; i < count; i++)
		copy[i] = low_string(vector[i]);
	return (uintptr_t)copy;
}

static uint32_t low_iovec(const struct iovec *vector, size_t count)
{
	uint32_t *copy = low(count * 2 * sizeof(*copy));

	for (size_t i = 0; i < count; i++) {
		copy[2 * i] = (uintptr_t)vector[i].iov_base;
		copy[2 * i + 1] = vector[i].iov_len;
	}
	return (uintptr_t)copy;
}

static void low_message(uint32_t *copy, const struct msghdr *message)
{
	copy[0] = low_copy(message->msg_name, message->msg_namelen);
	copy[1] = message->msg_namelen;
	copy[2] = low_iovec(message->msg_iov, message->msg_iovlen);
	copy[3] = message->msg_iovlen;
}

/* struct mmsghdr: a message of seven words, and the size sent */
static uint32_t low_messages(const struct mmsghdr *messages, size_t count)
{
	uint32_t *copy = low(count * 8 * sizeof(*copy));

	for (size_t i = 0; i < count; i++)
		low_message(copy + 8 * i, &messages[i].msg_hdr);
	return (uintptr_t)copy;
}

static uint32_t low_argument(enum kind kind, const long *argument)
{
	const void *pointer = (const void *)argument[0];
	uint32_t *message;

	switch (kind) {
	case STRING:
		return low_string(pointer);
	case VECTOR:
		return low_vector(pointer);
	case ADDRESS:
	case BYTES:
		return low_copy(pointer, argument[1]);
	case HOW:
		return low_copy(pointer, sizeof(struct open_how));
	case IOVEC:
		return low_iovec(pointer, argument[1]);
	case MESSAGE:
		message = low(7 * sizeof(*message));
		low_message(message, pointer);
		return (uintptr_t)message;
	case MESSAGES:
		return low_messages(pointer, argument[1]);
	default:
		return argument[0];
	}
}

static void prepare(int number, const struct call *call, const long *arguments)
{
	must_have_compat();
	compat_number = number;
	for (int i = 0; i < ARGUMENTS; i++)
		compat_arguments[i] = low_argument(call->arguments[i].kind, arguments + i);
}

void compat_prepare(const struct call *call, const long *arguments)
{
	prepare(call->compat, call, arguments);
}

void compat_old_prepare(const struct call *call, const long *arguments)
{
	prepare(call->compat_old, call, arguments);
}

void socketcall_prepare(const struct call *call, const long *arguments)
{
	uint32_t vector;

	prepare(COMPAT_SOCKETCALL, call, arguments);
	vector = low_copy(compat_arguments, sizeof(compat_arguments));
	memset(compat_arguments, 0, sizeof(compat_arguments));
	compat_arguments[0] = call->socketcall;
	compat_arguments[1] = vector;
}

long compat_go(void)
{
	uint32_t *a = compat_arguments;

	return int80(compat_number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
