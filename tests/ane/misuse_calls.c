/* misuse_calls.c: see misuse.h. */
#include "misuse.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UTF8 = 0x08000100, SINT64 = 4 };

void *misuse_library;
char  misuse_tmp[64];

void *variable(const char *name)
{
    void *p = dlsym(misuse_library, name);
    if (!p) {
        fprintf(stderr, "no symbol %s\n", name);
        _Exit(2);
    }
    return p;
}

Function *function(const char *name)
{
    void     *p = variable(name);
    Function *f;
    memcpy(&f, &p, sizeof f);
    return f;
}

Id push(void)
{
    return CALL(Id, "objc_autoreleasePoolPush", (void), ());
}

void pop(Id token)
{
    CALL(void, "objc_autoreleasePoolPop", (Id), (token));
}

Id retain(Id o)
{
    return CALL(Id, "objc_retain", (Id), (o));
}

void release(Id o)
{
    CALL(void, "objc_release", (Id), (o));
}

Ref data(const char *text)
{
    return CALL(Ref, "CFDataCreate", (Ref, const void *, long), (NULL, text, (long)strlen(text)));
}

Ref string(const char *text)
{
    return CALL(Ref, "CFStringCreateWithBytes", (Ref, const void *, long, uint32_t, unsigned char),
                (NULL, text, (long)strlen(text), UTF8, 0));
}

Ref number(int64_t n)
{
    return CALL(Ref, "CFNumberCreate", (Ref, long, const void *), (NULL, SINT64, &n));
}

Ref array(Ref *value, long n)
{
    return CALL(Ref, "CFArrayCreate", (Ref, Ref *, long, const void *), (NULL, value, n, variable("kCFTypeArrayCallBacks")));
}

Ref dictionary(Ref *key, Ref *value, long n)
{
    return CALL(Ref, "CFDictionaryCreate", (Ref, Ref *, Ref *, long, const void *, const void *),
                (NULL, key, value, n, variable("kCFTypeDictionaryKeyCallBacks"), variable("kCFTypeDictionaryValueCallBacks")));
}

void drop(Ref o)
{
    CALL(void, "CFRelease", (Ref), (o));
}

/* ---- one program, done properly ---- */

const char misuse_mil[] =
    "program(1.3)\n[buildInfo = dict<string, string>({{\"coremlc-component-MIL\", \"3510.2.1\"}, {\"coremlc-version\", "
    "\"3505.4.1\"}, {\"coremltools-component-milinternal\", \"\"}, {\"coremltools-version\", \"9.0\"}})]\n{\n"
    "    func main<ios18>(tensor<fp16, [1, 64, 1, 64]> i00_x) {\n"
    "        tensor<fp16, [1, 64, 1, 64]> o00_y = relu(x = i00_x)[name = string(\"o00_y\")];\n"
    "    } -> (o00_y);\n}\n";


Ref weights_none(void)
{
    return dictionary(NULL, NULL, 0);
}

Id descriptor(Ref text, Ref weights)
{
    return SEND(Id, CLASS("_ANEInMemoryModelDescriptor"), "modelWithMILText:weights:optionsPlist:", (Ref, Ref, Id),
                (text, weights, NULL));
}

static void write_files(Id model)
{
    char path[400], name[200];
    Ref  hex = SEND0(Ref, model, "hexStringIdentifier");
    CALL(unsigned char, "CFStringGetCString", (Ref, char *, long, uint32_t), (hex, name, sizeof name, UTF8));
    snprintf(path, sizeof path, "%s/%s", misuse_tmp, name);
    mkdir(path, 0700);
    strcat(path, "/model.mil");
    FILE *f = fopen(path, "w");
    fputs(misuse_mil, f);
    fclose(f);
}

Model described(void)
{
    Model m = {.pool = push(), .options = dictionary(NULL, NULL, 0)};
    Ref   text = data(misuse_mil), weights = weights_none();
    m.descriptor = retain(descriptor(text, weights));
    m.model = retain(SEND(Id, CLASS("_ANEInMemoryModel"), "inMemoryModelWithDescriptor:", (Id), (m.descriptor)));
    drop(text);
    drop(weights);
    write_files(m.model);
    return m;
}

