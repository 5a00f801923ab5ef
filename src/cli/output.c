#include "cli/output.h"

#include "base/buffer.h"
#include "base/text.h"
#include "cli/member_json.h"

#include <errno.h>
#include <string.h>

enum { LINE_LIMIT = 256 * 1024, TEXT_LIMIT = 1024 * 1024 };

static const struct option_row output_rows[] = {
    {.name = "json", .type = OPTION_FLAG, .help = "one JSON object a line, with stable names"},
    {.name = "ids", .type = OPTION_FLAG, .help = "only the ids, one a line"},
    {.name = NULL},
};
const struct option_group output_options = {"Output", output_rows};

bool output_member(FILE *out, const comrade_member_data *member, bool has_json)
{
    struct buffer line;
    buffer_init(&line, LINE_LIMIT);
    if (has_json) {
        member_json_append(&line, member);
    } else {
        text_append_escaped(&line, member->id, strlen(member->id));
    }
    bool is_done = buffer_append(&line, "\n", 1);
    if (is_done) {
        fwrite(line.bytes, 1, line.len, out);
    }
    buffer_finish(&line);
    return is_done;
}

int output_told(struct cli *cli, const struct options *options, const comrade_members *members,
                const char *before, const char *behind)
{
    bool has_json = options_flag(options, "json");
    bool is_for_scripts = has_json || options_flag(options, "ids");
    for (size_t i = 0; i < comrade_members_count(members); i++) {
        const comrade_member_data *member = comrade_members_at(members, i);
        if (!is_for_scripts) {
            fputs(before, stdout);
            output_text(stdout, member->id);
            fputs(behind, stdout);
        } else if (!output_member(stdout, member, has_json)) {
            return cli_fail(cli, EXIT_CODE_FAILED, "out of memory");
        }
    }
    return output_end(cli);
}

void output_text(FILE *out, const char *text)
{
    struct buffer shown;
    buffer_init(&shown, TEXT_LIMIT);
    text_append_escaped(&shown, text, strlen(text));
    fputs(buffer_text(&shown), out);
    buffer_finish(&shown);
}

int output_end(const struct cli *cli)
{
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return EXIT_CODE_DONE;
    }
    int problem = errno;
    clearerr(stdout); /* the shell goes on */
    if (problem == EPIPE) {
        return EXIT_CODE_FAILED; /* the reader has seen enough and knows it */
    }
    return cli_fail(cli, EXIT_CODE_FAILED, "cannot write the output: %s", strerror(problem));
}
