/*
 * A disk that is full: that of the tables, which fails a write, and that of the log, which stops
 * the server. Nothing is told to be written that is not, whoever runs goes on running, and all
 * works when there is room.
 */
#include "contract/postgres_fault_scene.h"

#include "contract/cases.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_SIZE = 512, LARGE = 8000, BATCHES_MAX = 2000, BATCH = 20 };

/* --- A small disk ------------------------------------------------------------------------------
 */

/* Taken away when the server is gone: it may hold a part of it. */
struct disk {
    char folder[PATH_SIZE / 4];
    char filler[PATH_SIZE / 2];
};
static struct disk table_disk, log_disk;

/* For the server's user. Only root may mount one. */
static void mount_disk(struct disk *disk, const char *options)
{
    const struct passwd *owner = getpwnam("postgres");
    owner = owner == NULL ? getpwnam("nobody") : owner;
    snprintf(disk->folder, sizeof disk->folder, "/tmp/comrade-disk-XXXXXX");
    if (geteuid() != 0 || owner == NULL || mkdtemp(disk->folder) == NULL) {
        disk->folder[0] = '\0';
        skip();
    }
    if (mount("tmpfs", disk->folder, "tmpfs", 0, options) != 0) {
        rmdir(disk->folder);
        disk->folder[0] = '\0';
        skip();
    }
    assert_int_equal(chown(disk->folder, owner->pw_uid, owner->pw_gid), 0);
    assert_int_equal(chmod(disk->folder, 0700), 0);
    snprintf(disk->filler, sizeof disk->filler, "%s/filler", disk->folder);
}

static void unmount_disk(const struct disk *disk)
{
    if (disk->folder[0] != '\0') {
        umount2(disk->folder, MNT_DETACH);
        rmdir(disk->folder);
    }
}

static void fill_disk(const struct disk *disk)
{
    static const char bytes[4096];
    int fd = open(disk->filler, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, bytes, sizeof bytes) > 0) {
    }
    close(fd);
}

static void make_room(const struct disk *disk)
{
    assert_int_equal(unlink(disk->filler), 0);
}

/* --- Writes that need room ---------------------------------------------------------------------
 */

/* What cannot be compressed. */
static void fill_metadata(char *metadata, unsigned seed)
{
    uint64_t random = seed;
    size_t len = (size_t)snprintf(metadata, LARGE, "{\"noise\":\"");
    while (len < LARGE - 3) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        metadata[len++] = (char)('a' + (random >> 33) % 26);
    }
    snprintf(metadata + len, LARGE - len, "\"}");
}

/* Registers BATCH members more, each in a write of its own. */
static comrade_status put_batch(struct fault_scene *scene, int number)
{
    static char ids[BATCH][32], metadata[BATCH][LARGE];
    comrade_own owns[BATCH];
    comrade_change changes[BATCH];
    comrade_write writes[BATCH];
    comrade_write_result results[BATCH] = {0};
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    for (int i = 0; i < BATCH; i++) {
        snprintf(ids[i], sizeof ids[i], "large-%d-%d", number, i);
        fill_metadata(metadata[i], (unsigned)(number * BATCH + i));
        owns[i] = own_part(1, 1);
        owns[i].metadata = metadata[i];
        changes[i] = anything(COMRADE_PUT_OWN, ids[i]);
        changes[i].own = &owns[i];
        writes[i] = (comrade_write){"large", COMRADE_ANYTHING, NULL, &changes[i], 1};
    }
    comrade_status status =
        postgres_driver.write(scene->store, &call, writes, BATCH, results, &scene->error);
    for (int i = 0; i < BATCH && status == COMRADE_OK; i++) {
        status = results[i].status;
    }
    return status;
}

/* Until one fails. How many worked. */
static int put_until_full(struct fault_scene *scene, comrade_status *status)
{
    for (int i = 0; i < BATCHES_MAX; i++) {
        *status = put_batch(scene, i);
        if (*status != COMRADE_OK) {
            return i;
        }
    }
    fail_msg("the disk never was full");
    return 0;
}

static long long count_large(struct fault_scene *scene)
{
    return postgres_server_number(scene->server, scene->direct,
                                  "SELECT count(*) FROM comrade.member WHERE role = 'large'");
}

