#include "contract/contract.h"
#include "lib/datastore_server.h"
#include "store/datastore/datastore.h"

#include <stdio.h>

static struct datastore_server *server;

/* A project that nobody has used: the cases choose namespaces of their own. */
static void fresh_url(char *url, size_t size)
{
    static int n_projects;
    char project[32];
    char fresh[DATASTORE_URL_SIZE];
    snprintf(project, sizeof project, "fresh-%d", ++n_projects);
    datastore_server_url(server, project, fresh);
    snprintf(url, size, "%s", fresh);
}

static void wipe(comrade_store *store, const char *url)
{
    (void)store;
    (void)url;
    datastore_server_wipe(server);
}

int main(void)
{
    server = datastore_server_start(NULL);
    const struct contract_store store = {"datastore", &datastore_driver, fresh_url, wipe,
                                         .has_own_clock = true};
    int failed = contract_run(&store);
    datastore_server_stop(server);
    return failed;
}
