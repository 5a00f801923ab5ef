/*
 * Nobody survives: whatever the service does to escape, whoever is killed, and when. Each case runs
 * where it can: with a control group, by walking the tree only, and so as an ordinary user.
 */
#include "keeper_fixture.h"
#include "lib/unruly.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum way { WAY_GROUP, WAY_WALK, WAY_WALK_AS_NOBODY, WAYS };

static bool is_root(void)
{
    return geteuid() == 0;
}

static struct keeper *start(enum way way)
{
    struct keeper_options options = {.never_uses_control_group = way != WAY_GROUP};
    struct keeper *keeper = NULL;
    if (way == WAY_WALK_AS_NOBODY && is_root()) {
        become_nobody();
    }
    EXPECT(keeper_start(&options, &keeper, NULL) == COMRADE_OK);
    return keeper;
}

/* --- What the service does ----------------------------------------------------------------- */

struct escape {
    const char *kind;
    int n_ready;     /* how many of its processes say that they are ready; 0: it does not stop */
    bool is_leaving; /* the service itself exits at once */
    enum way way;
};

static void escape_and_be_killed(void *user)
{
    const struct escape *escape = user;
    struct keeper *keeper = start(escape->way);
    if (escape->n_ready > 0) {
        spawn_ready(keeper, escape->kind, escape->n_ready);
    } else {
        spawn_unruly(keeper, escape->kind);
    }
    if (escape->is_leaving) {
        take_event(keeper, KEEPER_EXITED);
    }
    EXPECT(keeper_kill_tree(keeper, NULL) == COMRADE_OK);
    if (!escape->is_leaving) {
        take_event(keeper, KEEPER_EXITED);
    }
    take_event(keeper, KEEPER_TREE_GONE);
    keeper_free(keeper);
}

/* The agent does not even look: its end is all that its keeper hears. */
static void escape_and_lose_agent(void *user)
{
    const struct escape *escape = user;
    struct keeper *keeper = start(escape->way);
    if (escape->n_ready > 0) {
        spawn_ready(keeper, escape->kind, escape->n_ready);
    } else {
        spawn_unruly(keeper, escape->kind);
    }
    raise(SIGKILL);
}

static void kill_all_ways(const char *kind, int n_ready, bool is_leaving)
{
    for (enum way way = WAY_GROUP; way < WAYS; way++) {
        struct escape escape = {kind, n_ready, is_leaving, way};
        assert_int_equal(run_process(PLACE_HERE, escape_and_be_killed, &escape), 0);
        assert_nobody_is_left();
        assert_int_equal(run_process(PLACE_HERE, escape_and_lose_agent, &escape), SIGKILL);
        assert_nobody_is_left();
    }
}

static void a_setsid_escapee_is_killed(void **state)
{
    (void)state;
    kill_all_ways("setsid", 1, false);
}

static void a_daemon_is_killed(void **state)
{
    (void)state;
    kill_all_ways("daemon", 1, true);
}

static void a_tree_that_ignores_sigterm_is_killed(void **state)
{
    (void)state;
    kill_all_ways("tree", 8, false);
}

static void stopped_processes_are_killed(void **state)
{
    (void)state;
    kill_all_ways("stopped", 1, false);
}

static void an_endless_double_forker_is_killed(void **state)
{
    (void)state;
    kill_all_ways("chain", 0, true);
}

static void a_forker_that_stays_a_link_ahead_is_killed(void **state)
{
    (void)state;
    kill_all_ways("careful-chain", 0, true);
}

static void a_forker_of_siblings_is_killed(void **state)
{
    (void)state;
    kill_all_ways("sibling-chain", 0, true);
}

static void a_fork_bomb_is_killed(void **state)
{
    (void)state;
    if (!is_root()) {
        skip(); /* the limit that ends the bomb counts this user's other processes */
    }
    struct escape escape = {"bomb", 0, false, WAY_WALK_AS_NOBODY};
    assert_int_equal(run_process(PLACE_HERE, escape_and_be_killed, &escape), 0);
    assert_nobody_is_left();
    assert_int_equal(run_process(PLACE_HERE, escape_and_lose_agent, &escape), SIGKILL);
    assert_nobody_is_left();
}

