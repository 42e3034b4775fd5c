#include "base/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/netlink.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE /* Debian 12's headers stop at ABI 2 */
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif

#ifndef __has_feature /* clang's word for what gcc says by macros */
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WITH_SECCOMP false
#else
#define WITH_SECCOMP true
#endif

/* What the writable places may do; the rest of `handled` is for nobody. Reading is not handled. */
#define FILE_RIGHTS (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)
#define FOLDER_RIGHTS                                                                              \
	(FILE_RIGHTS | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |            \
		LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                        \
		LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_REFER)
#define HANDLED                                                                                    \
	(FOLDER_RIGHTS | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |               \
		LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |                     \
		LANDLOCK_ACCESS_FS_MAKE_SYM)

static bool entered;

bool sandbox_is_entered(void)
{
	return entered;
}

const char *sandbox_write_hint(void)
{
	return entered ? ": the user that lintel runs as must have the right to write there, and "
			 "the sandbox leaves it the folders that it was started with: restart "
			 "lintel to use another"
		       : ": the user that lintel runs as must have the right to write there";
}

static int allow_writes(int ruleset, const char *path, uint64_t handled, struct error *err)
{
	struct landlock_path_beneath_attr rule = {0};
	struct stat st;
	int rc = 0;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0 || fstat(rule.parent_fd, &st) < 0) {
		rc = error_set_errno(err, "sandbox: cannot allow writing to %s", path);
		goto out;
	}
	rule.allowed_access = handled & (S_ISDIR(st.st_mode) ? FOLDER_RIGHTS : FILE_RIGHTS);
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		rc = error_set_errno(err, "sandbox: cannot allow writing to %s", path);
out:
	if (rule.parent_fd >= 0)
		close(rule.parent_fd);
	return rc;
}

static int enter_landlock(const char *const *write_paths, size_t n, struct error *err)
{
	struct landlock_ruleset_attr attr = {.handled_access_fs = HANDLED};
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	int ruleset, rc = 0;

	if (abi < 0 && (errno == ENOSYS || errno == EOPNOTSUPP || errno == EPERM)) {
		log_debug("sandbox: this kernel has no Landlock: files are not confined");
		return 0;
	}
	if (abi < 2) /* and files are never moved between folders */
		attr.handled_access_fs &= ~LANDLOCK_ACCESS_FS_REFER;
	if (abi < 3)
		attr.handled_access_fs &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (ruleset < 0)
		return error_set_errno(err, "sandbox: cannot make the Landlock rules");
	if (access("/dev/null", F_OK) == 0)
		rc = allow_writes(ruleset, "/dev/null", attr.handled_access_fs, err);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = allow_writes(ruleset, write_paths[i], attr.handled_access_fs, err);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		rc = error_set_errno(err, "sandbox: cannot enter the Landlock domain");
	close(ruleset);
	entered = rc == 0;
	return rc;
}

/* By name, so that one list serves every architecture: what one of them lacks is skipped. */
static const char *const allowed[] = {
	/* files */
	"read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "sendfile",
	"open", "openat", "openat2", "close", "close_range", "stat", "lstat", "fstat", "newfstatat",
	"statx", "statfs", "fstatfs", "lseek", "fcntl", "dup", "dup2", "dup3", "getdents",
	"getdents64", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getcwd",
	"unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir",
	"chmod", "fchmod", "fchmodat", "fchmodat2", "umask", "fsync", "fdatasync", "flock",
	"truncate", "ftruncate", "fallocate", "fadvise64",
	/* memory */
	"munmap", "mremap", "brk", "madvise", "mlock", "mlock2", "munlock", "membarrier",
	/* threads and signals */
	"futex", "set_robust_list", "get_robust_list", "rseq", "exit", "exit_group",
	"set_tid_address", "sched_yield", "sched_getaffinity", "getcpu", "gettid", "getpid",
	"getppid", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending",
	"rt_sigtimedwait", "sigaltstack", "restart_syscall", "pause", "wait4", "waitid",
	/* events */
	"epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2",
	"poll", "ppoll", "select", "pselect6", "eventfd", "eventfd2", "pipe", "pipe2",
	"timerfd_create", "timerfd_settime", "timerfd_gettime", "signalfd", "signalfd4",
	/* sockets, once socket() let them be */
	"socketpair", "bind", "listen", "accept", "accept4", "connect", "getsockname",
	"getpeername", "getsockopt", "setsockopt", "sendto", "recvfrom", "sendmsg", "recvmsg",
	"sendmmsg", "recvmmsg", "shutdown",
	/* the machine and oneself */
	"getrandom", "clock_gettime", "clock_getres", "clock_nanosleep", "nanosleep",
	"gettimeofday", "time", "times", "prlimit64", "getrlimit", "setrlimit", "getrusage",
	"sysinfo", "uname", "prctl", "capget", "getuid", "geteuid", "getgid", "getegid",
	"getgroups", "getresuid", "getresgid"};

