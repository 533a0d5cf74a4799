//! A filter program: a few checks in classic BPF.
//!
//! Owns: the instructions. Never: knows why a call is denied.
//!
//! Arguments are compared by their low word: every one that is checked here is an `int` or flags below 2^32.

use libc::c_long;
use seccompiler::sock_filter;

/// `AUDIT_ARCH_*` of this build.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// Calls of the x32 ABI have this bit, and would slip past every comparison.
#[cfg(target_arch = "x86_64")]
const X32_BIT: u32 = 0x4000_0000;

/// Offsets in `struct seccomp_data`.
const OFFSET_NR: u32 = 0;
const OFFSET_ARCH: u32 = 4;
const OFFSET_ARGS: u32 = 16;

const LOAD: u16 = 0x20;
const JUMP_EQUAL: u16 = 0x15;
#[cfg(target_arch = "x86_64")]
const JUMP_GREATER_OR_EQUAL: u16 = 0x35;
const JUMP_ANY_BIT: u16 = 0x45;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;

const RET_ALLOW: u32 = 0x7FFF_0000;
const RET_ERRNO: u32 = 0x0005_0000;
const RET_KILL_PROCESS: u32 = 0x8000_0000;

/// What makes a call a denied one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Check {
    /// This argument is not 0.
    NonZero { argument: u32 },
    /// One of the two is not 0.
    EitherNonZero { arguments: [u32; 2] },
    /// This argument has one of these bits.
    AnyBit { argument: u32, mask: u32 },
    /// This argument has this value.
    Equals { argument: u32, value: u32 },
    /// The first argument is one of these options, and the second is such.
    Options { denied: &'static [(u32, Second)] },
    /// `socketpair(AF_UNIX, SOCK_DGRAM or SOCK_RAW)`.
    UnixDatagram,
}

/// What a second argument must be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Second {
    /// Zero.
    Zero,
    /// Anything else.
    NonZero,
}

/// One denied call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deny {
    /// Its number.
    pub(super) call: c_long,
    /// When.
    pub(super) when: Check,
}

/// A filter in the making. Whatever it does not deny is allowed.
pub(super) struct Part {
    code: Vec<sock_filter>,
}

fn statement(code: u16, k: u32) -> sock_filter {
    sock_filter { code, jt: 0, jf: 0, k }
}

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn load_argument(argument: u32) -> sock_filter {
    statement(LOAD, OFFSET_ARGS + 8 * argument)
}

fn options_block(denied: &[(u32, Second)], allow: &sock_filter, refuse: &sock_filter) -> Vec<sock_filter> {
    let mut block = Vec::new();
    for (option, second) in denied {
        let (if_zero, if_not) = match second {
            Second::Zero => (1, 0),
            Second::NonZero => (0, 1),
        };
        block.extend([
            load_argument(0),
            jump(JUMP_EQUAL, *option, 0, 4),
            load_argument(1),
            jump(JUMP_EQUAL, 0, if_zero, if_not),
            allow.clone(),
            refuse.clone(),
        ]);
    }
    block.push(allow.clone());
    block
}

