//! The small system call filter of decision W2, in its two parts.
//!
//! Owns: which calls are denied, and why; installing them. Never: an allow-list: tenants bring arbitrary programs.
//!
//! What is denied is what Landlock leaves open between equal uids (scheduling, limits and priorities of others, modes
//! and owners of files, path sockets) and the kernel's widest surfaces. Denied calls fail; they do not kill.

use libc::c_long;
use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{FchmodatFlags, Mode, fchmodat};
use openrtc_ipc::{SetupStep, Wall, WallReport, WallState};

use super::{Inherited, LockdownError};

mod program;

use program::{Check, Deny, Part, Second};

const EPERM: u32 = libc::EPERM as u32;
const ENOSYS: u32 = libc::ENOSYS as u32;

/// Calls without a libc constant on some targets; numbers are the same on x86_64 and aarch64.
const SYS_FCHMODAT2: c_long = 452;
const SYS_SETXATTRAT: c_long = 463;
const SYS_REMOVEXATTRAT: c_long = 466;
const SYS_OPEN_TREE_ATTR: c_long = 467;
const SYS_FILE_SETATTR: c_long = 469;

/// Namespaces and mounts; others' memory and descriptors; the kernel's widest surfaces; modes, owners and attributes.
const DENIED: &[c_long] = &[
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    SYS_OPEN_TREE_ATTR,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_ioprio_set,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    SYS_FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    SYS_SETXATTRAT,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    SYS_REMOVEXATTRAT,
    SYS_FILE_SETATTR,
];
/// The same, where the architecture has the older spellings.
#[cfg(target_arch = "x86_64")]
const DENIED_HERE: &[c_long] = &[libc::SYS_chmod, libc::SYS_chown, libc::SYS_lchown];
#[cfg(not(target_arch = "x86_64"))]
const DENIED_HERE: &[c_long] = &[];

/// A ring would do any call past this filter.
const NOT_IMPLEMENTED: &[c_long] = &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// Calls on oneself are fine, on another they are not. A filter cannot know one's own pid, so it must be given as 0.
const OWN_ONLY: &[Deny] = &[
    Deny { call: libc::SYS_prlimit64, when: Check::NonZero { argument: 0 } },
    Deny { call: libc::SYS_sched_setaffinity, when: Check::NonZero { argument: 0 } },
    Deny { call: libc::SYS_sched_setscheduler, when: Check::NonZero { argument: 0 } },
    Deny { call: libc::SYS_sched_setparam, when: Check::NonZero { argument: 0 } },
    Deny { call: libc::SYS_sched_setattr, when: Check::NonZero { argument: 0 } },
    Deny { call: libc::SYS_setpriority, when: Check::EitherNonZero { arguments: [0, 1] } },
];

/// What a zygote itself must do, its children must not.
const CHILD: &[Deny] = &[
    Deny {
        call: libc::SYS_clone,
        when: Check::AnyBit { argument: 0, mask: (libc::CLONE_PARENT | libc::CLONE_NEWUSER) as u32 },
    },
    Deny {
        call: libc::SYS_prctl,
        when: Check::Options {
            denied: &[
                (libc::PR_SET_DUMPABLE as u32, Second::NonZero),
                // Orphans stay in the host's tree, where they are seen and counted.
                (libc::PR_SET_CHILD_SUBREAPER as u32, Second::Zero),
            ],
        },
    },
];

/// A path socket ends where its file's mode ends, which between equal uids is nowhere. A datagram pair may be connected
/// anew, so it counts as a socket; stream pairs stay, programs need them (asyncio, libuv).
const UNIX_SOCKETS: &[Deny] = &[
    Deny { call: libc::SYS_socket, when: Check::Equals { argument: 0, value: libc::AF_UNIX as u32 } },
    Deny { call: libc::SYS_socketpair, when: Check::UnixDatagram },
];

