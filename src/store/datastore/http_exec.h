/* What libcurl leaves open across exec, though all descriptors of this library are closed there. */
#ifndef DATASTORE_HTTP_EXEC_H
#define DATASTORE_HTTP_EXEC_H

#include <curl/curl.h>

/*
 * A multi handle of libcurl has a pair of sockets, by which another thread could wake it. Marks
 * them close-on-exec. Does what it can: without /proc it does nothing.
 */
void http_close_on_exec(CURLM *multi);

#endif