static void leave_group_and_be_killed(void *user)
{
    (void)user;
    struct keeper *keeper = start(WAY_GROUP);
    EXPECT(keeper_has_control_group(keeper));
    int ends[2];
    EXPECT(pipe(ends) == 0);
    const char *const argv[] = {
        "sh", "-c", "echo $$ > /sys/fs/cgroup/unified/cgroup.procs && echo moved && sleep 1000",
        NULL};
    struct keeper_command command = KEEPER_COMMAND_INIT;
    command.argv = argv;
    command.stdout_fd = ends[1];
    EXPECT(keeper_spawn(keeper, &command, NULL) == COMRADE_OK);
    take_event(keeper, KEEPER_SPAWNED);
    char word[6];
    EXPECT(read(ends[0], word, sizeof word) == (ssize_t)sizeof word);
    EXPECT(keeper_kill_tree(keeper, NULL) == COMRADE_OK);
    take_event(keeper, KEEPER_EXITED);
    take_event(keeper, KEEPER_TREE_GONE);
    keeper_free(keeper);
}

static void who_left_the_control_group_is_killed(void **state)
{
    (void)state;
    if (access("/sys/fs/cgroup/unified/cgroup.procs", W_OK) < 0) {
        skip();
    }
    assert_int_equal(run_process(PLACE_HERE, leave_group_and_be_killed, NULL), 0);
    assert_nobody_is_left();
}

/* --- When the agent dies ------------------------------------------------------------------- */

enum phase {
    PHASE_IDLE,       /* nothing was spawned yet */
    PHASE_SPAWNING,   /* a spawn was asked for, its event not read */
    PHASE_STOPPED,    /* the keeper reads the spawn when its agent is dead already */
    PHASE_SIGNALLING, /* the group was asked to stop */
    PHASE_EXITED,     /* the service is gone, a daemon of it is not */
    PHASE_KILLING,    /* a kill of the tree is under way */
    PHASE_GROUP,      /* SIGKILL to the agent's whole process group */
    PHASES
};

static void ask_for_spawn(struct keeper *keeper)
{
    const char *const argv[] = {"/proc/self/exe", "unruly", "tree", NULL};
    struct keeper_command command = KEEPER_COMMAND_INIT;
    command.argv = argv;
    EXPECT(keeper_spawn(keeper, &command, NULL) == COMRADE_OK);
}

/* Leaves a process behind that lets the stopped keeper run once the agent is dead. */
static void continue_after_death(pid_t keeper)
{
    int ends[2];
    EXPECT(pipe(ends) == 0);
    if (fork() == 0) {
        char byte;
        close(ends[1]);
        EXPECT(read(ends[0], &byte, 1) == 0);
        EXPECT(kill(keeper, SIGCONT) == 0);
        _exit(0);
    }
}

static void die_in_phase(void *user)
{
    const enum phase *phase = user;
    setpgid(0, 0);
    struct keeper *keeper = start(WAY_WALK);
    switch (*phase) {
    case PHASE_IDLE:
        break;
    case PHASE_SPAWNING:
        ask_for_spawn(keeper);
        break;
    case PHASE_STOPPED:
        kill(keeper_pid(keeper), SIGSTOP);
        ask_for_spawn(keeper);
        continue_after_death(keeper_pid(keeper));
        break;
    case PHASE_SIGNALLING:
        spawn_ready(keeper, "tree", 8);
        keeper_signal_group(keeper, KEEPER_SERVICE, SIGTERM, NULL);
        break;
    case PHASE_EXITED:
        spawn_ready(keeper, "daemon", 1);
        take_event(keeper, KEEPER_EXITED);
        break;
    case PHASE_KILLING:
        spawn_unruly(keeper, "chain");
        keeper_kill_tree(keeper, NULL);
        break;
    case PHASE_GROUP:
        spawn_ready(keeper, "tree", 8);
        kill(0, SIGKILL);
        break;
    case PHASES:
        break;
    }
    raise(SIGKILL);
}

