/* What Google says when it refuses, and what its reader is told to do about it. */
#include "contract/contract.h"
#include "lib/datastore_http.h"
#include "store/datastore/datastore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { URL_SIZE = 128, BODY_SIZE = 2048 };

struct refusal {
    int http_status;
    const char *name;   /* as Google has them */
    const char *reason; /* "": none */
    const char *said;
    comrade_status status;
    const char *advice;
};

static const struct refusal refusals[] = {
    {429, "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED", "Quota exceeded.", COMRADE_UNAVAILABLE,
     "see Quotas of the Datastore API in the console of the project my-project"},
    {403, "PERMISSION_DENIED", "SERVICE_DISABLED",
     "Cloud Datastore API has not been used in project my-project before or it is disabled. Enable "
     "it by visiting https://console.developers.google.com/apis/api/datastore.googleapis.com/"
     "overview?project=my-project then retry. If you enabled this API recently, wait a few minutes "
     "for the action to propagate to our systems and retry.",
     COMRADE_DENIED, "gcloud services enable datastore.googleapis.com --project=my-project"},
    {403, "PERMISSION_DENIED", "BILLING_DISABLED",
     "This API method requires billing to be enabled. Please enable billing on project #my-project",
     COMRADE_DENIED, "switch billing on for the project my-project"},
    {403, "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
     "Request had insufficient authentication scopes.", COMRADE_DENIED,
     "https://www.googleapis.com/auth/datastore"},
    {403, "PERMISSION_DENIED", "", "Missing or insufficient permissions.", COMRADE_DENIED,
     "grant the role roles/datastore.user in the project my-project"},
    {401, "UNAUTHENTICATED", "CREDENTIALS_MISSING",
     "Request had invalid authentication credentials.", COMRADE_DENIED, "credentials"},
    {404, "NOT_FOUND", "",
     "The database (default) does not exist for project my-project Please visit "
     "https://console.cloud.google.com/datastore/setup?project=my-project to add a Cloud Datastore "
     "or Cloud Firestore database. ",
     COMRADE_UNAVAILABLE, "gcloud firestore databases create --project=my-project"},
    {400, "FAILED_PRECONDITION", "",
     "The Cloud Firestore API is not available for Firestore in Datastore Mode database or the "
     "Cloud Datastore API for Firestore in Native Mode database projects/my-project/databases/"
     "(default).",
     COMRADE_UNAVAILABLE, "is in Firestore's native mode"},
    {400, "FAILED_PRECONDITION", "",
     "no matching index found. recommended index is:\n- kind: ComradeServer\n  properties:\n  - "
     "name: role\n",
     COMRADE_UNAVAILABLE, "built-in indexes of \"role\" and \"alive\""},
    {503, "UNAVAILABLE", "", "The service is currently unavailable.", COMRADE_UNAVAILABLE,
     "503 UNAVAILABLE: The service is currently unavailable"},
    {504, "DEADLINE_EXCEEDED", "", "The datastore operation timed out.", COMRADE_UNAVAILABLE,
     "504 DEADLINE_EXCEEDED"},
    {409, "ABORTED", "", "too much contention on these datastore entities. please try again.",
     COMRADE_UNAVAILABLE, "collided with others again and again"},
};

static const struct refusal *refusal; /* which is answered */

static bool refuse(struct http_exchange *exchange)
{
    char body[BODY_SIZE];
    char details[256] = "";
    if (refusal->reason[0] != '\0') {
        snprintf(details, sizeof details,
                 ",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\","
                 "\"reason\":\"%s\",\"domain\":\"googleapis.com\"}]",
                 refusal->reason);
    }
    char said[BODY_SIZE / 2];
    size_t len = 0;
    for (const char *at = refusal->said; *at != '\0' && len + 2 < sizeof said; at++) {
        if (*at == '\n') {
            said[len++] = '\\';
        }
        said[len++] = *at == '\n' ? 'n' : *at;
    }
    said[len] = '\0';
    snprintf(body, sizeof body, "{\"error\":{\"code\":%d,\"message\":\"%s\",\"status\":\"%s\"%s}}",
             refusal->http_status, said, refusal->name, details);
    http_exchange_answer(exchange, refusal->http_status, "Content-Type: application/json\r\n",
                         body);
    return true;
}

/* The store, what was tried, what the server said, and what to do: all of it on one line. */
static void each_refusal_says_what_to_do(void **state)
{
    (void)state;
    struct http_server *server = http_server_start(refuse, NULL);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        char url[URL_SIZE];
        char told[2 * URL_SIZE];
        comrade_store *store = NULL;
        comrade_error error = {0};
        refusal = &refusals[i];
        snprintf(url, sizeof url, "datastore://my-project?endpoint=http://127.0.0.1:%d",
                 http_server_port(server));
        assert_int_equal(contract_open(&datastore_driver, url, "", &store, &error),
                         refusal->status);
        assert_null(store);
        assert_int_equal(error.status, refusal->status);
        snprintf(told, sizeof told, "%s: open: the server said %d %s: %.14s", url,
                 refusal->http_status, refusal->name, refusal->said);
        if (strncmp(error.message, told, strlen(told)) != 0 ||
            strstr(error.message, refusal->advice) == NULL || strchr(error.message, '\n') != NULL) {
            fail_msg("\"%s\" and \"%s\" are not said by: %s", told, refusal->advice, error.message);
        }
    }
    http_server_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_refusal_says_what_to_do),
    };
    return cmocka_run_group_tests_name("datastore_advice", tests, NULL, NULL);
}
