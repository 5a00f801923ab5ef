/*
 * datastore_idle HOST:PORT: the baseline of a process's memory: a program on libcurl that has sent
 * a lookup, keeps the connection, and does nothing. Says "ready" once.
 */
#include <curl/curl.h>
#include <stdio.h>
#include <unistd.h>

static size_t throw_away(char *bytes, size_t size, size_t n, void *user)
{
    (void)bytes;
    (void)user;
    return size * n;
}

int main(int argc, char **argv)
{
    char url[512];
    snprintf(url, sizeof url, "http://%s/v1/projects/bench:lookup", argc == 2 ? argv[1] : "");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    CURLM *multi = curl_multi_init();
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, throw_away);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS,
                     "{\"keys\":[{\"partitionId\":{\"projectId\":\"bench\"},\"path\":[{\"kind\":"
                     "\"ComradeServer\",\"name\":\"idle\"}]}]}");
    curl_multi_add_handle(multi, easy);
    for (int n_running = 1; n_running > 0;) {
        curl_multi_perform(multi, &n_running);
        curl_multi_poll(multi, NULL, 0, 1000, NULL);
    }
    puts("ready");
    fflush(stdout);
    pause();
    return 0;
}
