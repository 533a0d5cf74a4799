//! Which Landlock this kernel has.
//!
//! Owns: the one question. Never: restricts the supervisor.

/// `LANDLOCK_CREATE_RULESET_VERSION`.
const VERSION: libc::c_uint = 1;

/// The ABI number; 0 when there is none, or it is not enabled.
pub fn abi() -> u32 {
    // SAFETY: landlock_create_ruleset(2) asks for attr = NULL and size = 0 with the version flag; it then only returns
    // a number and touches no memory. Where it does not exist, the result is -1.
    let answer =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<libc::c_void>(), 0_usize, VERSION) };
    u32::try_from(answer).unwrap_or(0)
}
