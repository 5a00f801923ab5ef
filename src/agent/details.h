/*
 * What the record says of the service beyond its state: JSON for `show`, always valid and always
 * small, whatever the service wrote.
 *
 *   {"restarts":2,"next_retry_ms":4000,"check":"connect to 127.0.0.1:80: …",
 *    "exit":{"code":1,"signal":9,"at":1700000000000,"stderr":"…"}}
 */
#ifndef AGENT_DETAILS_H
#define AGENT_DETAILS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DETAILS_MAX_BYTES 7168 /* as JSON; the store takes 8 KB */

struct details {
    int64_t n_restarts;
    int64_t next_retry_ms; /* until the restart; negative: none is due */
    const char *check;     /* why the last health check failed; NULL or "": it did not */
    const char *error;     /* why the service could not be started; NULL or "": it could */
    bool has_exit;         /* the rest is known */
    int code;              /* negative: killed by a signal */
    int signal;            /* 0: none */
    int64_t at_ms;         /* since 1970, by this machine's clock */
    const char *tail;      /* any bytes; NULL: not kept */
    size_t tail_len;
    bool is_tail_cut; /* the tail begins in the middle of something */
};

/* The caller frees the text; NULL when out of memory. */
char *details_text(const struct details *details);

#endif
