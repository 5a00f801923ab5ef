#include "contract/contract.h"
#include "store/memory/memory.h"

#include <stdio.h>

static void fresh_url(char *url, size_t size)
{
    static int n;
    snprintf(url, size, "memory:contract-%d", n++);
}

static void wipe(comrade_store *store, const char *url)
{
    (void)url;
    memory_wipe(store);
}

int main(void)
{
    const struct contract_store store = {"memory", &memory_driver, fresh_url, wipe,
                                         .has_own_clock = false};
    return contract_run(&store);
}
