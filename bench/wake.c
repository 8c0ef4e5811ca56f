/*
 * How long it takes one thread to wake another on another processor, where both have slept for 10 ms: as an engine wakes the program that
 * waits for a frame. The first, under SCHED_FIFO, is awake some time before; what it may ask meanwhile of all processors,
 * by /dev/cpu_dma_latency, is what ADR 23 is about.
 *
 *   cc -O2 -pthread -o wake bench/wake.c && ./wake WHEN [ROUNDS]       as root, on a machine with two processors or more
 *
 * WHEN: `never`, `always`, or by how many microseconds before each time that thread is to wake up and ask. Prints quantiles in
 * microseconds, and what asking takes.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define PERIOD_NS 10000000
#define AWAKE_NS 60000
#define MOST_ROUNDS 100000

static int event;
static int64_t woken_ns[MOST_ROUNDS];

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void sleep_until(int64_t ns) {
  struct timespec at = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) continue;
}

static void run_on(int processor) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(processor, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) fail("sched_setaffinity");
}

/* Waits for as many events as there are rounds. */
static void *wait_for_each(void *rounds) {
  run_on(1);
  for (int round = 0; round < *(int *)rounds; round++) {
    uint64_t count;
    if (read(event, &count, sizeof count) != sizeof count) fail("read");
    woken_ns[round] = now_ns();
  }
  return NULL;
}

static void ask(int device, int32_t us) {
  if (write(device, &us, sizeof us) != sizeof us) fail("write");
}

static int by_length(const void *a, const void *b) {
  int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
  return (left > right) - (left < right);
}

int main(int count, char **argument) {
  int rounds = count > 2 ? atoi(argument[2]) : 300;
  if (count < 2 || rounds < 1 || rounds > MOST_ROUNDS) {
    fprintf(stderr, "usage: wake never|always|MICROSECONDS [ROUNDS]\n");
    return 2;
  }
  bool never = strcmp(argument[1], "never") == 0, always = strcmp(argument[1], "always") == 0;
  int64_t before_ns = never || always ? AWAKE_NS : atoll(argument[1]) * 1000, asking_ns = 0;
  int device = never ? -1 : open("/dev/cpu_dma_latency", O_WRONLY);
  if (!never && device < 0) fail("/dev/cpu_dma_latency");
  if (always) ask(device, 0);
  event = eventfd(0, 0);
  pthread_t other;
  if (event < 0 || pthread_create(&other, NULL, wait_for_each, &rounds) != 0) fail("pthread_create");
  run_on(0);
  struct sched_param priority = {.sched_priority = 1};
  if (sched_setscheduler(0, SCHED_FIFO, &priority) != 0) fail("sched_setscheduler");
  static int64_t sent_ns[MOST_ROUNDS];
  int64_t due_ns = now_ns();
  for (int round = 0; round < rounds; round++) {
    due_ns += PERIOD_NS;
    sleep_until(due_ns - before_ns);
    if (!never && !always) {
      int64_t began_ns = now_ns();
      ask(device, 0);
      asking_ns += now_ns() - began_ns;
    }
    while (now_ns() < due_ns) continue;
    uint64_t one = 1;
    sent_ns[round] = now_ns();
    if (write(event, &one, sizeof one) != sizeof one) fail("write");
    if (!never && !always) ask(device, 2000000000);
  }
  pthread_join(other, NULL);
  for (int round = 0; round < rounds; round++) woken_ns[round] -= sent_ns[round];
  qsort(woken_ns, (size_t)rounds, sizeof woken_ns[0], by_length);
  printf("woken after: p50 %.1f, p90 %.1f, p99 %.1f; to ask takes %.1f\n", (double)woken_ns[rounds / 2] / 1e3,
         (double)woken_ns[rounds * 9 / 10] / 1e3, (double)woken_ns[rounds * 99 / 100] / 1e3,
         (double)asking_ns / rounds / 1e3);
}
