#include "contract/contract.h"
#include "store/sqlite/sqlite.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/comrade-contract-XXXXXX";

static void fresh_url(char *url, size_t size)
{
    static int n;
    snprintf(url, size, "sqlite:%s/%d.db", folder, n++);
}

/* The file is gone, as if somebody had deleted it under the running members. */
static void wipe(comrade_store *store, const char *url)
{
    (void)store;
    unlink(url + strlen("sqlite:"));
}

static int remove_one(const char *path, const struct stat *found, int kind, struct FTW *place)
{
    (void)found;
    (void)kind;
    (void)place;
    return remove(path);
}

int main(void)
{
    if (mkdtemp(folder) == NULL) {
        perror(folder);
        return 1;
    }
    const struct contract_store store = {"sqlite", &sqlite_driver, fresh_url, wipe,
                                         .has_own_clock = false};
    int n_failed = contract_run(&store);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return n_failed;
}
