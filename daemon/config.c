/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <dirent.h>
#include <ini.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

#include "lib/limits.h"
#include "lib/parse.h"

#define MAIN_FILE "passthroughd.conf"
#define DROP_IN_DIRECTORY "passthroughd.conf.d"
#define DROP_IN_SUFFIX ".conf"
#define STATE_DIRECTORY_DEFAULT "/var/lib/passthroughd"
#define RUNTIME_DIRECTORY_DEFAULT "/run/passthroughd"
#define STEP_TIMEOUT_FACTOR_MAX 120u
#define PROBLEMS_MAX 64u /* enough to see what is wrong with a file that is no configuration at all */

typedef struct Key Key;

/* Takes `text`, which is not empty, or returns a negative errno. `member` is untouched on failure. */
typedef int (*KeyParser)(const Key *key, const char *text, void *member);

struct Key {
        const char *section;
        const char *name;
        KeyParser parse;
        size_t offset;
        const char *default_text; /* NULL: the name of the host */
        unsigned maximum;         /* of numbers, which begin at 1 */
        const char *valid;        /* what would be right, for messages; NULL for numbers */
};

static const struct {
        const char *word;
        int level;
} log_levels[] = {
        { "debug", LOG_DEBUG },     { "info", LOG_INFO }, { "notice", LOG_NOTICE },
        { "warning", LOG_WARNING }, { "err", LOG_ERR },
};

static int parse_text(const char *text, char **member) {
        char *copy = strdup(text);

        if (!copy)
                return -ENOMEM;

        free(*member);
        *member = copy;
        return 0;
}

static int parse_node(const Key *key, const char *text, void *member) {
        if (!text_is_clean(text, HOST_NAME_MAX) || strpbrk(text, " \t/"))
                return -EINVAL;
        return parse_text(text, member);
}

/* Absolute and without "..", so that what is written is where it lies. */
static int parse_path(const Key *key, const char *text, void *member) {
        if (text[0] != '/' || !text_is_clean(text, PATH_MAX - 1) || strstr(text, "/../") ||
            (strlen(text) >= 3 && streq(text + strlen(text) - 3, "/..")))
                return -EINVAL;
        return parse_text(text, member);
}

static int parse_log_level(const Key *key, const char *text, void *member) {
        for (size_t i = 0; i < ELEMENTSOF(log_levels); i++)
                if (streq(log_levels[i].word, text)) {
                        *(int *) member = log_levels[i].level;
                        return 0;
                }

        return -EINVAL;
}

static int parse_number(const Key *key, const char *text, void *member) {
        uint32_t number;
        int r;

        r = parse_uint32(text, &number);
        if (r < 0)
                return r;
        if (number < 1 || number > key->maximum)
                return -ERANGE;

        *(unsigned *) member = number;
        return 0;
}

/* A decimal number with at most two places, as hundredths. */
static int parse_percent(const Key *key, const char *text, void *member) {
        uint32_t whole = 0, places = 0;
        const char *point = strchr(text, '.');
        _cleanup_free_ char *head = strndup(text, point ? (size_t) (point - text) : strlen(text));
        size_t n = point ? strlen(point + 1) : 0;
        int r;

        if (!head)
                return -ENOMEM;
        if (point && (n < 1 || n > 2 || strspn(point + 1, "0123456789") != n || parse_uint32(point + 1, &places) < 0))
                return -EINVAL;
        r = parse_uint32(head, &whole);
        if (r < 0)
                return r;
        if (n == 1)
                places *= 10;
        if (whole > key->maximum / 100 || whole * 100 + places < 1 || whole * 100 + places > key->maximum)
                return -ERANGE;

        *(unsigned *) member = whole * 100 + places;
        return 0;
}

/* Zero is "not at all". */
static int parse_seconds(const Key *key, const char *text, void *member) {
        uint32_t number = 0;
        int r = parse_uint32(text, &number);

        if (r < 0)
                return r;
        if (number > key->maximum)
                return -ERANGE;
        *(unsigned *) member = number;
        return 0;
}

static void protect_done(ConfigProtect *protect) {
        free(protect->text);
        free(protect->place);
}

static int parse_switch(const Key *key, const char *text, void *member) {
        return parse_bool(text, member);
}

