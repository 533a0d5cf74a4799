//! The small system call filter of decision W2, in its two parts.
//!
//! Owns: which calls are denied, and why; installing them. Never: an allow-list: tenants bring arbitrary programs.
//!
//! What is denied is what Landlock leaves open between equal uids (scheduling, limits and priorities of others, modes
//! and owners of files, path sockets) and the kernel's widest surfaces. Denied calls fail; they do not kill.

use libc::c_long;
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
