/* The clock of a scene runs as the machine's does, and jumps where a test says so. */
#include "contract/datastore_token_scene.h"

#include "contract/contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

struct token_scene scene;

static int64_t now_ms(void *clock)
{
    (void)clock;
    return contract_call().now_ms(NULL) + scene.passed_ms;
}

comrade_call scene_call(void)
{
    comrade_call call = contract_call();
    call.deadline_ms += scene.passed_ms;
    call.now_ms = now_ms;
    return call;
}

int64_t scene_wall_ms(void)
{
    return (int64_t)time(NULL) * 1000;
}

int scene_begin(void **state)
{
    (void)state;
    scene.passed_ms = 0;
    scene.error = (comrade_error){0};
    google_start(&scene.google);
    setenv("CLOUDSDK_CONFIG", scene.google.folder, 1);
    scene.http = http_new();
    return 0;
}

int scene_end(void **state)
{
    (void)state;
    static const char *const names[] = {"GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_CONFIG", "HOME",
                                        "GCE_METADATA_HOST", "GOOGLE_CLOUD_QUOTA_PROJECT"};
    credentials_free(scene.credentials);
    scene.credentials = NULL;
    http_free(scene.http);
    google_stop(&scene.google);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsetenv(names[i]);
    }
    return 0;
}

void scene_find(const char *file)
{
    if (credentials_new(file, SCENE_URL, &scene.credentials, &scene.error) != COMRADE_OK) {
        fail_msg("%s", scene.error.message);
    }
}

comrade_status scene_get(const char **token)
{
    comrade_call call = scene_call();
    http_server_requests(
        scene.google.server); /* its threads see what was set, and we what they saw */
    comrade_status status = credentials_token(scene.credentials, scene.http, &call, scene_wall_ms(),
                                              token, &scene.error);
    http_server_requests(scene.google.server);
    return status;
}

void expect_token(const char *expected)
{
    const char *token = NULL;
    if (scene_get(&token) != COMRADE_OK) {
        fail_msg("%s", scene.error.message);
    }
    assert_string_equal(token, expected);
}

/* %F stands for the file, %U for the server's URL, %H for its host. */
void expect_message(const char *pattern)
{
    char expected[2048] = "";
    size_t len = 0;
    for (const char *at = pattern; *at != '\0'; at++) {
        const char *text = strncmp(at, "%F", 2) == 0   ? scene.google.file
                           : strncmp(at, "%U", 2) == 0 ? scene.google.url
                           : strncmp(at, "%H", 2) == 0 ? scene.google.host
                                                       : NULL;
        len += (size_t)snprintf(expected + len, sizeof expected - len, "%.*s",
                                text == NULL ? 1 : 1000, text == NULL ? at : text);
        at += text == NULL ? 0 : 1;
    }
    assert_string_equal(scene.error.message, expected);
}

void expect_none(comrade_status status, const char *message)
{
    const char *token = "untouched";
    scene.error = (comrade_error){0};
    assert_int_equal(scene_get(&token), status);
    assert_string_equal(token, "untouched");
    assert_int_equal(scene.error.status, status);
    expect_message(message);
}

void expect_refused_file(comrade_status status, const char *message)
{
    struct credentials *made = NULL;
    scene.error = (comrade_error){0};
    assert_int_equal(credentials_new(scene.google.file, SCENE_URL, &made, &scene.error), status);
    assert_null(made);
    assert_int_equal(scene.error.status, status);
    expect_message(message);
}

void expect_name(const char *beginning)
{
    const char *name = credentials_name(scene.credentials);
    assert_int_equal(strncmp(name, beginning, strlen(beginning)), 0);
    credentials_free(scene.credentials);
    scene.credentials = NULL;
}