/* A line adds a rule; an empty one takes those of the same name back. */
static int parse_protect(const Key *key, const char *text, void *member) {
        Config *config = (Config *) (void *) ((char *) member - offsetof(Config, protect));
        bool forbidden = streq(key->name, "Forbidden");
        ConfigProtect *items;
        size_t kept = 0;

        if (text[0] == '\0') {
                for (size_t i = 0; i < config->n_protect; i++) {
                        if (config->protect[i].forbidden != forbidden)
                                config->protect[kept++] = config->protect[i];
                        else
                                protect_done(&config->protect[i]);
                }
                config->n_protect = kept;
                return 0;
        }
        if (config->n_protect >= PROTECT_RULES_MAX)
                return -ERANGE;

        items = reallocarray(config->protect, config->n_protect + 1, sizeof(*items));
        if (!items)
                return -ENOMEM;
        config->protect = items;
        items[config->n_protect] = (ConfigProtect){ .forbidden = forbidden };
        return parse_text(text, &items[config->n_protect++].text);
}

static const Key keys[] = {
        { "Service", "Node", parse_node, offsetof(Config, node), NULL, 0,
          "a name without blanks and slashes" },
        { "Service", "ModuleDirectory", parse_path, offsetof(Config, module_directory), MODULE_DIRECTORY, 0,
          "an absolute path without \"..\"" },
        { "Service", "Worker", parse_path, offsetof(Config, worker), WORKER_PATH, 0,
          "an absolute path without \"..\"" },
        { "Service", "Workers", parse_number, offsetof(Config, workers), "4", WORKERS_MAX, NULL },
        { "Service", "StepTimeoutFactor", parse_percent, offsetof(Config, step_timeout_percent), "1",
          STEP_TIMEOUT_FACTOR_MAX * 100, "a number from 0.01 to 120" },
        { "Service", "SpareWorker", parse_switch, offsetof(Config, spare_worker), "yes", 0, "yes or no" },
        { "Service", "NetworkConfirmSec", parse_seconds, offsetof(Config, network_confirm_sec), "0", CONFIRM_MAX_SEC,
          "a number of seconds up to 86400, or 0 for none" },
        { "Health", "QuarantineRetrySec", parse_seconds, offsetof(Config, quarantine_retry_sec), "0", QUARANTINE_RETRY_MAX_SEC,
          "0 for never, or a number of seconds up to 2592000" },
        { "Log", "Level", parse_log_level, offsetof(Config, log_level), "info", 0,
          "debug, info, notice, warning or err" },
        { "Protect", "Critical", parse_protect, offsetof(Config, protect), "", 0, "at most 256 rules" },
        { "Protect", "Forbidden", parse_protect, offsetof(Config, protect), "", 0, "at most 256 rules" },
};

/* What the directories in the environment are called, and where they are without it. */
static const struct {
        const char *variable;
        const char *default_text;
        size_t offset;
} directories[] = {
        { "STATE_DIRECTORY", STATE_DIRECTORY_DEFAULT, offsetof(Config, state_directory) },
        { "RUNTIME_DIRECTORY", RUNTIME_DIRECTORY_DEFAULT, offsetof(Config, runtime_directory) },
};

static void *member_of(Config *config, size_t offset) {
        return (char *) config + offset;
}

static size_t count_problems(const Config *config) {
        size_t n = 0;

        while (config->problems && config->problems[n])
                n++;
        return n;
}

/* Problems are shown on the bus, which takes UTF-8 only, and a file can hold anything. */
static void make_clean(char *text) {
        bool valid = utf8_is_valid(text);

        for (char *p = text; *p; p++)
                if ((unsigned char) *p < 0x20 || *p == 0x7f || (!valid && (unsigned char) *p >= 0x80))
                        *p = '?';
}

int config_add_problem(Config *config, const char *format, ...) {
        size_t n = count_problems(config);
        char **problems, *text;
        va_list arguments;
        int r;

        if (n >= PROBLEMS_MAX)
                return 0;

        problems = reallocarray(config->problems, n + 2, sizeof(char *));
        if (!problems)
                return -ENOMEM;
        config->problems = problems;
        problems[n] = problems[n + 1] = NULL;

        va_start(arguments, format);
        r = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (r < 0)
                return -ENOMEM;

        make_clean(text);
        problems[n] = text;
        return 0;
}

