/* misuse.c FAKE: does the substitute for the system catch what a driver may not do? A test of a driver proves nothing on
 * a substitute that takes everything. Each case of misuse.def calls it directly, as a careless driver would, in a process of
 * its own, and has to be caught with the right words. The first does all of it properly. Nothing of the driver is used. */
#include "misuse.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CAUGHT = -1, FINE = -2 };

static const struct Case {
    void (*run)(void);
    const char *name, *words;
    int         status;
    const char *switches;
} cases[] = {
#define CASE(name, words, status, switches) {misuse_##name, #name, words, status, switches},
#include "misuse.def"
};

static bool run(const char *path, const struct Case *c)
{
    int    status, pipes[2];
    size_t n = 0;
    char   said[4096] = "", command[100];
    snprintf(misuse_tmp, sizeof misuse_tmp, "/tmp/anel-misuse-XXXXXX");
    if (!mkdtemp(misuse_tmp) || pipe(pipes) != 0)
        return false;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], STDERR_FILENO);
        close(pipes[0]);
        setenv("TMPDIR", misuse_tmp, 1);
        setenv("ANEL_FAKE", c->switches, 1);
        misuse_library = dlopen(path, RTLD_NOW);
        c->run();
        exit(0);
    }
    close(pipes[1]);
    for (ssize_t got; n + 1 < sizeof said && (got = read(pipes[0], said + n, sizeof said - n - 1)) > 0;)
        n += (size_t)got;
    close(pipes[0]);
    waitpid(child, &status, 0);
    snprintf(command, sizeof command, "rm -rf %s", misuse_tmp);
    bool ok = system(command) == 0 && strstr(said, c->words) &&
              (c->status == CAUGHT ? WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(said, "fake framework: ")
               : c->status == FINE ? WIFEXITED(status) && WEXITSTATUS(status) == 0 && !n
                                   : WIFEXITED(status) && WEXITSTATUS(status) == c->status);
    if (!ok)
        printf("FAIL %s: expected '%s', got status %#x and: %s\n", c->name, c->words, (unsigned)status, said);
    return ok;
}

int main(int argc, char **argv)
{
    size_t all = sizeof cases / sizeof *cases, failed = 0;
    if (argc != 2)
        return 2;
    for (size_t i = 0; i < all; i++)
        failed += !run(argv[1], &cases[i]);
    printf("%zu of %zu not caught\n", failed, all);
    return failed != 0;
}