/// A call's number as the filter sees it.
fn number(call: c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

impl Part {
    /// Starts with the architecture: a call of another one is no call that we know, and ends the process.
    pub(super) fn new() -> Self {
        let mut code = vec![
            statement(LOAD, OFFSET_ARCH),
            jump(JUMP_EQUAL, ARCHITECTURE, 1, 0),
            statement(RETURN, RET_KILL_PROCESS),
            statement(LOAD, OFFSET_NR),
        ];
        #[cfg(target_arch = "x86_64")]
        code.extend([jump(JUMP_GREATER_OR_EQUAL, X32_BIT, 0, 1), statement(RETURN, RET_ERRNO | libc::ENOSYS as u32)]);
        #[cfg(target_arch = "aarch64")]
        code.extend([]);
        Self { code }
    }

    /// Denies these calls, whatever their arguments. At most 255 in one go.
    pub(super) fn deny_always(&mut self, calls: &[c_long], errno: u32) {
        debug_assert!(calls.len() <= 255);
        for (at, call) in calls.iter().enumerate() {
            let to_return = u8::try_from(calls.len() - 1 - at).unwrap_or(u8::MAX);
            self.code.push(jump(JUMP_EQUAL, number(*call), to_return, u8::from(at + 1 == calls.len())));
        }
        self.code.push(statement(RETURN, RET_ERRNO | errno));
    }

    /// Denies one call under a condition.
    pub(super) fn deny(&mut self, deny: &Deny, errno: u32) {
        let allow = statement(RETURN, RET_ALLOW);
        let refuse = statement(RETURN, RET_ERRNO | errno);
        let block = match deny.when {
            Check::NonZero { argument } => {
                vec![load_argument(argument), jump(JUMP_EQUAL, 0, 0, 1), allow, refuse]
            }
            Check::EitherNonZero { arguments: [first, second] } => vec![
                load_argument(first),
                jump(JUMP_EQUAL, 0, 0, 3),
                load_argument(second),
                jump(JUMP_EQUAL, 0, 0, 1),
                allow,
                refuse,
            ],
            Check::AnyBit { argument, mask } => {
                vec![load_argument(argument), jump(JUMP_ANY_BIT, mask, 1, 0), allow, refuse]
            }
            Check::Equals { argument, value } => {
                vec![load_argument(argument), jump(JUMP_EQUAL, value, 1, 0), allow, refuse]
            }
            Check::Options { denied } => options_block(denied, &allow, &refuse),
            Check::UnixDatagram => vec![
                load_argument(0),
                jump(JUMP_EQUAL, libc::AF_UNIX as u32, 0, 4),
                load_argument(1),
                statement(AND, 0xF),
                jump(JUMP_EQUAL, libc::SOCK_DGRAM as u32, 2, 0),
                jump(JUMP_EQUAL, libc::SOCK_RAW as u32, 1, 0),
                allow,
                refuse,
            ],
        };
        self.code.push(jump(JUMP_EQUAL, number(deny.call), 0, u8::try_from(block.len()).unwrap_or(u8::MAX)));
        self.code.extend(block);
    }

    /// The program, ending in leave to go on.
    pub(super) fn finish(mut self) -> Vec<sock_filter> {
        self.code.push(statement(RETURN, RET_ALLOW));
        self.code
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a filter says of a call.
    #[derive(Debug, PartialEq, Eq)]
    pub(in super::super) enum Verdict {
        Allow,
        Errno(i32),
        Kill,
    }

    /// Runs a filter as the kernel would.
    pub(in super::super) fn run(program: &[sock_filter], call: c_long, arguments: [u64; 6]) -> Verdict {
        run_on(ARCHITECTURE, program, call, arguments)
    }

    /// The same, for a call of some architecture.
    pub(in super::super) fn run_on(
        architecture: u32,
        program: &[sock_filter],
        call: c_long,
        arguments: [u64; 6],
    ) -> Verdict {
        let load = |offset: u32| match offset {
            OFFSET_NR => call as u32,
            OFFSET_ARCH => architecture,
            _ => {
                let at = offset - OFFSET_ARGS;
                assert_eq!(at % 8, 0, "low words only");
                arguments[at as usize / 8] as u32
            }
        };
        let (mut accumulator, mut at) = (0_u32, 0_usize);
        loop {
            let sock_filter { code, jt, jf, k } = program[at].clone();
            at += 1;
            let mut branch = |taken: bool| at += usize::from(if taken { jt } else { jf });
            match code {
                LOAD => accumulator = load(k),
                AND => accumulator &= k,
                JUMP_EQUAL => branch(accumulator == k),
                JUMP_ANY_BIT => branch(accumulator & k != 0),
                0x35 => branch(accumulator >= k),
                RETURN if k == RET_ALLOW => return Verdict::Allow,
                RETURN if k == RET_KILL_PROCESS => return Verdict::Kill,
                RETURN => return Verdict::Errno((k & 0xFFFF) as i32),
                other => panic!("no such instruction: {other:#x}"),
            }
        }
    }
}
