/* Rings whose completions interrupt nobody.
 *
 * Without this flag the kernel interrupts the thread's core for each completion, from the core
 * that found it: an eighth of the server's time on loopback with two cores. With it a completion
 * waits until the thread enters the kernel or its timer comes, which a loop of `send`, `recv` and
 * waiting does all the time. Kernels before 5.19 do not know it. */
#define __sys_io_uring_setup theirs_io_uring_setup
#include "theirs/syscall.c"
#undef __sys_io_uring_setup

#define COOP_TASKRUN (1U << 8)

int __sys_io_uring_setup(unsigned entries, struct io_uring_params *p);

int __sys_io_uring_setup(unsigned entries, struct io_uring_params *p)
{
	unsigned asked = p->flags;
	int fd;

	p->flags = asked | COOP_TASKRUN;
	fd = theirs_io_uring_setup(entries, p);
	if (fd >= 0)
		return fd;
	p->flags = asked;
	return theirs_io_uring_setup(entries, p);
}
