/* A file that is written whole or not at all. */
#include "cli/output_file.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATH_SIZE = 128 };

static char folder[32];

static void in_folder(char path[PATH_SIZE], const char *name)
{
    snprintf(path, PATH_SIZE, "%s/%s", folder, name);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/comrade-output-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static size_t count_files(void)
{
    size_t n_files = 0;
    DIR *opened = opendir(folder);
    assert_non_null(opened);
    while (readdir(opened) != NULL) {
        n_files++;
    }
    closedir(opened);
    return n_files - 2; /* "." and ".." */
}

static int remove_folder(void **state)
{
    DIR *opened = opendir(folder);
    (void)state;
    for (struct dirent *entry; opened != NULL && (entry = readdir(opened)) != NULL;) {
        char path[PATH_SIZE + 256];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    closedir(opened);
    return rmdir(folder);
}

static void write_plainly(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void what_was_written_is_held(void **state)
{
    struct output_file file;
    char path[PATH_SIZE];
    (void)state;
    in_folder(path, "app.conf");
    assert_int_equal(output_file_init(&file, path, NULL), COMRADE_OK);
    assert_int_equal(count_files(), 0);
    assert_false(output_file_holds(&file, ""));
    assert_int_equal(output_file_write(&file, "one\n", NULL), COMRADE_OK);
    assert_true(output_file_holds(&file, "one\n"));
    assert_false(output_file_holds(&file, "one\ntwo\n"));
    assert_false(output_file_holds(&file, "one"));
    assert_false(output_file_holds(&file, ""));
    assert_int_equal(output_file_write(&file, "", NULL), COMRADE_OK);
    assert_true(output_file_holds(&file, ""));
    assert_int_equal(count_files(), 1);
    output_file_finish(&file);
}

static void a_long_text_is_compared_to_its_end(void **state)
{
    enum { LEN = 50 * 1000 };
    struct output_file file;
    char path[PATH_SIZE];
    char *text = malloc(LEN + 1);
    (void)state;
    in_folder(path, "app.conf");
    assert_non_null(text);
    memset(text, 'x', LEN);
    text[LEN] = '\0';
    assert_int_equal(output_file_init(&file, path, NULL), COMRADE_OK);
    assert_int_equal(output_file_write(&file, text, NULL), COMRADE_OK);
    assert_true(output_file_holds(&file, text));
    text[LEN - 1] = 'y';
    assert_false(output_file_holds(&file, text));
    output_file_finish(&file);
    free(text);
}

/* Whoever has opened the old one reads it to its end. */
static void it_is_replaced_and_not_overwritten(void **state)
{
    struct output_file file;
    char path[PATH_SIZE];
    char line[64] = "";
    (void)state;
    in_folder(path, "app.conf");
    write_plainly(path, "old\n");
    FILE *reader = fopen(path, "re");
    assert_non_null(reader);
    assert_int_equal(output_file_init(&file, path, NULL), COMRADE_OK);
    assert_int_equal(output_file_write(&file, "new\n", NULL), COMRADE_OK);
    assert_non_null(fgets(line, sizeof line, reader));
    assert_string_equal(line, "old\n");
    fclose(reader);
    output_file_finish(&file);
}

static void mode_and_link_stay(void **state)
{
    struct output_file file;
    char path[PATH_SIZE];
    char link_path[PATH_SIZE];
    struct stat found;
    (void)state;
    in_folder(path, "app.conf");
    in_folder(link_path, "link.conf");
    write_plainly(path, "old\n");
    assert_int_equal(chmod(path, 0640), 0);
    assert_int_equal(symlink("app.conf", link_path), 0);
    assert_int_equal(output_file_init(&file, link_path, NULL), COMRADE_OK);
    assert_int_equal(output_file_write(&file, "new\n", NULL), COMRADE_OK);
    assert_int_equal(lstat(link_path, &found), 0);
    assert_true(S_ISLNK(found.st_mode));
    assert_int_equal(lstat(path, &found), 0);
    assert_int_equal(found.st_mode & 0777, 0640);
    assert_true(output_file_holds(&file, "new\n"));
    output_file_finish(&file);
}

static void the_owner_stays(void **state)
{
    struct output_file file;
    char path[PATH_SIZE];
    struct stat found;
    (void)state;
    if (geteuid() != 0) {
        skip(); /* only root can give files away */
    }
    in_folder(path, "app.conf");
    write_plainly(path, "old\n");
    assert_int_equal(chown(path, 12, 34), 0);
    assert_int_equal(output_file_init(&file, path, NULL), COMRADE_OK);
    assert_int_equal(output_file_write(&file, "new\n", NULL), COMRADE_OK);
    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_uid, 12);
    assert_int_equal(found.st_gid, 34);
    output_file_finish(&file);
}

static void what_cannot_be_written_is_refused_at_once(void **state)
{
    static const char *const names[] = {"", ".", "no/such/folder", "app.conf/below"};
    comrade_error error;
    (void)state;
    char below[PATH_SIZE];
    in_folder(below, "app.conf");
    write_plainly(below, "");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct output_file file = {.path = below};
        char path[PATH_SIZE];
        in_folder(path, names[i]);
        assert_int_equal(output_file_init(&file, path, &error), COMRADE_INVALID);
        assert_ptr_equal(file.path, below);
        assert_non_null(strstr(error.message, folder));
    }
    struct output_file file;
    assert_int_equal(output_file_init(&file, "", &error), COMRADE_INVALID);
}

static void a_write_that_fails_leaves_the_old(void **state)
{
    struct output_file file;
    char path[PATH_SIZE];
    comrade_error error;
    (void)state;
    in_folder(path, "app.conf");
    write_plainly(path, "old\n");
    assert_int_equal(output_file_init(&file, path, NULL), COMRADE_OK);
    char *real = file.new_path;
    file.new_path = strdup("/nowhere/at/all");
    assert_int_equal(output_file_write(&file, "new\n", &error), COMRADE_SYSTEM);
    assert_non_null(strstr(error.message, path));
    assert_true(output_file_holds(&file, "old\n"));
    free(file.new_path);
    file.new_path = real;
    output_file_finish(&file);
}

static void a_mark_outlives_whoever_set_it(void **state)
{
    struct output_file file;
    struct output_file next;
    char path[PATH_SIZE];
    (void)state;
    in_folder(path, "app.conf");
    assert_int_equal(output_file_init(&file, path, NULL), COMRADE_OK);
    assert_false(output_file_is_marked(&file));
    assert_int_equal(output_file_set_mark(&file, NULL), COMRADE_OK);
    assert_int_equal(output_file_set_mark(&file, NULL), COMRADE_OK);
    output_file_finish(&file);
    assert_int_equal(output_file_init(&next, path, NULL), COMRADE_OK);
    assert_true(output_file_is_marked(&next));
    output_file_clear_mark(&next);
    assert_false(output_file_is_marked(&next));
    output_file_finish(&next);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(what_was_written_is_held),
        CASE(a_long_text_is_compared_to_its_end),
        CASE(it_is_replaced_and_not_overwritten),
        CASE(mode_and_link_stay),
        CASE(the_owner_stays),
        CASE(what_cannot_be_written_is_refused_at_once),
        CASE(a_write_that_fails_leaves_the_old),
        CASE(a_mark_outlives_whoever_set_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
