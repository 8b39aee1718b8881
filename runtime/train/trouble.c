/* trouble.c: a run whose device has failed: what was trained is kept, and the last words say how to go on.
 *
 * A failed evaluation leaves anything in its outputs, so nothing of its step is used: parameters, counters and the place in
 * the data are those of the last completed step, which is saved. An update that was decided on before the failure is
 * completed first (exec_end_window()). In both cases --resume gives the bits of a run without the failure.
 *
 * Stale weights are different: what was trained since the last proof may be wrong, and saying so late does not make it
 * right. Nothing is saved then; the checkpoint to go on from is the last one of the time before. */
#include "base/file.h"
#include "runtime/train/run.h"

static void doubt(const Run *t, Buf *err)
{
    Buf path = {0};
    if (t->sound)
        buf_printf(&path, "%s/ckpt-%llu", t->o->run, (unsigned long long)t->sound);
    buf_printf(err, ". Steps after %llu may be wrong, and are not saved; ", (unsigned long long)t->proven);
    if (path.data && path_is_dir(path.data))
        buf_printf(err, "'%s' is from before: --resume %s continues it", path.data, path.data);
    else
        buf_puts(err, "no checkpoint is left from before: start over");
    buf_free(&path);
}

void run_learned(Run *t, ExecReload reload)
{
    Buf note = {0};
    if (reload == EXEC_RELOAD_STALE && !t->continues && t->o->learned)
        report_note(&t->report, "note: this device does not replace the weights of compiled programs: they are compiled "
                                "anew for every update (the results are the same)");
    if ((reload == EXEC_RELOAD_STALE || reload == EXEC_RELOAD_WORKS) && t->o->learned)
        t->o->learned(t->o->learned_with, reload, &note);
    if (note.len && !t->continues)
        report_note(&t->report, "note: %s", note.data);
    buf_free(&note);
}

bool run_stop(Run *t, Buf *err)
{
    ExecTrouble trouble = exec_trouble(t->s->exec);
    if (trouble == EXEC_STALE && exec_reload(t->s->exec) == EXEC_RELOAD_WORKS)
        run_learned(t, EXEC_RELOAD_STALE);
    if (trouble == EXEC_SOUND || !t->o->run)
        return false;
    buf_trim(err);
    if (trouble == EXEC_STALE) {
        doubt(t, err);
        return false;
    }
    if (t->r.step == 0) {
        buf_puts(err, "; there was nothing to save yet");
        return false;
    }
    if (t->saved != t->r.step) {
        Buf why = {0};
        if (!run_save(t, true, &why)) {
            buf_printf(err, "; %s", why.data);
            buf_free(&why);
            return false;
        }
    }
    buf_printf(err, "; '%s/ckpt-%llu' holds all completed steps: --resume continues", t->o->run,
               (unsigned long long)t->r.step);
    return false;
}