bool compile(const Model *m, unsigned qos, Ref options)
{
    Id error = NULL;
    return SEND(bool, m->model, "compileWithQoS:options:error:", (unsigned, Ref, Id *), (qos, options, &error));
}

bool load(const Model *m)
{
    Id error = NULL;
    return SEND(bool, m->model, "loadWithQoS:options:error:", (unsigned, Ref, Id *), (21, m->options, &error));
}

bool unload(const Model *m)
{
    Id error = NULL;
    return SEND(bool, m->model, "unloadWithQoS:error:", (unsigned, Id *), (21, &error));
}

Model loaded(void)
{
    Model m = described();
    compile(&m, 21, m.options);
    load(&m);
    return m;
}

void finish(Model *m)
{
    release(m->model);
    release(m->descriptor);
    drop(m->options);
    pop(m->pool);
}

Ref key(const char *name)
{
    return *(Ref *)variable(name);
}

Id surface_of(int64_t width, int64_t height, int64_t elem, int64_t row, int64_t all)
{
    Ref name[6] = {key("kIOSurfaceWidth"),       key("kIOSurfaceHeight"),    key("kIOSurfaceBytesPerElement"),
                   key("kIOSurfaceBytesPerRow"), key("kIOSurfaceAllocSize"), key("kIOSurfacePixelFormat")};
    Ref value[6] = {number(width), number(height), number(elem), number(row), number(all), number(0)};
    Ref properties = dictionary(name, value, 6);
    Id  s = CALL(Id, "IOSurfaceCreate", (Ref), (properties));
    drop(properties);
    for (int i = 0; i < 6; i++)
        drop(value[i]);
    return s;
}

Id surface(void)
{
    return surface_of(PAGE, 1, 1, PAGE, PAGE);
}

void lock(Id s, uint32_t options)
{
    CALL(int, "IOSurfaceLock", (Id, uint32_t, uint32_t *), (s, options, NULL));
}

void unlock(Id s, uint32_t options)
{
    CALL(int, "IOSurfaceUnlock", (Id, uint32_t, uint32_t *), (s, options, NULL));
}

volatile unsigned char *address(Id s)
{
    return CALL(void *, "IOSurfaceGetBaseAddress", (Id), (s));
}


Id request(Ref in, Ref in_index, Ref out, Ref out_index, Id weights, Id stats, Ref procedure)
{
    return SEND(Id, CLASS("_ANERequest"),
                "requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:",
                (Ref, Ref, Ref, Ref, Id, Id, Ref), (in, in_index, out, out_index, weights, stats, procedure));
}

Bound bind_with(int64_t symbol_in, int64_t procedure, Id stats)
{
    Bound b;
    Ref   zero = number(0), first = number(symbol_in), which = number(procedure), list[4];
    for (int i = 0; i < 2; i++) {
        b.surface[i] = surface();
        lock(b.surface[i], 0);
        memset((void *)(uintptr_t)address(b.surface[i]), 0, PAGE);
        unlock(b.surface[i], 0);
        b.object[i] = retain(SEND(Id, CLASS("_ANEIOSurfaceObject"), "objectWithIOSurface:", (Id), (b.surface[i])));
    }
    list[0] = array((Ref[]){b.object[0]}, 1);
    list[1] = array((Ref[]){first}, 1);
    list[2] = array((Ref[]){b.object[1]}, 1);
    list[3] = array((Ref[]){zero}, 1);
    b.request = retain(request(list[0], list[1], list[2], list[3], NULL, stats, which));
    for (int i = 0; i < 4; i++)
        drop(list[i]);
    drop(zero);
    drop(first);
    drop(which);
    return b;
}

void unbind(Bound *b)
{
    release(b->request);
    for (int i = 0; i < 2; i++) {
        release(b->object[i]);
        drop(b->surface[i]);
    }
}

bool evaluate(const Model *m, const Bound *b)
{
    Id error = NULL;
    return SEND(bool, m->model, "evaluateWithQoS:options:request:error:", (unsigned, Ref, Id, Id *),
                (21, m->options, b->request, &error));
}
