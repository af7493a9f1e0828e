/* A TCG plugin for QEMU's user mode: how many instructions a thread of the emulated program runs between two marks.
 *
 * The program calls sched_yield to make a mark; each writes the instructions of that thread so far as a line to the
 * file named by out=. A block of instructions is counted as it is entered.
 *
 * The few declarations needed are those of QEMU's documented plugin interface (docs/devel/tcg-plugins), which
 * Debian's qemu-user has no header for. What is used here has the same form in every version of it; QEMU
 * loads only plugins that name a version it knows, so API_VERSION is given by whoever compiles this.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_info; /* begins with the name of the emulated architecture; nothing of it is needed */
struct qemu_plugin_tb;

enum { CB_NO_REGS = 0 };
enum { SCHED_YIELD = 124 }; /* the system call's number on arm64 */
enum { THREADS = 4096 };    /* more than ever were at once; QEMU numbers them from 0 */

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t,
    void (*)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
        uint64_t, uint64_t));

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = API_VERSION;

static uint64_t instructions[THREADS];
static FILE *out;

static void entered(unsigned vcpu, void *length)
{
    instructions[vcpu % THREADS] += (uintptr_t)length;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    void *length = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, entered, CB_NO_REGS, length);
}

static void system_call(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t a, uint64_t b, uint64_t c,
    uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    if (number == SCHED_YIELD) {
        fprintf(out, "%" PRIu64 "\n", instructions[vcpu % THREADS]);
        fflush(out);
    }
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const struct qemu_info *info, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (!strncmp(argv[i], "out=", 4))
            out = fopen(argv[i] + 4, "w");
    if (!out)
        return 1;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, system_call);
    return 0;
}
