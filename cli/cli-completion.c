/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Completion for bash: the tables of the verbs as shell data, a small engine beside them, and the verb
 * that the engine asks for what exists now. */

#include "cli-bus.h"
#include "cli-format.h"
#include "cli-object.h"

/* What follows the data. Words with '@' are asked for; a list is completed behind its last comma. */
static const char engine[] =
        "_passthroughctl_words() {\n"
        "    local word\n"
        "    for word in $1; do\n"
        "        case \"$word\" in\n"
        "            @hosts) compgen -A hostname -- \"$cur\" ;;\n"
        "            @users) compgen -A user -- \"$cur\" ;;\n"
        "            @files) compgen -A file -- \"$cur\" ;;\n"
        "            @verbs) printf '%s\\n' $_passthroughctl_first ;;\n"
        "            @*) passthroughctl complete \"${word#@}\" 2>/dev/null ;;\n"
        "            *) printf '%s\\n' \"$word\" ;;\n"
        "        esac\n"
        "    done\n"
        "}\n"
        "\n"
        "_passthroughctl_reply() {\n"
        "    local prefix=''\n"
        "    if [[ $2 == list && $cur == *,* ]]; then\n"
        "        prefix=${cur%,*},\n"
        "        cur=${cur##*,}\n"
        "    fi\n"
        "    local IFS=$'\\n'\n"
        "    COMPREPLY=($(compgen -P \"$prefix\" -W \"$(IFS=$' \\t\\n' _passthroughctl_words \"$1\")\" -- "
        "\"$cur\"))\n"
        "}\n"
        "\n"
        "_passthroughctl() {\n"
        "    local cur prev words cword split verb='' word i n=0 option options\n"
        "    _init_completion -n =: || return\n"
        "    # A device's place has colons, which bash takes for ends of words.\n"
        "    for ((i = 1; i < cword; i++)); do\n"
        "        word=${words[i]}\n"
        "        case \"$word\" in\n"
        "            -*)\n"
        "                [[ \" ${_passthroughctl_takes[*]} \" == *\" $word \"* ]] && ((i++))\n"
        "                ;;\n"
        "            *)\n"
        "                if [[ -z $verb ]]; then\n"
        "                    verb=$word\n"
        "                elif [[ -n ${_passthroughctl_second[$verb]} ]]; then\n"
        "                    verb=\"$verb $word\"\n"
        "                else\n"
        "                    ((n++))\n"
        "                fi\n"
        "                ;;\n"
        "        esac\n"
        "    done\n"
        "    if [[ $cur == --*=* ]]; then\n"
        "        option=${cur%%=*}\n"
        "        cur=${cur#*=}\n"
        "    elif [[ \" ${_passthroughctl_takes[*]} \" == *\" $prev \"* ]]; then\n"
        "        option=$prev\n"
        "    fi\n"
        "    if [[ -n $option ]]; then\n"
        "        options=${_passthroughctl_values[\"$verb $option\"]-${_passthroughctl_values[\" "
        "$option\"]}}\n"
        "        _passthroughctl_reply \"$options\" list\n"
        "    elif [[ $cur == -* ]]; then\n"
        "        _passthroughctl_reply \"${_passthroughctl_options[\"\"-]} "
        "${_passthroughctl_options[$verb-]}\"\n"
        "        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
        "    elif [[ -z $verb ]]; then\n"
        "        _passthroughctl_reply \"$_passthroughctl_first\"\n"
        "    elif [[ -n ${_passthroughctl_second[$verb]} ]]; then\n"
        "        _passthroughctl_reply \"${_passthroughctl_second[$verb]}\"\n"
        "    elif [[ -n ${_passthroughctl_arguments[$verb]} ]]; then\n"
        "        local -a kinds\n"
        "        IFS='|' read -r -a kinds <<<\"${_passthroughctl_arguments[$verb]}\"\n"
        "        ((n >= ${#kinds[@]})) && n=$((${#kinds[@]} - 1))\n"
        "        _passthroughctl_reply \"${kinds[n]}\"\n"
        "    fi\n"
        "    __ltrim_colon_completions \"${words[cword]}\"\n"
        "} &&\n"
        "complete -F _passthroughctl passthroughctl\n";

static void write_first_words(void) {
        const char *previous = "";
        size_t length = 0;

        (void) fputs("_passthroughctl_first='", stdout);
        for (const Verb *verb = verbs; verb->name; verb++) {
                size_t n = strcspn(verb->name, " ");

                if (!verb->help || (n == length && strncmp(verb->name, previous, n) == 0))
                        continue;
                (void) printf("%.*s ", (int) n, verb->name);
                previous = verb->name;
                length = n;
        }
        (void) fputs("'\n", stdout);
}

static void write_second_words(void) {
        (void) fputs("declare -A _passthroughctl_second=(\n", stdout);
        for (const Verb *verb = verbs; verb->name; verb++) {
                const char *space = strchr(verb->name, ' ');
                size_t n = space ? (size_t) (space - verb->name) : 0;

                /* The verbs of one first word stand together. */
                if (!space || (verb > verbs && strncmp(verb[-1].name, verb->name, n + 1) == 0))
                        continue;
                (void) printf("    [%.*s]='", (int) n, verb->name);
                for (const Verb *other = verb; other->name && strncmp(other->name, verb->name, n + 1) == 0;
                     other++)
                        (void) printf("%s ", other->name + n + 1);
                (void) fputs("'\n", stdout);
        }
        (void) fputs(")\n", stdout);
}

