/* Ids, ports and the lock files behind them. A second agent of the host is a forked process. */
#include "agent/identity.h"
#include "agent/port.h"
#include "agent/run_directory.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];

static int make_directory(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/comrade-run-test-XXXXXX");
    return mkdtemp(directory) == NULL ? -1 : 0;
}

static int remove_directory(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command);
}

static struct identity_options options_new(void)
{
    return (struct identity_options){
        .role = "app", .host = "web1", .store = "sqlite:/x.db", .directory = directory};
}

static struct identity take(const struct identity_options *options)
{
    struct identity identity;
    comrade_error error = {0};
    if (identity_take(options, &identity, &error) != COMRADE_OK) {
        fail_msg("%s", error.message);
    }
    return identity;
}

static void the_lowest_free_number_is_taken(void **state)
{
    (void)state;
    struct identity_options options = options_new();
    struct identity first = take(&options);
    struct identity second = take(&options);
    struct identity third = take(&options);
    assert_string_equal(first.id, "app-web1-1");
    assert_string_equal(second.id, "app-web1-2");
    assert_string_equal(third.id, "app-web1-3");
    identity_release(&second);
    second = take(&options);
    assert_string_equal(second.id, "app-web1-2");
    identity_release(&first);
    identity_release(&second);
    identity_release(&third);
}

static void both_names_of_a_scheme_are_one_world(void **state)
{
    (void)state;
    struct identity_options options = options_new();
    options.store = "postgres://db/x";
    struct identity first = take(&options);
    options.store = "postgresql://db/x";
    struct identity second = take(&options);
    assert_string_equal(second.id, "app-web1-2");
    identity_release(&first);
    identity_release(&second);
}

static void the_next_number_lets_go_of_the_one_before(void **state)
{
    (void)state;
    struct identity_options options = options_new();
    struct identity first = take(&options);
    struct identity second = take(&options);
    assert_int_equal(identity_take_next(&options, &first, NULL), COMRADE_OK);
    assert_string_equal(first.id, "app-web1-3");
    struct identity again = take(&options);
    assert_string_equal(again.id, "app-web1-1");
    identity_release(&first);
    identity_release(&second);
    identity_release(&again);
}

static void another_store_namespace_or_kind_is_another_world(void **state)
{
    (void)state;
    struct identity_options options = options_new();
    struct identity first = take(&options);
    struct identity others[3];
    options.store = "sqlite:/y.db";
    others[0] = take(&options);
    options = options_new();
    options.name_space = "staging";
    others[1] = take(&options);
    options = options_new();
    options.kind = "Other";
    others[2] = take(&options);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(others[i].id, "app-web1-1");
        identity_release(&others[i]);
    }
    identity_release(&first);
}

static void two_ways_to_write_one_path_are_one_store(void **state)
{
    (void)state;
    char plain[160], dotted[160], path[128];
    snprintf(path, sizeof path, "%s/made.db", directory);
    snprintf(plain, sizeof plain, "sqlite:%s", path);
    snprintf(dotted, sizeof dotted, "sqlite:%s/./made.db", directory);
    struct identity_options options = options_new();
    options.store = plain;
    struct identity first = take(&options);
    FILE *file = fopen(path, "w"); /* Being made does not change it. */
    assert_non_null(file);
    fclose(file);
    options.store = dotted;
    struct identity second = take(&options);
    assert_string_equal(second.id, "app-web1-2");
    identity_release(&first);
    identity_release(&second);
}