/* Joins what is valid at one place: the sections, or the keys of one. */
static void list_valid(const char *section, char *buffer, size_t size) {
        size_t length = 0;

        buffer[0] = '\0';
        for (size_t i = 0; i < ELEMENTSOF(keys) && length < size; i++) {
                const char *word = section ? keys[i].name : keys[i].section;

                if (section ? !streq(keys[i].section, section) : i > 0 && streq(keys[i - 1].section, word))
                        continue;
                length += (size_t) snprintf(buffer + length, size - length, "%s%s", length > 0 ? ", " : "",
                                            word);
        }
}

/* One file as inih reads it: line by line through read_line(), which is where the number of a line is
 * known. */
typedef struct Reading {
        Config *config;
        const char *path;
        FILE *file;
        unsigned line;
        int error;
} Reading;

static void note(Reading *reading, int r) {
        if (r < 0 && reading->error >= 0)
                reading->error = r;
}

static bool section_is_known(const char *section) {
        for (size_t i = 0; i < ELEMENTSOF(keys); i++)
                if (streq(keys[i].section, section))
                        return true;
        return false;
}

static void unknown_key(Reading *reading, const char *section, const char *name) {
        bool known = section_is_known(section);
        char valid[256];

        list_valid(known ? section : NULL, valid, sizeof(valid));
        if (section[0] == '\0')
                note(reading,
                     config_add_problem(reading->config, "%s:%u: '%s' stands before any section (valid: %s)",
                                 reading->path, reading->line, name, valid));
        else if (!known)
                note(reading, config_add_problem(reading->config, "%s:%u: unknown section [%s] (valid: %s)",
                                          reading->path, reading->line, section, valid));
        else
                note(reading, config_add_problem(reading->config, "%s:%u: unknown key '%s' in [%s] (valid: %s)",
                                          reading->path, reading->line, name, section, valid));
}

static int bad_value(Reading *reading, const Key *key, const char *value) {
        if (key->valid)
                return config_add_problem(reading->config, "%s:%u: '%s' is no value for %s= (valid: %s)",
                                   reading->path, reading->line, value, key->name, key->valid);
        return config_add_problem(reading->config, "%s:%u: '%s' is no value for %s= (valid: a number from 1 to %u)",
                           reading->path, reading->line, value, key->name, key->maximum);
}

/* An empty value asks for the default again, as in systemd's files. */
static int set_default(Config *config, const Key *key) {
        char host[HOST_NAME_MAX + 1] = "";

        if (key->default_text)
                return key->parse(key, key->default_text, member_of(config, key->offset));

        if (gethostname(host, sizeof(host) - 1) < 0 || parse_node(key, host, &config->node) < 0)
                return parse_text("localhost", &config->node);
        return 0;
}

