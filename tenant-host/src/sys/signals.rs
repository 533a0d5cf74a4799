//! Signal dispositions that a program must not inherit.
//!
//! Owns: resetting them. Never: installs a handler.

/// Highest signal number on Linux.
const SIGNAL_MAX: i32 = 64;

/// Gives every signal its default action and unblocks all, as a program expects to find them. Safe between fork and
/// exec: it makes system calls only.
pub fn reset() {
    for signal in 1..=SIGNAL_MAX {
        // SAFETY: `signal` has no memory requirements; for numbers that cannot be changed it answers EINVAL, which is
        // what we want. The default action is no handler, so no code of ours can run in a signal because of it.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    let _ = nix::sys::signal::SigSet::empty().thread_set_mask();
}
