/* classes.c: classes, methods, and the dispatch of messages.
 *
 * objc_msgSend hands its arguments on as they are, so it has to be written in assembler: it looks up the method with the
 * receiver and the selector, then jumps to it with everything else untouched. */
#include "fake.h"

#include <string.h>

typedef struct {
    const char *name;
} Selector;

/* framework.c */
#define IMPLEMENTATION(name) void name(void)
IMPLEMENTATION(fake_descriptor);
IMPLEMENTATION(fake_model_new);
IMPLEMENTATION(fake_hex);
IMPLEMENTATION(fake_exists);
IMPLEMENTATION(fake_purge);
IMPLEMENTATION(fake_compile);
IMPLEMENTATION(fake_load);
IMPLEMENTATION(fake_unload);
IMPLEMENTATION(fake_attributes);
IMPLEMENTATION(fake_evaluate);
IMPLEMENTATION(fake_stats_mask);
IMPLEMENTATION(fake_surface_object);
IMPLEMENTATION(fake_request);
IMPLEMENTATION(fake_client);
IMPLEMENTATION(fake_evaluate_direct);
IMPLEMENTATION(fake_stats);
IMPLEMENTATION(fake_stats_time);
IMPLEMENTATION(fake_device_type);
IMPLEMENTATION(fake_client_alloc);
IMPLEMENTATION(fake_client_init);
IMPLEMENTATION(fake_state);
IMPLEMENTATION(fake_inner);
IMPLEMENTATION(fake_input_symbols);
IMPLEMENTATION(fake_output_symbols);
IMPLEMENTATION(fake_set_count);
IMPLEMENTATION(fake_set_has);
IMPLEMENTATION(fake_stats_map);

static const Method descriptor[] = {
    {"modelWithMILText:weights:optionsPlist:", "@40@0:8@16@24@32", '+', fake_descriptor}};
static const Method model[] = {
    {"inMemoryModelWithDescriptor:", "@24@0:8@16", '+', fake_model_new},
    {"hexStringIdentifier", "@16@0:8", '-', fake_hex},
    {"compiledModelExists", "B16@0:8", '-', fake_exists},
    {"purgeCompiledModel", "v16@0:8", '-', fake_purge},
    {"compileWithQoS:options:error:", "B36@0:8I16@20^@28", '-', fake_compile},
    {"loadWithQoS:options:error:", "B36@0:8I16@20^@28", '-', fake_load},
    {"unloadWithQoS:error:", "B28@0:8I16^@20", '-', fake_unload},
    {"modelAttributes", "@16@0:8", '-', fake_attributes},
    {"evaluateWithQoS:options:request:error:", "B44@0:8I16@20@28^@36", '-', fake_evaluate},
    {"setPerfStatsMask:", "v20@0:8I16", '-', fake_stats_mask},
    {"state", "Q16@0:8", '-', fake_state},
    {"model", "@16@0:8", '-', fake_inner}};
static const Method inner[] = {
    {"inputSymbolIndicesForProcedureIndex:", "@20@0:8I16", '-', fake_input_symbols},
    {"outputSymbolIndicesForProcedureIndex:", "@20@0:8I16", '-', fake_output_symbols}};
static const Method index_set[] = {{"count", "Q16@0:8", '-', fake_set_count},
                                   {"containsIndex:", "B24@0:8Q16", '-', fake_set_has}};
static const Method surface_object[] = {
    {"objectWithIOSurface:", "@24@0:8^{__IOSurface=}16", '+', fake_surface_object}};
static const Method request[] = {
    {"requestWithInputs:inputIndices:outputs:outputIndices:weightsBuffer:perfStats:procedureIndex:",
     "@72@0:8@16@24@32@40@48@56@64", '+', fake_request}};
static const Method client[] = {
    {"sharedConnection", "@16@0:8", '+', fake_client},
    {"alloc", "@16@0:8", '+', fake_client_alloc},
    {"initWithRestrictedAccessAllowed:", "@20@0:8B16", '-', fake_client_init},
    {"doEvaluateDirectWithModel:options:request:qos:error:", "B52@0:8@16@24@32I40^@44", '-', fake_evaluate_direct}};
static const Method stats[] = {{"statsWithHardwareExecutionNS:", "@24@0:8Q16", '+', fake_stats},
                               {"driverMaskForANEFMask:", "I20@0:8I16", '+', fake_stats_map},
                               {"hwExecutionTime", "Q16@0:8", '-', fake_stats_time}};
static const Method info[] = {{"aneSubType", "@16@0:8", '+', fake_device_type}};

#define METHODS(m) m, sizeof m / sizeof *m
const Class class_of_kind[KINDS] = {
    [KIND_DATA] = {"NSData", NULL, 0},
    [KIND_STRING] = {"NSString", NULL, 0},
    [KIND_NUMBER] = {"NSNumber", NULL, 0},
    [KIND_ARRAY] = {"NSArray", NULL, 0},
    [KIND_DICTIONARY] = {"NSDictionary", NULL, 0},
    [KIND_ERROR] = {"NSError", NULL, 0},
    [KIND_SURFACE] = {"IOSurface", NULL, 0},
    [KIND_DESCRIPTOR] = {"_ANEInMemoryModelDescriptor", METHODS(descriptor)},
    [KIND_MODEL] = {"_ANEInMemoryModel", METHODS(model)},
    [KIND_SURFACE_OBJECT] = {"_ANEIOSurfaceObject", METHODS(surface_object)},
    [KIND_REQUEST] = {"_ANERequest", METHODS(request)},
    [KIND_CLIENT] = {"_ANEClient", METHODS(client)},
    [KIND_STATS] = {"_ANEPerformanceStats", METHODS(stats)},
    [KIND_INNER] = {"_ANEModel", METHODS(inner)},
    [KIND_INDEX_SET] = {"NSIndexSet", METHODS(index_set)},
};
static const Class device_info = {"_ANEDeviceInfo", METHODS(info)};

