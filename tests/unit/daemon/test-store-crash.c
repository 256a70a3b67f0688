/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store-rig.h"

#include <signal.h>
#include <sys/wait.h>

#define ROUNDS 25
#define IN_FLIGHT 12
#define OWNER "11111111-1111-4111-8111-111111111111"

/* The child: keeps a number of transactions in flight and tells the parent of each that is committed. */
typedef struct Writer {
        StoreRig *rig;
        int pipe;
        unsigned next;
} Writer;

typedef struct Acknowledgement {
        Writer *writer;
        unsigned number;
} Acknowledgement;

static void submit(Writer *writer);

static void acknowledge(void *userdata, int result, const Fault *fault) {
        Acknowledgement *acknowledgement = userdata;
        Writer *writer = acknowledgement->writer;

        assert_int_equal(result, 0);
        assert_int_equal(write(writer->pipe, &acknowledgement->number, sizeof(unsigned)), sizeof(unsigned));
        free(acknowledgement);
        submit(writer);
}

/* Even numbers go to the state, odd ones to the runtime database; each writes two records, or a record
 * and a claim. */
static void submit(Writer *writer) {
        Acknowledgement *acknowledgement = malloc(sizeof(*acknowledgement));
        unsigned number = writer->next++;
        StoreKind kind = number % 2 == 0 ? STORE_STATE : STORE_RUNTIME;
        StoreTxn *txn = store_begin(writer->rig->store, kind);
        char key[32];

        assert_non_null(acknowledgement);
        *acknowledgement = (Acknowledgement){ writer, number };
        snprintf(key, sizeof(key), "%08u", number);
        if (kind == STORE_STATE) {
                store_put(txn, TABLE_ALLOCATIONS, key, NULL, json_true());
                store_claim(txn, key, true, key);
        } else {
                store_put(txn, TABLE_PROGRESS, key, NULL, json_true());
                store_put(txn, TABLE_STEPS, key, OWNER, json_true());
        }
        /* Several at a time fail beside the others. */
        if (number % 10 == 4) {
                store_claim(txn, "00000000", true, OWNER);
                assert_int_equal(store_commit(txn, NULL, NULL), 0);
                free(acknowledgement);
                submit(writer);
        } else
                assert_int_equal(store_commit(txn, acknowledge, acknowledgement), 0);
}

static void write_for_ever(StoreRig *rig, int pipe) {
        Writer writer = { .rig = rig, .pipe = pipe };

        rig_open(rig);
        /* Numbers go on where the last round ended. */
        for (char *dump = rig_dump(rig, TABLE_ALLOCATIONS), *p = dump; p; p = strchr(p, ';')) {
                p += *p == ';';
                if (*p == '\0') {
                        free(dump);
                        break;
                }
                writer.next = (unsigned) strtoul(p, NULL, 10);
        }
        writer.next += 1000 - writer.next % 1000; /* a new thousand a round */
        for (int i = 0; i < IN_FLIGHT; i++)
                submit(&writer);
        for (;;)
                assert_true(sd_event_run(rig->event, UINT64_MAX) >= 0);
}

/* The numbers that a dump holds, as a set. */
static void collect(char *dump, bool *set, size_t size) {
        for (char *p = dump; *p; p = strchr(p, ';') + 1) {
                unsigned number = (unsigned) strtoul(*p == '!' ? p + 1 : p, NULL, 10);

                assert_true(number < size);
                set[number] = true;
        }
        free(dump);
}

#define NUMBERS 200000

static void assert_consistent(StoreRig *rig, const bool *acknowledged) {
        bool *sets[4];
        unsigned thousands[2] = { 0 }, gaps[2] = { 0 };

        for (size_t i = 0; i < ELEMENTSOF(sets); i++) {
                sets[i] = calloc(NUMBERS, sizeof(bool));
                assert_non_null(sets[i]);
        }
        collect(rig_dump(rig, TABLE_ALLOCATIONS), sets[0], NUMBERS);
        collect(rig_dump_claims(rig), sets[1], NUMBERS);
        collect(rig_dump(rig, TABLE_PROGRESS), sets[2], NUMBERS);
        collect(rig_dump(rig, TABLE_STEPS), sets[3], NUMBERS);

        for (unsigned i = 1; i < NUMBERS; i++) {
                const bool *half = sets[i % 2 == 0 ? 0 : 2];

                /* Nothing is half there. */
                assert_int_equal(half[i], sets[i % 2 == 0 ? 1 : 3][i]);
                /* What failed is not there, what was acknowledged is. */
                if (i % 10 == 4)
                        assert_false(half[i]);
                else if (acknowledged[i])
                        assert_true(half[i]);

                /* In order: once one of a round is missing, all later ones of its database are. */
                if (thousands[i % 2] != i / 1000) {
                        thousands[i % 2] = i / 1000;
                        gaps[i % 2] = 0;
                }
                if (!half[i] && i % 10 != 4)
                        gaps[i % 2] = 1;
                else if (half[i])
                        assert_int_equal(gaps[i % 2], 0);
        }
        for (size_t i = 0; i < ELEMENTSOF(sets); i++)
                free(sets[i]);
}

static void test_killed_while_committing(void **state) {
        StoreRig *rig = *state;
        bool *acknowledged = calloc(NUMBERS, sizeof(bool));
        unsigned total = 0;

        assert_non_null(acknowledged);
        srandom(1);
        rig_open(rig);
        assert_int_equal(rig_put(rig, TABLE_ALLOCATIONS, "00000000", "x"), 0);
        StoreTxn *txn = store_begin(rig->store, STORE_STATE);
        store_claim(txn, "00000000", true, "00000000");
        assert_int_equal(rig_commit(rig, txn), 0);
        rig_close(rig);

        for (int round = 0; round < ROUNDS; round++) {
                struct timespec patience = { .tv_nsec = (random() % 30) * 1000000L };
                unsigned number, received = 0;
                int pipes[2], status;
                pid_t pid;

                assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        if (setenv("CMOCKA_TEST_ABORT", "1", 1) < 0 || sd_event_new(&rig->event) < 0)
                                _exit(1);
                        write_for_ever(rig, pipes[1]);
                }
                close(pipes[1]);

                assert_int_equal(read(pipes[0], &number, sizeof(number)), sizeof(number));
                acknowledged[number] = true;
                nanosleep(&patience, NULL);
                assert_int_equal(kill(pid, SIGKILL), 0);
                while (read(pipes[0], &number, sizeof(number)) == sizeof(number)) {
                        assert_true(number < NUMBERS);
                        acknowledged[number] = true;
                        received++;
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
                close(pipes[0]);
                total += received + 1;

                rig_open(rig);
                assert_int_equal(store_health(rig->store), STORE_OK);
                assert_consistent(rig, acknowledged);
                rig_close(rig);
        }
        assert_true(total > ROUNDS * IN_FLIGHT);
        free(acknowledged);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_killed_while_committing, rig_set_up, rig_tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