fn inherited_part() -> Part {
    let mut part = Part::new();
    part.deny_always(NOT_IMPLEMENTED, ENOSYS);
    let denied: Vec<c_long> = DENIED.iter().chain(DENIED_HERE).copied().collect();
    part.deny_always(&denied, EPERM);
    for deny in OWN_ONLY {
        part.deny(deny, EPERM);
    }
    part
}

fn child_part(unix_sockets: bool) -> Part {
    let mut part = Part::new();
    // Its flags lie behind a pointer; with ENOSYS every libc falls back to clone (C-26).
    part.deny_always(&[libc::SYS_clone3], ENOSYS);
    for deny in CHILD {
        part.deny(deny, EPERM);
    }
    if !unix_sockets {
        for deny in UNIX_SOCKETS {
            part.deny(deny, EPERM);
        }
    }
    part
}

fn install(part: Part) -> Result<(), LockdownError> {
    seccompiler::apply_filter(&part.finish())
        .map_err(|error| LockdownError::new(SetupStep::Seccomp, std::io::Error::last_os_error(), error.to_string()))
}

/// The part that a zygote's children inherit.
pub(super) fn preset() -> Result<(), LockdownError> {
    install(inherited_part())
}

/// Whether that part is in force: it denies a change of mode before the kernel looks for the file.
pub(super) fn is_preset() -> bool {
    fchmodat(AT_FDCWD, "", Mode::empty(), FchmodatFlags::FollowSymlink) == Err(Errno::EPERM)
}

/// Whatever part is still missing.
pub(super) fn restrict(inherited: Inherited, unix_sockets: bool) -> Result<WallReport, LockdownError> {
    match inherited {
        Inherited::Zygote => {}
        Inherited::Nothing => preset()?,
    }
    install(child_part(unix_sockets))?;
    let sockets = if unix_sockets { ", unix sockets allowed" } else { "" };
    Ok(WallReport { wall: Wall::Seccomp, state: WallState::Kernel(format!("deny filter, two parts{sockets}")) })
}

#[cfg(test)]
mod tests {
    use super::program::tests::{Verdict, run};
    use super::*;

    fn inherited(call: c_long, arguments: [u64; 6]) -> Verdict {
        run(&inherited_part().finish(), call, arguments)
    }

    fn child(call: c_long, arguments: [u64; 6]) -> Verdict {
        run(&child_part(false).finish(), call, arguments)
    }

    const NONE: [u64; 6] = [0; 6];

    #[test]
    fn every_listed_call_is_denied_and_ordinary_ones_are_not() {
        for call in DENIED.iter().chain(DENIED_HERE) {
            assert_eq!(inherited(*call, NONE), Verdict::Errno(libc::EPERM), "{call}");
        }
        for call in NOT_IMPLEMENTED {
            assert_eq!(inherited(*call, NONE), Verdict::Errno(libc::ENOSYS), "{call}");
        }
        let ordinary = [libc::SYS_read, libc::SYS_openat, libc::SYS_mmap, libc::SYS_execve, libc::SYS_futex];
        for call in ordinary.into_iter().chain([libc::SYS_clone3, libc::SYS_prctl, libc::SYS_socket]) {
            assert_eq!(inherited(call, [1; 6]), Verdict::Allow, "{call}");
        }
    }

    #[test]
    fn limits_and_scheduling_are_ones_own_only() {
        for deny in OWN_ONLY {
            assert_eq!(inherited(deny.call, [0, 0, 7, 7, 7, 7]), Verdict::Allow, "{deny:?}");
            assert_eq!(inherited(deny.call, [4321, 0, 7, 7, 7, 7]), Verdict::Errno(libc::EPERM), "{deny:?}");
        }
        // setpriority(PRIO_USER, 0) is everybody of our uid; (PRIO_PROCESS, pid) is somebody else.
        let of = |which, who| inherited(libc::SYS_setpriority, [which, who, 5, 0, 0, 0]);
        assert_eq!((of(2, 0), of(0, 99)), (Verdict::Errno(libc::EPERM), Verdict::Errno(libc::EPERM)));
        // The kernel takes the low word of a pid; so does the filter.
        assert_eq!(inherited(libc::SYS_prlimit64, [1 << 32, 0, 0, 0, 0, 0]), Verdict::Allow);
        assert_eq!(inherited(libc::SYS_prlimit64, [(1 << 32) | 9, 0, 0, 0, 0, 0]), Verdict::Errno(libc::EPERM));
    }

