//! A child that does not outlive its parent.
//!
//! Owns: asking the kernel to signal a child when the thread that made it ends. Never: makes or signals one itself.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the child be sent SIGTERM when the thread that spawns it ends, however that comes about: of a process that is
/// killed, every thread ends. To be spawned from a thread that lives as long as the child is wanted.
pub fn terminate_with_us(command: &mut Command) {
    let parent = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: pre_exec needs a closure that is sound in a child forked from a process with threads: this one makes two
    // plain system calls, and neither `last_os_error` nor `from_raw_os_error` allocates.
    unsafe { command.pre_exec(move || bind(parent)) };
}

fn bind(parent: i32) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes one number.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM, 0, 0, 0) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // The parent may have ended before it was bound.
    // SAFETY: getppid takes nothing.
    if unsafe { libc::getppid() } != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    use super::*;

    #[test]
    fn a_child_ends_with_the_thread_that_made_it() {
        let spawned = std::thread::spawn(|| {
            let mut command = Command::new("/bin/cat");
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            terminate_with_us(&mut command);
            command.spawn().unwrap()
        });
        let mut child = spawned.join().unwrap();
        // Its standard input stays open, so only the signal can end it.
        let mut line = String::new();
        assert_eq!(BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap(), 0);
        let status = std::os::unix::process::ExitStatusExt::signal(&child.wait().unwrap());
        assert_eq!(status, Some(libc::SIGTERM));
    }
}