/* Where the last rule stands, for those who find that it makes no sense. */
static int set_place(Reading *reading) {
        Config *config = reading->config;
        ConfigProtect *last = config->n_protect > 0 ? &config->protect[config->n_protect - 1] : NULL;

        if (!last || last->place)
                return 0;
        if (asprintf(&last->place, "%s:%u", reading->path, reading->line) < 0) {
                last->place = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int handle_pair(void *userdata, const char *section, const char *name, const char *value) {
        Reading *reading = userdata;
        const Key *key = NULL;
        int r;

        for (size_t i = 0; !key && i < ELEMENTSOF(keys); i++)
                if (streq(keys[i].section, section) && streq(keys[i].name, name))
                        key = &keys[i];
        if (!key) {
                unknown_key(reading, section, name);
                return 1;
        }

        r = value[0] == '\0' ? set_default(reading->config, key)
                             : key->parse(key, value, member_of(reading->config, key->offset));
        if (r == -EINVAL || r == -ERANGE)
                r = bad_value(reading, key, value);
        note(reading, r);
        if (r >= 0 && key->parse == parse_protect)
                note(reading, set_place(reading));
        return 1;
}

/* Reads one line as fgets() does, but never a part of one, and without the blanks at its beginning: inih
 * would take the line for more of the value above it. */
static char *read_line(char *buffer, int size, void *userdata) {
        Reading *reading = userdata;
        size_t length, blanks;
        int c;

        if (!fgets(buffer, size, reading->file))
                return NULL;
        reading->line++;

        length = strlen(buffer);
        if (length == (size_t) size - 1 && buffer[length - 1] != '\n') {
                while ((c = fgetc(reading->file)) != EOF && c != '\n')
                        ;
                note(reading, config_add_problem(reading->config, "%s:%u: the line is longer than %d characters",
                                          reading->path, reading->line, size - 2));
                strcpy(buffer, "\n");
                return buffer;
        }

        blanks = strspn(buffer, " \t");
        memmove(buffer, buffer + blanks, length - blanks + 1);
        return buffer;
}

/* `required`: its absence is worth a word. */
static int read_file(Config *config, const char *path, bool required) {
        Reading reading = { .config = config, .path = path };
        int r;

        reading.file = fopen(path, "re");
        if (!reading.file)
                return errno == ENOENT && !required
                               ? 0
                               : config_add_problem(config, "%s: cannot be read: %s", path, strerrordesc_np(errno));

        /* The number of the first line that is neither a section, a pair nor a comment. */
        r = ini_parse_stream(read_line, &reading, handle_pair, &reading);
        if (r == -2)
                note(&reading, -ENOMEM);
        else if (r > 0)
                note(&reading,
                     config_add_problem(config, "%s:%d: neither [Section], Key=value nor a comment", path, r));
        if (ferror(reading.file))
                note(&reading, config_add_problem(config, "%s: cannot be read: %s", path, strerrordesc_np(errno)));
        fclose(reading.file);

        return reading.error;
}

static int is_drop_in(const struct dirent *entry) {
        size_t length = strlen(entry->d_name), suffix = strlen(DROP_IN_SUFFIX);

        return entry->d_name[0] != '.' && length > suffix &&
               streq(entry->d_name + length - suffix, DROP_IN_SUFFIX);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_drop_ins(Config *config, const char *directory) {
        _cleanup_free_ char *path = NULL;
        struct dirent **entries;
        int n, r = 0;

        if (asprintf(&path, "%s/" DROP_IN_DIRECTORY, directory) < 0)
                return -ENOMEM;

        n = scandir(path, &entries, is_drop_in, by_name);
        if (n < 0)
                return errno == ENOENT
                               ? 0
                               : config_add_problem(config, "%s: cannot be read: %s", path, strerrordesc_np(errno));

        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *file = NULL;

                if (r >= 0 && asprintf(&file, "%s/%s", path, entries[i]->d_name) < 0)
                        r = -ENOMEM;
                if (r >= 0)
                        r = read_file(config, file, true);
                free(entries[i]);
        }
        free(entries);

        return r;
}

/* systemd joins several directories with ':'; the first is the service's own. */
static int read_environment(Config *config) {
        for (size_t i = 0; i < ELEMENTSOF(directories); i++) {
                const char *value = secure_getenv(directories[i].variable);
                char **member = member_of(config, directories[i].offset);
                _cleanup_free_ char *first = NULL;
                int r;

                first = strndup(strempty(value), strcspn(strempty(value), ":"));
                if (!first)
                        return -ENOMEM;

                r = isempty(first) ? -ENOENT : parse_path(NULL, first, member);
                if (r == -EINVAL)
                        r = config_add_problem(config, "%s: '%s' is no absolute path without \"..\"",
                                        directories[i].variable, first);
                if (r < 0 && r != -ENOENT)
                        return r;
                if (!*member)
                        r = parse_text(directories[i].default_text, member);
                if (r < 0)
                        return r;
        }

        return 0;
}

int config_load(const char *directory, Config *ret) {
        _cleanup_config_ Config config = { 0 };
        _cleanup_free_ char *path = NULL;
        int r = 0;

        for (size_t i = 0; r >= 0 && i < ELEMENTSOF(keys); i++)
                r = set_default(&config, &keys[i]);
        if (r < 0)
                return r;
        if (asprintf(&path, "%s/" MAIN_FILE, directory) < 0)
                return -ENOMEM;

        r = read_file(&config, path, false);
        if (r >= 0)
                r = read_drop_ins(&config, directory);
        if (r >= 0)
                r = read_environment(&config);
        if (r < 0)
                return r;

        *ret = config;
        config = (Config){ 0 };
        return 0;
}

void config_done(Config *config) {
        if (!config)
                return;
        for (size_t i = 0; config->problems && config->problems[i]; i++)
                free(config->problems[i]);
        free(config->problems);
        for (size_t i = 0; i < config->n_protect; i++)
                protect_done(&config->protect[i]);
        free(config->protect);
        free(config->node);
        free(config->module_directory);
        free(config->worker);
        free(config->state_directory);
        free(config->runtime_directory);
        *config = (Config){ 0 };
}
