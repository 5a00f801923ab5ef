/* The verbs of the program, each in its file verb_NAME.c; verbs.c puts them into their order. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "cli/options.h"

/* verb_list.c, verb_show.c */
extern const struct verb verb_list;
extern const struct verb verb_show;
/* verb_kill.c, verb_kill_oldest.c, verb_rolling_kill.c, verb_zombify.c, verb_clear_stale.c */
extern const struct verb verb_restart;
extern const struct verb verb_kill;
extern const struct verb verb_kill_oldest;
extern const struct verb verb_rolling_kill;
extern const struct verb verb_zombify;
extern const struct verb verb_clear_stale;
/* verb_watch.c */
extern const struct verb verb_watch;
/* verb_role.c */
extern const struct verb verb_role_show;
extern const struct verb verb_role_set;
/* verb_check.c, verb_store_check.c, verb_store_init.c, verb_store_drop.c, verb_version.c */
extern const struct verb verb_check;
extern const struct verb verb_store_check;
extern const struct verb verb_store_init;
extern const struct verb verb_store_drop;
extern const struct verb verb_version;
/* verb_shell.c, verb_run.c, verb_help.c */
extern const struct verb verb_shell;
extern const struct verb verb_run;
extern const struct verb verb_help;

#endif
