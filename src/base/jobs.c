#include "base/jobs.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"

struct jobs {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct mail *first, **last;
	size_t queued, max;
	bool stopping;
	struct mailbox *home;
	unsigned n_threads;
	pthread_t threads[];
};

static struct job *take(struct jobs *j)
{
	struct mail *m = j->first;

	j->first = m->next;
	if (!j->first)
		j->last = &j->first;
	j->queued--;
	return (struct job *)m;
}

static void *run_thread(void *arg)
{
	struct jobs *j = arg;

	pthread_mutex_lock(&j->lock);
	for (;;) {
		struct job *job;

		while (!j->queued && !j->stopping)
			pthread_cond_wait(&j->wake, &j->lock);
		if (j->stopping)
			break;
		job = take(j);
		pthread_mutex_unlock(&j->lock);
		job->run(job);
		mailbox_post(j->home, &job->mail);
		pthread_mutex_lock(&j->lock);
	}
	pthread_mutex_unlock(&j->lock);
	return NULL;
}

struct jobs *jobs_start(unsigned threads, size_t max, struct mailbox *home, struct error *err)
{
	struct jobs *j = mem_zalloc(sizeof(*j) + threads * sizeof(j->threads[0]));

	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->wake, NULL);
	j->last = &j->first;
	j->max = max;
	j->home = home;
	for (; j->n_threads < threads; j->n_threads++) {
		int rc = pthread_create(&j->threads[j->n_threads], NULL, run_thread, j);

		if (rc) {
			errno = rc;
			error_set_errno(err, "cannot start a job thread");
			jobs_stop(j, 1000);
			return NULL;
		}
	}
	return j;
}

bool jobs_submit(struct jobs *j, struct job *job)
{
	bool taken;

	pthread_mutex_lock(&j->lock);
	taken = j->queued < j->max;
	if (taken) {
		job->mail.next = NULL;
		*j->last = &job->mail;
		j->last = &job->mail.next;
		j->queued++;
		pthread_cond_signal(&j->wake);
	}
	pthread_mutex_unlock(&j->lock);
	return taken;
}

void jobs_done(struct mail *mail)
{
	while (mail) {
		struct job *job = (struct job *)mail;

		mail = mail->next;
		job->done(job);
	}
}

bool jobs_stop(struct jobs *j, long wait_ms)
{
	struct timespec until;

	pthread_mutex_lock(&j->lock);
	j->stopping = true;
	pthread_cond_broadcast(&j->wake);
	while (j->queued)
		mailbox_post(j->home, &take(j)->mail);
	pthread_mutex_unlock(&j->lock);

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += wait_ms / 1000;
	until.tv_nsec += wait_ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	for (; j->n_threads; j->n_threads--)
		if (pthread_timedjoin_np(j->threads[j->n_threads - 1], NULL, &until) != 0)
			return false;
	pthread_cond_destroy(&j->wake);
	pthread_mutex_destroy(&j->lock);
	free(j);
	return true;
}

void jobs_abandon(struct jobs *j)
{
	for (; j->n_threads; j->n_threads--)
		pthread_detach(j->threads[j->n_threads - 1]);
}