    #[test]
    fn a_child_makes_no_siblings_and_no_user_namespaces() {
        let thread =
            (libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u64;
        let fork = libc::SIGCHLD as u64;
        assert_eq!(child(libc::SYS_clone, [thread, 0, 0, 0, 0, 0]), Verdict::Allow);
        assert_eq!(child(libc::SYS_clone, [fork, 0, 0, 0, 0, 0]), Verdict::Allow);
        for flag in [libc::CLONE_PARENT, libc::CLONE_NEWUSER] {
            assert_eq!(child(libc::SYS_clone, [flag as u64 | fork, 0, 0, 0, 0, 0]), Verdict::Errno(libc::EPERM));
        }
        assert_eq!(child(libc::SYS_clone3, NONE), Verdict::Errno(libc::ENOSYS));
    }

    #[test]
    fn a_child_stays_non_dumpable_and_the_reaper_of_its_own() {
        let prctl = |option: i32, value| child(libc::SYS_prctl, [option as u64, value, 0, 0, 0, 0]);
        assert_eq!(prctl(libc::PR_SET_DUMPABLE, 1), Verdict::Errno(libc::EPERM));
        assert_eq!(prctl(libc::PR_SET_DUMPABLE, 0), Verdict::Allow);
        assert_eq!(prctl(libc::PR_SET_CHILD_SUBREAPER, 0), Verdict::Errno(libc::EPERM));
        assert_eq!(prctl(libc::PR_SET_CHILD_SUBREAPER, 1), Verdict::Allow);
        assert_eq!(prctl(libc::PR_SET_NAME, 1), Verdict::Allow);
    }

    #[test]
    fn path_sockets_are_denied_unless_configured_and_stream_pairs_never() {
        let unix = libc::AF_UNIX as u64;
        let socket = |family: i32| child(libc::SYS_socket, [family as u64, 1, 0, 0, 0, 0]);
        assert_eq!(socket(libc::AF_UNIX), Verdict::Errno(libc::EPERM));
        assert_eq!((socket(libc::AF_INET), socket(libc::AF_INET6)), (Verdict::Allow, Verdict::Allow));
        let pair = |kind: i32| child(libc::SYS_socketpair, [unix, kind as u64, 0, 0, 0, 0]);
        assert_eq!(pair(libc::SOCK_STREAM | libc::SOCK_CLOEXEC), Verdict::Allow);
        // The kernel makes a datagram socket of a raw one.
        for kind in [libc::SOCK_DGRAM, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, libc::SOCK_RAW] {
            assert_eq!(pair(kind), Verdict::Errno(libc::EPERM), "{kind}");
        }
        let configured = child_part(true).finish();
        assert_eq!(run(&configured, libc::SYS_socket, [unix, 1, 0, 0, 0, 0]), Verdict::Allow);
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn other_call_conventions_do_not_slip_past() {
        let x32 = 0x4000_0000 | libc::SYS_ptrace;
        assert_eq!(inherited(x32, NONE), Verdict::Errno(libc::ENOSYS));
        assert_eq!(child(x32, NONE), Verdict::Errno(libc::ENOSYS));
        let i386 = 0x4000_0003;
        let program = inherited_part().finish();
        assert_eq!(super::program::tests::run_on(i386, &program, 1, NONE), Verdict::Kill);
    }
}
