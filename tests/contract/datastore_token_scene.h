/*
 * One who wants a token, a server that is asked for one, and what is then expected. For tests of
 * credentials; each case begins with a scene of its own.
 */
#ifndef CONTRACT_DATASTORE_TOKEN_SCENE_H
#define CONTRACT_DATASTORE_TOKEN_SCENE_H

#include "contract/datastore_google.h"
#include "store/datastore/credentials.h"

#include <comrade/store.h>

#define SCENE_URL "datastore://proj"

enum { MINUTE_MS = 60000 };

struct token_scene {
    struct google google;
    struct http *http;
    struct credentials *credentials; /* see scene_find() */
    comrade_error error;
    int64_t passed_ms; /* beside the machine's clock */
};

extern struct token_scene scene;

/* For cmocka. */
int scene_begin(void **state);
int scene_end(void **state);

/* A call of 20 s, by the scene's clock. */
comrade_call scene_call(void);
int64_t scene_wall_ms(void);
/* Makes the credentials; NULL: the URL names no file. Fails the test where there are none. */
void scene_find(const char *file);
comrade_status scene_get(const char **token);

void expect_token(const char *expected);
/* The name of the credentials begins so. Frees them. */
void expect_name(const char *beginning);
/* %F stands for the file, %U for the server's URL, %H for its host. */
void expect_message(const char *pattern);
void expect_none(comrade_status status, const char *message);
void expect_refused_file(comrade_status status, const char *message);

/* How messages begin, with a service account's key, and with a user of gcloud's. */
#define AS_ACCOUNT                                                                                 \
    "datastore://proj: credentials: asked %U/token for a token as service account "                \
    "app@proj.iam.gserviceaccount.com (%F): "
#define AS_USER "datastore://proj: credentials: asked %U/token for a token as gcloud's user (%F): "

#endif