static void write_option_names(const char *verb, const Option *options) {
        (void) printf("    [\"%s\"-]='", verb);
        for (; options && options->name; options++)
                (void) printf("--%s%s ", options->name,
                              options->argument && options->argument[0] != '[' ? "=" : "");
        (void) fputs("'\n", stdout);
}

static void write_option_values(const char *verb, const Option *options) {
        for (; options && options->name; options++) {
                if (!options->argument)
                        continue;
                (void) printf("    [\"%s --%s\"]='%s'\n", verb, options->name, strempty(options->words));
                if (options->letter)
                        (void) printf("    [\"%s -%c\"]='%s'\n", verb, options->letter,
                                      strempty(options->words));
        }
}

/* Options whose argument is the next word. */
static void write_takers(const Option *options) {
        for (; options && options->name; options++) {
                if (!options->argument || options->argument[0] == '[')
                        continue;
                (void) printf(" --%s", options->name);
                if (options->letter)
                        (void) printf(" -%c", options->letter);
        }
}

int verb_completion(Cli *cli, char **arguments, int n) {
        if (!streq(arguments[0], "bash"))
                return cli_fail(cli, STATUS_USAGE, "there is completion for bash only, not for '%s'",
                                arguments[0]);
        (void) fputs("# SPDX-License-Identifier: LGPL-2.1-or-later\n# Made by passthroughctl from its verb "
                     "table.\n\n",
                     stdout);
        write_first_words();
        write_second_words();
        (void) fputs("declare -A _passthroughctl_arguments=(\n", stdout);
        for (const Verb *verb = verbs; verb->name; verb++)
                if (verb->help && !isempty(verb->words))
                        (void) printf("    [\"%s\"]='%s'\n", verb->name, verb->words);
        (void) fputs(")\ndeclare -A _passthroughctl_options=(\n", stdout);
        write_option_names("", common_options);
        for (const Verb *verb = verbs; verb->name; verb++)
                if (verb->help && verb->options)
                        write_option_names(verb->name, verb->options);
        (void) fputs(")\ndeclare -A _passthroughctl_values=(\n", stdout);
        write_option_values("", common_options);
        for (const Verb *verb = verbs; verb->name; verb++)
                if (verb->help)
                        write_option_values(verb->name, verb->options);
        (void) fputs(")\n_passthroughctl_takes=(", stdout);
        write_takers(common_options);
        for (const Verb *verb = verbs; verb->name; verb++)
                if (verb->help)
                        write_takers(verb->options);
        (void) fputs(" )\n\n", stdout);
        (void) fputs(engine, stdout);
        return 0;
}

/* ---- what exists now ---- */

static void print_key(json_t *objects, const char *key) {
        json_t *object;
        size_t index;

        json_array_foreach(objects, index, object) if (!isempty(json_text(object, key)))(void)
                printf("%s\n", json_text(object, key));
}

static int complete_devices(Cli *cli) {
        json_auto_t *fields = json_pack("[s, s]", "id", "slot"), *devices = NULL;
        int r = list_devices(cli, "", NULL, NULL, fields, false, &devices);

        print_key(devices, "id");
        print_key(devices, "slot");
        return r;
}

static int complete_fields(Cli *cli) {
        json_auto_t *modules = NULL;
        json_t *module;
        size_t index;
        int r = list_objects(cli, KIND_MODULE, &modules);

        (void) fputs("place\nstate\ntype\ngroups\nrules\nconsumer\n", stdout);
        json_array_foreach(modules, index, module) print_key(json_object_get(module, "fields"), "name");
        return r;
}

static int complete_ids(Cli *cli, Kind kind) {
        json_auto_t *ids = NULL;
        json_t *id;
        size_t index;
        int r = list_ids(cli, kind, &ids);

        json_array_foreach(ids, index, id)(void) printf("%s\n", json_string_value(id));
        return r;
}

static int complete_consumers(Cli *cli) {
        json_auto_t *allocations = NULL;
        int r = list_objects(cli, KIND_ALLOCATION, &allocations);

        print_key(allocations, "consumer");
        return r;
}

int verb_complete(Cli *cli, char **arguments, int n) {
        static const struct {
                const char *word;
                Kind kind;
        } kinds[] = {
                { "groups", KIND_GROUP }, { "rules", KIND_RULE },     { "allocations", KIND_ALLOCATION },
                { "jobs", KIND_JOB },     { "modules", KIND_MODULE }, { "types", KIND_MODULE },
        };

        if (streq(arguments[0], "devices"))
                return complete_devices(cli);
        if (streq(arguments[0], "fields"))
                return complete_fields(cli);
        if (streq(arguments[0], "consumers"))
                return complete_consumers(cli);
        for (size_t i = 0; i < ELEMENTSOF(kinds); i++)
                if (streq(kinds[i].word, arguments[0])) {
                        int r = complete_ids(cli, kinds[i].kind);

                        /* An allocation can be named by its consumer, which people remember. */
                        return r >= 0 && kinds[i].kind == KIND_ALLOCATION ? complete_consumers(cli) : r;
                }
        return cli_fail(cli, STATUS_USAGE, "there is nothing like '%s' to complete", arguments[0]);
}