static void nobody_survives_the_agent_in_any_phase(void **state)
{
    (void)state;
    for (enum phase phase = PHASE_IDLE; phase < PHASES; phase++) {
        assert_int_equal(run_process(PLACE_HERE, die_in_phase, &phase), SIGKILL);
        assert_nobody_is_left();
    }
}

static void ask_terminal_signals(void *user)
{
    (void)user;
    setpgid(0, 0);
    struct keeper *keeper = start(WAY_WALK);
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGUSR1, SIGALRM};
    spawn_ready(keeper, "ignore-term", 1);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        kill(keeper_pid(keeper), signals[i]);
    }
    keeper_kill_tree(keeper, NULL);
    EXPECT(WTERMSIG(take_event(keeper, KEEPER_EXITED).wait_status) == SIGKILL);
    take_event(keeper, KEEPER_TREE_GONE);
    keeper_free(keeper);
}

static void the_keeper_heeds_no_signal(void **state)
{
    (void)state;
    assert_int_equal(run_process(PLACE_HERE, ask_terminal_signals, NULL), 0);
    assert_nobody_is_left();
}

static void free_while_running(void *user)
{
    const enum way *way = user;
    struct keeper *keeper = start(*way);
    spawn_ready(keeper, "tree", 8);
    kill(keeper_pid(keeper), SIGSTOP); /* not even this makes it wait for ever */
    keeper_free(keeper);
    EXPECT(waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD);
}

static void freeing_the_keeper_leaves_nobody(void **state)
{
    (void)state;
    for (enum way way = WAY_GROUP; way < WAYS; way++) {
        assert_int_equal(run_process(PLACE_HERE, free_while_running, &way), 0);
        assert_nobody_is_left();
    }
}

/* --- When the keeper dies ------------------------------------------------------------------ */

static void lose_keeper(void *user)
{
    const struct escape *escape = user;
    static const struct timespec pause = {.tv_nsec = 1000000};
    struct keeper *keeper = start(escape->way);
    if (escape->n_ready > 0) {
        spawn_ready(keeper, escape->kind, escape->n_ready);
    } else {
        spawn_unruly(keeper, escape->kind);
        take_event(keeper, KEEPER_EXITED);
    }
    kill(keeper_pid(keeper), SIGKILL);
    take_event(keeper, KEEPER_DIED);
    EXPECT(keeper_signal_tree(keeper, SIGTERM, NULL) == COMRADE_GONE);
    struct keeper_event event;
    EXPECT(!keeper_next_event(keeper, &event)); /* it is told once */
    int n_passes = 0;
    while (!keeper_kill_orphans(keeper)) {
        EXPECT(++n_passes < 60000);
        nanosleep(&pause, NULL);
    }
    EXPECT(waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD);
    keeper_free(keeper);
}

/* The agent was busy, and never learnt of it. */
static void lose_keeper_and_free(void *user)
{
    const struct escape *escape = user;
    struct keeper *keeper = start(escape->way);
    spawn_ready(keeper, escape->kind, escape->n_ready);
    kill(keeper_pid(keeper), SIGKILL);
    keeper_free(keeper);
    EXPECT(waitpid(-1, NULL, WNOHANG | __WALL) < 0 && errno == ECHILD);
}

static void nobody_survives_the_keeper(void **state)
{
    (void)state;
    for (enum way way = WAY_GROUP; way < WAYS; way++) {
        struct escape tree = {"tree", 8, false, way};
        struct escape chain = {"chain", 0, true, way};
        assert_int_equal(run_process(PLACE_HERE, lose_keeper, &tree), 0);
        assert_int_equal(run_process(PLACE_HERE, lose_keeper, &chain), 0);
        assert_int_equal(run_process(PLACE_HERE, lose_keeper_and_free, &tree), 0);
        assert_nobody_is_left();
    }
}

/* A process without children below itself dies by the kernel's hand alone. */
static void the_service_dies_with_its_keeper(void *user)
{
    (void)user;
    struct keeper *keeper = start(WAY_WALK);
    spawn_ready(keeper, "ignore-term", 1);
    kill(keeper_pid(keeper), SIGKILL);
    int n_ended = 0; /* the keeper, and the service, which came to us */
    while (waitpid(-1, NULL, __WALL) > 0) {
        n_ended++;
    }
    EXPECT(n_ended == 2);
}