/* --- The disks ---------------------------------------------------------------------------------
 */

static void a_full_disk_fails_a_write_and_says_so(void **state)
{
    struct fault_scene *scene = *state;
    char sql[PATH_SIZE * 2];
    comrade_status status;
    mount_disk(&table_disk, "size=40m");
    snprintf(sql, sizeof sql, "CREATE TABLESPACE small LOCATION '%s'", table_disk.folder);
    postgres_server_run(scene->server, NULL, sql);
    snprintf(sql, sizeof sql, "ALTER DATABASE %s SET TABLESPACE small",
             strrchr(scene->direct, '/') + 1);
    fault_await_sessions(scene, 0);
    postgres_server_run(scene->server, NULL, sql);
    fault_open(scene);
    fill_disk(&table_disk);
    int n_batches = put_until_full(scene, &status);
    assert_int_equal(status, COMRADE_UNAVAILABLE);
    assert_non_null(strstr(scene->error.message, "No space left on device"));
    assert_non_null(strstr(scene->error.message, "disk is full; make room there"));
    assert_int_equal(count_large(scene), (long long)n_batches * BATCH);
    /* Those who are there go on beating, in the room that their rows have, and are listed. */
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    assert_int_equal(fault_operations[1].run(scene, &call), COMRADE_OK);
    assert_int_equal(fault_operations[3].run(scene, &call), COMRADE_OK);

    make_room(&table_disk);
    assert_int_equal(put_batch(scene, n_batches), COMRADE_OK);
    fault_assert_works(scene);
    fault_close(scene);
    snprintf(sql, sizeof sql, "DROP DATABASE %s", strrchr(scene->direct, '/') + 1);
    fault_await_sessions(scene, 0);
    postgres_server_run(scene->server, NULL, sql);
    postgres_server_run(scene->server, NULL, "DROP TABLESPACE small");
}

static void move_log_to(struct fault_scene *scene, const struct disk *disk)
{
    char command[PATH_SIZE * 3];
    const char *folder = postgres_server_folder(scene->server);
    postgres_server_take_down(scene->server, POSTGRES_DOWN_FAST);
    snprintf(command, sizeof command,
             "mv %s/data/pg_wal %s/pg_wal && ln -s %s/pg_wal %s/data/pg_wal", folder, disk->folder,
             disk->folder, folder);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): of our own words */
    postgres_server_bring_up(scene->server);
}

/* It panics, and does not come up again until there is room: what it had done nobody knows then. */
static void a_full_disk_of_the_log_is_a_server_that_is_away(void **state)
{
    struct fault_scene *scene = *state;
    comrade_status status;
    mount_disk(&log_disk, "size=100m");
    move_log_to(scene, &log_disk);
    fault_open(scene);
    fill_disk(&log_disk);
    int n_batches = put_until_full(scene, &status);
    assert_true(status == COMRADE_UNAVAILABLE || status == COMRADE_UNKNOWN);
    make_room(&log_disk);
    postgres_server_take_down(scene->server, POSTGRES_DOWN_KILL);
    comrade_call call = fault_call(FAULT_PATIENCE_MS);
    assert_int_equal(fault_operations[1].run(scene, &call), COMRADE_UNAVAILABLE);
    postgres_server_bring_up(scene->server);
    long long n_large = count_large(scene);
    assert_true(n_large == (long long)n_batches * BATCH ||
                (status == COMRADE_UNKNOWN && n_large == (long long)(n_batches + 1) * BATCH));
    assert_int_equal(put_batch(scene, n_batches + 1), COMRADE_OK);
    fault_assert_works(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_CASE(a_full_disk_fails_a_write_and_says_so),
        FAULT_CASE(a_full_disk_of_the_log_is_a_server_that_is_away),
    };
    static const char *const settings[] = {"min_wal_size=32MB", "max_wal_size=64MB", NULL};
    fault_server = postgres_server_start(&(struct postgres_options){.settings = settings});
    if (fault_server == NULL) {
        return postgres_server_skip_tests(tests, sizeof tests / sizeof tests[0]);
    }
    int failed = cmocka_run_group_tests_name("postgres_disk", tests, NULL, NULL);
    postgres_server_stop(fault_server);
    unmount_disk(&table_disk);
    unmount_disk(&log_disk);
    return failed;
}
