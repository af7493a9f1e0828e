"""A seccomp filter in classic BPF, made by hand: which calls to the kernel a process that runs unknown files
may still make.

It is an allow-list: threads, memory, clocks, and reading what Landlock leaves open. Everything else fails:
sockets of any kind (UDP and abstract Unix ones too), opening for writing, starting programs or processes,
other processes' memory, signals to others, mounts, keys, io_uring. Numbers are those of the kernel's tables
(arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h); how a filter is written, its
Documentation/userspace-api/seccomp_filter.rst says.
"""

from __future__ import annotations

import errno
import struct

# The call's number on x86-64 and on aarch64, -1 where there is none.
_ALLOWED = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "stat": (4, -1),
    "fstat": (5, 80),
    "lstat": (6, -1),
    "poll": (7, -1),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "readv": (19, 65),
    "writev": (20, 66),
    "access": (21, -1),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "dup": (32, 23),
    "dup2": (33, -1),
    "nanosleep": (35, 101),
    "getpid": (39, 172),
    "exit": (60, 93),
    "uname": (63, 160),
    "getcwd": (79, 17),
    "readlink": (89, -1),
    "gettimeofday": (96, 169),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getppid": (110, 173),
    "sigaltstack": (131, 132),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "gettid": (186, 178),
    "time": (201, -1),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "getdents64": (217, 61),
    "set_tid_address": (218, 96),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "get_mempolicy": (239, 236),
    "newfstatat": (262, 79),
    "readlinkat": (267, 78),
    "faccessat": (269, 48),
    "ppoll": (271, 73),
    "set_robust_list": (273, 99),
    "dup3": (292, 24),
    "getcpu": (309, 168),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "statx": (332, 291),
    "rseq": (334, 293),
    "faccessat2": (439, 439),
}
# Calls that depend on an argument.
_OPEN, _OPENAT = (2, -1), (257, 56)
_CLONE, _FCNTL, _PRCTL, _TGKILL = (56, 220), (72, 25), (157, 167), (234, 131)
_PRLIMIT64, _SCHED_SETAFFINITY = (302, 261), (203, 122)

SECCOMP = (317, 277)
_WRITING = 0o1 | 0o2 | 0o100 | 0o1000 | 0o2000  # O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND
_CLONE_THREAD = 0x10000  # a thread of this process; anything else would be a new process
_FCNTL_COMMANDS = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
_PRCTL_OPTIONS = (15, 16, 0x53564D41)  # PR_SET_NAME, PR_GET_NAME, PR_SET_VMA
_FIRST_RECENT = 424  # since then numbers are common to all machines, and a library that is refused one that
# the kernel may lack falls back on ENOSYS alone (glibc's clone3 does)

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF_LD|W|ABS, BPF_JMP|J…|K
_KILL, _FAIL, _PASS = 0x80000000, 0x00050000, 0x7FFF0000  # SECCOMP_RET_KILL_PROCESS, _ERRNO, _ALLOW
_NUMBER, _ARCH = 0, 4  # in struct seccomp_data; arguments follow, 8 bytes each, the low half first


def column(machine: str) -> int | None:
    """Which of the two tables a machine has, by `os.uname().machine`; None: neither."""
    found = _MACHINES.get(machine)
    return None if found is None else found[0]


def program(machine: str, pid: int) -> bytes:
    """The filter for a process: `struct sock_filter` after another.

    Raises:
        KeyError: no table for that machine.
    """
    which, arch = _MACHINES[machine]
    code: list[bytes] = []

    def step(operation: int, value: int, then: int = 0, otherwise: int = 0) -> None:
        code.append(struct.pack("<HBBI", operation, then, otherwise, value))

    def argument(index: int, *, high: bool = False) -> None:
        step(_LOAD, 16 + 8 * index + 4 * high)

    def only(numbers: tuple[int, int], *rule: bytes) -> None:
        """What `rule` says of a call; it returns whatever the argument."""
        if numbers[which] >= 0:
            step(_EQUAL, numbers[which], 0, len(rule))
            code.extend(rule)

    def rule(index: int, test: int, values: tuple[int, ...], *, passes: bool) -> tuple[bytes, ...]:
        """The low half of an argument against values, one of which passes (or does not)."""
        kept, code[:] = code[:], []
        argument(index)
        for place, value in enumerate(values):
            step(test, value, len(values) - place, 0)
        hit, miss = (_PASS, refused) if passes else (refused, _PASS)
        step(_RETURN, miss)
        step(_RETURN, hit)
        made = tuple(code)
        code[:] = kept
        return made

    refused = _FAIL | errno.EACCES
    step(_LOAD, _ARCH)
    step(_EQUAL, arch, 1, 0)
    step(_RETURN, _KILL)  # 32-bit calls have other numbers
    step(_LOAD, _NUMBER)
    for number in (numbers[which] for numbers in _ALLOWED.values()):
        if number >= 0:
            step(_EQUAL, number, 0, 1)
            step(_RETURN, _PASS)
    only(_OPEN, *rule(1, _ANY_BIT, (_WRITING,), passes=False))
    only(_OPENAT, *rule(2, _ANY_BIT, (_WRITING,), passes=False))
    only(_CLONE, *rule(0, _ANY_BIT, (_CLONE_THREAD,), passes=True))
    only(_FCNTL, *rule(1, _EQUAL, _FCNTL_COMMANDS, passes=True))
    only(_PRCTL, *rule(0, _EQUAL, _PRCTL_OPTIONS, passes=True))
    only(_TGKILL, *rule(0, _EQUAL, (pid,), passes=True))  # abort() sends its signal so
    only(_SCHED_SETAFFINITY, *rule(0, _EQUAL, (0,), passes=True))
    # prlimit64 may read limits, of this process: neither a new one nor another's.
    zero = [struct.pack("<HBBI", _LOAD, 0, 0, offset) for offset in (16, 16 + 16, 16 + 16 + 4)]
    tests = [
        one
        for place, load in enumerate(zero)
        for one in (load, struct.pack("<HBBI", _EQUAL, 0, 2 * (2 - place) + 1, 0))
    ]
    ends = [struct.pack("<HBBI", _RETURN, 0, 0, value) for value in (_PASS, refused)]
    only(_PRLIMIT64, *tests, *ends)
    step(_AT_LEAST, _FIRST_RECENT, 0, 1)
    step(_RETURN, _FAIL | errno.ENOSYS)
    step(_RETURN, refused)
    return b"".join(code)
