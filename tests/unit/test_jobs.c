#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/jobs.h"

#define N 200

struct work {
	struct job job;
	int in, out;
	int done;
};

static void run(struct job *job)
{
	struct work *w = (struct work *)job;

	w->out = w->in * 2;
}

static void done(struct job *job)
{
	((struct work *)job)->done++;
}

static int take_until(struct mailbox *home, struct work *v, int n)
{
	int finished = 0;

	while (finished < n) {
		struct pollfd p = {.fd = home->fd, .events = POLLIN};

		if (poll(&p, 1, 10000) != 1)
			return finished; /* a hang: the caller's assertion fails */
		jobs_done(mailbox_take(home));
		finished = 0;
		for (int i = 0; i < n; i++)
			finished += v[i].done;
	}
	return finished;
}

static void test_every_job_comes_home_once(void **state)
{
	struct work v[N] = {0};
	struct mailbox home;
	struct jobs *j;
	struct error err;

	(void)state;
	assert_int_equal(mailbox_init(&home, &err), 0);
	j = jobs_start(3, N, &home, &err);
	assert_non_null(j);
	for (int i = 0; i < N; i++) {
		v[i] = (struct work){.job = {.run = run, .done = done}, .in = i};
		assert_true(jobs_submit(j, &v[i].job));
	}
	assert_int_equal(take_until(&home, v, N), N);
	for (int i = 0; i < N; i++) {
		assert_int_equal(v[i].out, 2 * i);
		assert_int_equal(v[i].done, 1);
	}
	assert_true(jobs_stop(j, 10000));
	mailbox_clear(&home);
}

/* Each is alone: the queue and the mailbox are empty again before the next. */
static void test_one_after_the_other(void **state)
{
	struct work v[5] = {0};
	struct mailbox home;
	struct jobs *j;
	struct error err;

	(void)state;
	assert_int_equal(mailbox_init(&home, &err), 0);
	j = jobs_start(1, 1, &home, &err);
	assert_non_null(j);
	for (int i = 0; i < 5; i++) {
		v[i] = (struct work){.job = {.run = run, .done = done}, .in = i};
		assert_true(jobs_submit(j, &v[i].job));
		assert_int_equal(take_until(&home, v, i + 1), i + 1);
	}
	assert_true(jobs_stop(j, 10000));
	mailbox_clear(&home);
}

static int gate[2];

static void run_gated(struct job *job)
{
	char c;

	assert_int_equal(read(gate[0], &c, 1), 1);
	run(job);
}

/* One runs, two wait, the fourth is refused; what still waits at the end comes home unrun. */
static void test_bound_and_stop(void **state)
{
	struct work v[4];
	struct mailbox home;
	struct jobs *j;
	struct error err;

	(void)state;
	assert_int_equal(pipe(gate), 0);
	assert_int_equal(mailbox_init(&home, &err), 0);
	j = jobs_start(1, 2, &home, &err);
	assert_non_null(j);
	for (int i = 0; i < 4; i++)
		v[i] = (struct work){.job = {.run = run_gated, .done = done}, .in = 21};
	assert_true(jobs_submit(j, &v[0].job));
	assert_true(jobs_submit(j, &v[1].job));
	while (!jobs_submit(j, &v[2].job)) /* until the thread has taken the first */
		sched_yield();
	assert_false(jobs_submit(j, &v[3].job));
	assert_false(jobs_stop(j, 50)); /* the gate is closed: it cannot end */
	jobs_done(mailbox_take(&home));
	assert_int_equal(v[0].done, 0);
	assert_int_equal(v[1].done, 1);
	assert_int_equal(v[2].done, 1);
	assert_int_equal(v[2].out, 0);
	assert_int_equal(write(gate[1], "x", 1), 1);
	assert_true(jobs_stop(j, 10000));
	assert_int_equal(take_until(&home, v, 1), 1);
	assert_int_equal(v[0].out, 42);
	mailbox_clear(&home);
	close(gate[0]);
	close(gate[1]);
}

static void test_mailbox_keeps_the_order(void **state)
{
	struct mail m[5];
	struct mailbox box;
	struct mail *got;
	struct error err;
	int i = 0;

	(void)state;
	assert_int_equal(mailbox_init(&box, &err), 0);
	assert_null(mailbox_take(&box));
	for (int k = 0; k < 5; k++)
		mailbox_post(&box, &m[k]);
	for (got = mailbox_take(&box); got; got = got->next)
		assert_ptr_equal(got, &m[i++]);
	assert_int_equal(i, 5);
	assert_null(mailbox_take(&box));
	mailbox_clear(&box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_job_comes_home_once),
		cmocka_unit_test(test_one_after_the_other),
		cmocka_unit_test(test_bound_and_stop),
		cmocka_unit_test(test_mailbox_keeps_the_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