EXPORT const Class  *objc_getClass(const char *name);
EXPORT const Class  *object_getClass(const Object *o);
EXPORT Selector     *sel_registerName(const char *name);
EXPORT const Method *class_getClassMethod(const Class *of, const Selector *selector);
EXPORT const Method *class_getInstanceMethod(const Class *of, const Selector *selector);
EXPORT const char   *method_getTypeEncoding(const Method *method);
EXPORT void          objc_msgSend(void);

/* Each class and method can be hidden by a word of its own. */
const Class *objc_getClass(const char *name)
{
    char hide[128] = "hide-";
    strncat(hide, name, sizeof hide - 6);
    if (fake_has(hide))
        return NULL;
    if (strcmp(name, device_info.name) == 0)
        return &device_info;
    for (int k = 0; k < KINDS; k++)
        if (strcmp(class_of_kind[k].name, name) == 0)
            return &class_of_kind[k];
    return NULL;
}

const Class *object_getClass(const Object *o)
{
    return o ? ((const Object *)object_check(o, o->kind, "object_getClass"))->isa : NULL;
}

Selector *sel_registerName(const char *name)
{
    enum { MAX = 64 };
    static Selector selector[MAX];
    for (int i = 0; i < MAX; i++) {
        if (!selector[i].name)
            selector[i].name = name;
        if (strcmp(selector[i].name, name) == 0)
            return &selector[i];
    }
    misuse("more than %d selectors", MAX);
}

static const Method *find(const Class *of, const char *selector, char kind)
{
    char hide[160] = "hide-";
    strncat(hide, selector, sizeof hide - 6);
    if (fake_has(hide))
        return NULL;
    for (size_t i = 0; i < of->methods; i++)
        if (of->method[i].kind == kind && strcmp(of->method[i].selector, selector) == 0)
            return &of->method[i];
    return NULL;
}

const Method *class_getClassMethod(const Class *of, const Selector *selector)
{
    return find(of, selector->name, '+');
}

const Method *class_getInstanceMethod(const Class *of, const Selector *selector)
{
    return find(of, selector->name, '-');
}

const char *method_getTypeEncoding(const Method *method)
{
    if (fake_has("other-types") && strcmp(method->selector, "loadWithQoS:options:error:") == 0)
        return "B44@0:8Q16@24@32^@40";
    return method->encoding;
}

/* ---- messages ---- */

static bool is_class(const void *p)
{
    return p == &device_info || ((const Class *)p >= class_of_kind && (const Class *)p < class_of_kind + KINDS);
}

void (*fake_lookup(const void *receiver, const Selector *selector))(void);

void (*fake_lookup(const void *receiver, const Selector *selector))(void)
{
    if (!receiver)
        misuse("'%s' is sent to nil", selector->name);
    bool          to_class = is_class(receiver);
    const Class  *of = to_class ? receiver : ((const Object *)receiver)->isa;
    const Method *m;
    if (!to_class && ((const Object *)receiver)->refs <= 0)
        misuse("'%s' is sent to a freed %s", selector->name, of->name);
    m = find(of, selector->name, to_class ? '+' : '-');
    if (!m)
        misuse("%c[%s %s]: unrecognized selector", to_class ? '+' : '-', of->name, selector->name);
    return m->imp;
}

#if defined(__APPLE__)
#define NAME(x) "_" x
#else
#define NAME(x) x
#endif
#if defined(__x86_64__)
__asm__(".text\n.globl " NAME("objc_msgSend") "\n" NAME("objc_msgSend") ":\n"
        "  push %rdi\n  push %rsi\n  push %rdx\n  push %rcx\n  push %r8\n  push %r9\n  sub $8, %rsp\n"
        "  call " NAME("fake_lookup") "\n"
        "  add $8, %rsp\n  pop %r9\n  pop %r8\n  pop %rcx\n  pop %rdx\n  pop %rsi\n  pop %rdi\n"
        "  jmp *%rax\n");
#elif defined(__aarch64__)
__asm__(".text\n.globl " NAME("objc_msgSend") "\n" NAME("objc_msgSend") ":\n"
        "  stp x29, x30, [sp, #-80]!\n  stp x0, x1, [sp, #16]\n  stp x2, x3, [sp, #32]\n  stp x4, x5, [sp, #48]\n"
        "  stp x6, x7, [sp, #64]\n"
        "  bl " NAME("fake_lookup") "\n"
        "  mov x16, x0\n"
        "  ldp x0, x1, [sp, #16]\n  ldp x2, x3, [sp, #32]\n  ldp x4, x5, [sp, #48]\n  ldp x6, x7, [sp, #64]\n"
        "  ldp x29, x30, [sp], #80\n"
        "  br x16\n");
#else
#error "objc_msgSend needs a few lines of assembler for this processor"
#endif
