/*
 * Threads that wait for messages. Every client of a session gets every message; threads that pull from one
 * client share what it gets. So "log" sees all jobs, and four workers divide them between themselves.
 */
#include <errno.h>
#include <pthread.h>
#include <push/push.h>
#include <stdio.h>

enum { JOBS = 1000, WORKERS = 4, THREADS = WORKERS + 1 };

struct worker {
    pthread_t thread;
    push_client *client; /* a reference of its own: it stays valid after the client's delete */
    int done;
    int error;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    push_msg *msg;
    int rc;

    while ((rc = push_client_pull(w->client, &msg, -1)) >= 0) {
        w->done++; /* the job: push_msg_data(msg), push_msg_size(msg) */
        push_msg_unref(msg);
    }
    w->error = rc == -EPIPE ? 0 : rc; /* -EPIPE: deleted, and everything queued was pulled */
    push_client_unref(w->client);
    return NULL;
}

/* Starts a thread on the client. Returns 0 or an errno value. */
static int start(struct worker *w, push_session *s, const char *client)
{
    w->client = push_client_new(s, PUSH_ID(client), NULL);
    if (w->client == NULL)
        return errno;
    int rc = pthread_create(&w->thread, NULL, work, w);
    if (rc != 0)
        push_client_unref(w->client);
    return rc;
}

static int push_jobs(push_session *s)
{
    for (int i = 0; i < JOBS; i++) {
        char job[32];
        int rc = push_session_push(s, job, (size_t)snprintf(job, sizeof job, "job %d", i));
        if (rc < 0)
            return rc;
    }
    return 0;
}

int main(void)
{
    struct worker workers[THREADS] = {0};
    int started = 0, error = 0;

    push_session *s = push_session_new(PUSH_ID("jobs"), PUSH_ID_NONE, 0);
    if (s == NULL)
        error = errno;
    while (error == 0 && started < THREADS) {
        error = start(&workers[started], s, started < WORKERS ? "workers" : "log");
        if (error == 0)
            started++;
    }
    if (error == 0)
        error = push_jobs(s);

    push_session_delete(PUSH_ID("jobs")); /* the threads pull what is left, then end */
    int shared = 0;
    for (int i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        if (workers[i].error != 0)
            error = workers[i].error;
        if (i < WORKERS)
            shared += workers[i].done;
    }
    if (error == 0)
        printf("%d workers did %d jobs together\nlog saw %d jobs\n", WORKERS, shared, workers[WORKERS].done);
    else
        fprintf(stderr, "worker_threads: %s\n", push_strerror(error));

    push_session_unref(s);
    push_shutdown();
    return error == 0 ? 0 : 1;
}
