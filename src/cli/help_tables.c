/* What the reference says of the whole program, and how an option is described in all its forms. */
#include "cli/help.h"

#include <ctype.h>
#include <string.h>

const char *const help_introduction =
    "Comrade lets services find each other, leave gracefully, and be killed from anywhere, through "
    "the database that their owner already runs.";

const struct help_row help_exit_codes[] = {
    {"0", "done"},
    {"1", "failed"},
    {"2", "wrong usage, or a value that is not allowed"},
    {"3", "refused: by the disruption budget, or ('store drop') because members run"},
    {"4", "no such member, or more than one that matches"},
    {"5", "the store cannot be reached, read or written, or its driver is not there"},
    {"6", "busy: too many others changed the same; try again"},
    {"others", "'run' ends with the code of its command, and 'check' with those of Nagios plugins: "
               "see there"},
    {NULL, NULL},
};

const struct help_row help_store_defaults[] = {
    {"--store URL", "or COMRADE_STORE; --store-file FILE reads the URL from a file"},
    {"as root", "sqlite:/var/lib/comrade/comrade.db unless said otherwise"},
    {"as another user", "sqlite:$XDG_STATE_HOME/comrade/comrade.db, which usually is "
                        "~/.local/state/comrade/comrade.db"},
    {NULL, NULL},
};

const struct help_row help_variables[] = {
    {"COMRADE_NAME",
     "The value of the option --name, in upper case and with '_' for '-', for every option of "
     "every verb but --help and those that say which members are meant (a service has COMRADE_ROLE "
     "in its own environment). What stands on the command line wins; a variable that is empty "
     "counts "
     "as not set. A flag is one of 1, true, yes, 0, false, no, and --flag=no takes it back. An "
     "option that may be repeated has one value a line"},
    {"XDG_STATE_HOME, HOME", "Where the default store of a user who is not root is, and the "
                             "shell's history"},
    {NULL, NULL},
};

void help_option_name(struct buffer *out, const struct option_row *row)
{
    if (row->letter != '\0') {
        buffer_append_format(out, "-%c, ", row->letter);
    }
    buffer_append_format(out, "--%s", row->name);
    if (row->type != OPTION_FLAG) {
        buffer_append_format(out, " %s", row->argument);
    }
}

void help_option_text(struct buffer *out, const struct option_row *row)
{
    size_t len = strlen(row->help);
    char first = (char)toupper((unsigned char)row->help[0]);
    buffer_append(out, &first, len > 0 ? 1 : 0);
    buffer_append_text(out, row->help + (len > 0 ? 1 : 0));
    bool has_more = row->is_required || row->is_repeatable || row->default_text != NULL;
    if (has_more && len > 0 && strchr(".!?", row->help[len - 1]) == NULL) {
        buffer_append_text(out, ".");
    }
    if (row->is_required) {
        buffer_append_text(out, " Required.");
    }
    if (row->is_repeatable) {
        buffer_append_text(out, " May be repeated.");
    }
    if (row->default_text != NULL) {
        buffer_append_format(out, " Default: %s.", row->default_text);
    }
}

void help_usage(struct buffer *out, const struct verb *verb)
{
    const char *dashes = verb->stops_at_operand ? "[--] " : "";
    buffer_append_format(out, "comrade %s [OPTION...]", verb->name);
    if (verb->operands != NULL) {
        buffer_append_format(out, " %s%s", strncmp(verb->operands, "--", 2) == 0 ? "" : dashes,
                             verb->operands);
    }
}

const char *help_group_title(const struct option_group *group)
{
    return group->title == NULL ? "Options" : group->title;
}