static void an_id_that_runs_on_this_host_is_refused_with_its_pid(void **state)
{
    (void)state;
    struct identity_options options = options_new();
    options.id = "mine";
    int ready[2], end[2];
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    pid_t other = fork();
    if (other == 0) {
        struct identity held;
        char byte = identity_take(&options, &held, NULL) == COMRADE_OK ? 'y' : 'n';
        close(end[1]);
        _exit(write(ready[1], &byte, 1) != 1 || read(end[0], &byte, 1) != 0);
    }
    char byte = 'n';
    close(end[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    comrade_error error = {0};
    struct identity identity;
    char pid[32];
    snprintf(pid, sizeof pid, "pid %d", (int)other);
    assert_int_equal(identity_take(&options, &identity, &error), COMRADE_IN_USE);
    assert_non_null(strstr(error.message, pid));
    assert_non_null(strstr(error.message, "--takeover"));

    options.takes_over = true;
    identity = take(&options);
    assert_string_equal(identity.id, "mine");
    assert_false(identity_lock(&identity));
    /* However the other ends, its lock ends with it. */
    close(end[1]);
    int status;
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_true(identity_lock(&identity));
    identity_release(&identity);
    close(ready[0]);
    close(ready[1]);
}

static void an_id_that_no_store_would_take_is_refused_at_once(void **state)
{
    (void)state;
    const char *const bad[] = {"", "../../etc/x", "a\x1b[0m", "\xff"};
    struct identity_options options = options_new();
    struct identity identity = {.id = "untouched"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        options.id = bad[i];
        assert_int_equal(identity_take(&options, &identity, NULL), COMRADE_INVALID);
    }
    options = options_new();
    options.role = "a/b";
    assert_int_equal(identity_take(&options, &identity, NULL), COMRADE_INVALID);
    assert_string_equal(identity.id, "untouched");
}

static void a_long_role_and_host_still_make_a_valid_id(void **state)
{
    (void)state;
    char role[COMRADE_ROLE_MAX_BYTES + 1], host[COMRADE_NAME_MAX_BYTES + 1];
    memset(role, 'r', sizeof role - 1);
    memset(host, 'h', sizeof host - 1);
    role[sizeof role - 1] = host[sizeof host - 1] = '\0';
    struct identity_options options = options_new();
    options.role = role;
    options.host = host;
    struct identity identity = take(&options);
    assert_true(strlen(identity.id) <= COMRADE_ID_MAX_BYTES);
    assert_string_equal(identity.id + strlen(identity.id) - 2, "-1");
    identity_release(&identity);
}

static void a_directory_that_others_may_write_to_is_refused(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/open", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0777), 0);
    comrade_error error = {0};
    int fd = -1;
    assert_int_equal(run_directory_open(path, "x", &fd, &error), COMRADE_DENIED);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(fd, -1);
}

/* --- Ports ------------------------------------------------------------------------------------*/

static int listen_on(int *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)*port)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static void a_port_in_use_is_named(void **state)
{
    (void)state;
    int number = 0;
    int fd = listen_on(&number);
    struct port port = {0, -1};
    comrade_error error = {0};
    char text[32];
    snprintf(text, sizeof text, "port %d is in use", number);
    assert_int_equal(port_take(number, directory, &port, &error), COMRADE_IN_USE);
    assert_non_null(strstr(error.message, text));
    close(fd);
    assert_int_equal(port_take(number, directory, &port, &error), COMRADE_OK);
    assert_int_equal(port.number, number);
    port_release(&port);
}

static void a_found_port_is_free_and_kept_from_other_agents(void **state)
{
    (void)state;
    struct port ports[20];
    for (int i = 0; i < 20; i++) {
        assert_int_equal(port_take(PORT_AUTO, directory, &ports[i], NULL), COMRADE_OK);
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(ports[i].number, ports[j].number);
        }
    }
    int number = ports[0].number;
    int fd = listen_on(&number);
    assert_int_equal(number, ports[0].number);
    close(fd);
    char name[16];
    int directory_fd, lock_fd;
    snprintf(name, sizeof name, "%d", number);
    assert_int_equal(run_directory_open(directory, "ports", &directory_fd, NULL), COMRADE_OK);
    assert_int_equal(run_lock_take(directory_fd, name, &lock_fd, NULL, NULL), COMRADE_IN_USE);
    close(directory_fd);
    for (int i = 0; i < 20; i++) {
        port_release(&ports[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lowest_free_number_is_taken),
        cmocka_unit_test(both_names_of_a_scheme_are_one_world),
        cmocka_unit_test(the_next_number_lets_go_of_the_one_before),
        cmocka_unit_test(another_store_namespace_or_kind_is_another_world),
        cmocka_unit_test(two_ways_to_write_one_path_are_one_store),
        cmocka_unit_test(an_id_that_runs_on_this_host_is_refused_with_its_pid),
        cmocka_unit_test(an_id_that_no_store_would_take_is_refused_at_once),
        cmocka_unit_test(a_long_role_and_host_still_make_a_valid_id),
        cmocka_unit_test(a_directory_that_others_may_write_to_is_refused),
        cmocka_unit_test(a_port_in_use_is_named),
        cmocka_unit_test(a_found_port_is_free_and_kept_from_other_agents),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