static const char *const deadly[] = {"execve", "execveat", "ptrace", "process_vm_readv",
	"process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp", "mount", "umount2",
	"pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount",
	"fspick", "mount_setattr", "setns", "unshare", "bpf", "perf_event_open", "userfaultfd",
	"keyctl", "add_key", "request_key", "init_module", "finit_module", "delete_module",
	"kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct", "quotactl", "iopl",
	"ioperm", "open_by_handle_at", "setuid", "setgid", "setreuid", "setregid", "setresuid",
	"setresgid", "setgroups", "capset", "personality", "sethostname", "setdomainname",
	"settimeofday", "clock_settime", "clock_adjtime", "adjtimex"};

static const int families[] = {AF_UNIX, AF_INET, AF_INET6};

/* FIONREAD is libcurl's and libevent's, TCGETS stdio's, SIOCGIFINDEX getaddrinfo's (scopes). */
static const unsigned long ioctls[] = {FIONREAD, FIONBIO, TCGETS, TIOCGWINSZ, SIOCGIFINDEX};

static int add_names(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++) {
		int nr = seccomp_syscall_resolve_name(names[i]);

		if (nr != __NR_SCMP_ERROR) /* a libseccomp older than the call answers ENOSYS */
			rc = seccomp_rule_add_array(filter, action, nr, 0, NULL);
	}
	return rc;
}

static struct scmp_arg_cmp equals(unsigned int arg, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){.arg = arg, .op = SCMP_CMP_EQ, .datum_a = value};
}

static struct scmp_arg_cmp masked(unsigned int arg, scmp_datum_t mask, scmp_datum_t value)
{
	return (struct scmp_arg_cmp){arg, SCMP_CMP_MASKED_EQ, mask, value};
}

/* The calls that are allowed for some arguments only. */
static int add_conditional(scmp_filter_ctx filter)
{
#ifdef __s390x__
	const unsigned int clone_flags = 1;
#else
	const unsigned int clone_flags = 0;
#endif
	const uint32_t allow = SCMP_ACT_ALLOW;
	const scmp_datum_t own = (scmp_datum_t)getpid(), x = PROT_EXEC, wx = PROT_EXEC | PROT_WRITE;
	int rc = 0;

	for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
		rc |= seccomp_rule_add(
			filter, allow, SCMP_SYS(socket), 1, equals(0, (scmp_datum_t)families[i]));
	rc |= seccomp_rule_add(filter, allow, SCMP_SYS(socket), 2, equals(0, AF_NETLINK),
		equals(2, NETLINK_ROUTE)); /* getaddrinfo's look at our addresses */
	for (size_t i = 0; i < sizeof(ioctls) / sizeof(*ioctls); i++)
		rc |= seccomp_rule_add(filter, allow, SCMP_SYS(ioctl), 1, equals(1, ioctls[i]));
	/* Libraries loaded late (NSS modules, providers of OpenSSL) are mapped executable from
	 * their file, never written to there. */
	rc |= seccomp_rule_add(filter, allow, SCMP_SYS(mmap), 1, masked(2, x, 0));
	rc |= seccomp_rule_add(filter, allow, SCMP_SYS(mmap), 1, masked(2, wx, x));
	rc |= seccomp_rule_add(filter, allow, SCMP_SYS(mprotect), 1, masked(2, x, 0));
	rc |= seccomp_rule_add(
		filter, allow, SCMP_SYS(clone), 1, masked(clone_flags, CLONE_THREAD, CLONE_THREAD));
	rc |= seccomp_rule_add(filter, allow, SCMP_SYS(tgkill), 1, equals(0, own));
	rc |= seccomp_rule_add(filter, allow, SCMP_SYS(kill), 1, equals(0, own));
	return rc;
}

static int add_rules(scmp_filter_ctx filter)
{
	const size_t n_allowed = sizeof(allowed) / sizeof(*allowed);
	const size_t n_deadly = sizeof(deadly) / sizeof(*deadly);

	/* The binary tree is for those calls that the kernel cannot decide by number alone. */
	if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1) < 0 ||
		seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0 ||
		seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1) < 0 ||
		add_names(filter, SCMP_ACT_ALLOW, allowed, n_allowed) < 0 ||
		add_names(filter, SCMP_ACT_KILL_PROCESS, deadly, n_deadly) < 0 ||
		add_conditional(filter) < 0)
		return -1;
	return 0;
}

static int enter_seccomp(struct error *err)
{
	scmp_filter_ctx filter;
	int rc;

	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) {
		log_debug("sandbox: this kernel has no seccomp: system calls are not confined");
		return 0;
	}
	filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (!filter)
		return error_set(err, "sandbox: cannot make the seccomp filter");
	if (add_rules(filter) < 0) {
		rc = error_set(err, "sandbox: cannot make the seccomp filter");
		goto out;
	}
	rc = seccomp_load(filter);
	if (rc == -ENOSYS || rc == -EINVAL) {
		log_debug("sandbox: this kernel takes no filter: system calls are not confined");
		rc = 0;
	} else if (rc < 0) {
		errno = -rc;
		rc = error_set_errno(err, "sandbox: cannot load the seccomp filter");
	}
out:
	seccomp_release(filter);
	return rc;
}

int sandbox_enter(const char *const *write_paths, size_t n, struct error *err)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, "sandbox: cannot refuse new privileges");
	if (enter_landlock(write_paths, n, err) < 0)
		return -1;
	return WITH_SECCOMP ? enter_seccomp(err) : 0;
}