static void a_service_dies_with_its_keeper(void **state)
{
    (void)state;
    assert_int_equal(run_process(PLACE_HERE, the_service_dies_with_its_keeper, NULL), 0);
    assert_nobody_is_left();
}

/* --- As PID 1 ------------------------------------------------------------------------------ */

static void be_init(void *user)
{
    const enum way *way = user;
    EXPECT(getpid() == 1);
    struct keeper *keeper = start(*way);
    /* An orphan of somebody else, as a shell that was put into the container leaves one. */
    pid_t stranger = fork();
    if (stranger == 0) {
        if (fork() == 0) {
            setsid();
            for (;;) {
                pause();
            }
        }
        _exit(0);
    }
    spawn_ready(keeper, "tree", 8);
    static const struct timespec pause = {.tv_nsec = 1000000};
    for (int i = 0; i < 60000 && kill(stranger, 0) == 0; i++) {
        keeper_reap_orphans(keeper);
        nanosleep(&pause, NULL);
    }
    EXPECT(kill(stranger, 0) < 0 && errno == ESRCH); /* reaped, though the keeper is not */
    EXPECT(kill(keeper_pid(keeper), 0) == 0);
    keeper_kill_tree(keeper, NULL);
    take_event(keeper, KEEPER_EXITED);
    take_event(keeper, KEEPER_TREE_GONE);
    spawn_unruly(keeper, "chain");
    keeper_free(keeper);
    EXPECT(kill(-1, 0) < 0 && errno == ESRCH); /* we are alone in our namespace */
}

static void it_works_as_pid_1(void **state)
{
    (void)state;
    if (!is_root()) {
        skip();
    }
    for (enum way way = WAY_GROUP; way < WAYS; way++) {
        assert_int_equal(run_process(PLACE_INIT, be_init, &way), 0);
        assert_nobody_is_left();
    }
}

/* --- Many ---------------------------------------------------------------------------------- */

static void keep_two(void *user)
{
    (void)user;
    struct keeper *first = start(WAY_WALK);
    spawn_ready(first, "tree", 8);
    struct keeper *second = start(WAY_WALK);
    spawn_ready(second, "tree", 8);
    keeper_free(first);
    EXPECT(keeper_signal_group(second, KEEPER_SERVICE, SIGUSR1, NULL) == COMRADE_OK);
    EXPECT(WTERMSIG(take_event(second, KEEPER_EXITED).wait_status) == SIGUSR1);
    raise(SIGKILL);
}

static void two_keepers_leave_each_other_alone(void **state)
{
    (void)state;
    assert_int_equal(run_process(PLACE_HERE, keep_two, NULL), SIGKILL);
    assert_nobody_is_left();
}

int main(int argc, char **argv)
{
    unruly_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_setsid_escapee_is_killed),
        cmocka_unit_test(a_daemon_is_killed),
        cmocka_unit_test(a_tree_that_ignores_sigterm_is_killed),
        cmocka_unit_test(stopped_processes_are_killed),
        cmocka_unit_test(an_endless_double_forker_is_killed),
        cmocka_unit_test(a_forker_that_stays_a_link_ahead_is_killed),
        cmocka_unit_test(a_forker_of_siblings_is_killed),
        cmocka_unit_test(a_fork_bomb_is_killed),
        cmocka_unit_test(who_left_the_control_group_is_killed),
        cmocka_unit_test(nobody_survives_the_agent_in_any_phase),
        cmocka_unit_test(the_keeper_heeds_no_signal),
        cmocka_unit_test(freeing_the_keeper_leaves_nobody),
        cmocka_unit_test(nobody_survives_the_keeper),
        cmocka_unit_test(a_service_dies_with_its_keeper),
        cmocka_unit_test(it_works_as_pid_1),
        cmocka_unit_test(two_keepers_leave_each_other_alone),
    };
    return cmocka_run_group_tests(tests, keeper_fixture_setup, NULL);
}
