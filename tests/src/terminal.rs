//! A terminal of our own, for programs that draw on one.
//!
//! Owns: making it, 80 by 24. Never: reads what is drawn.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Both of its ends.
#[derive(Debug)]
pub struct Terminal {
    ours: File,
    line: OwnedFd,
}

impl Terminal {
    /// A new one.
    pub fn open() -> Self {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).expect("grant it");
        unlockpt(&ours).expect("unlock it");
        let name = ptsname(&ours, Vec::new()).expect("its name");
        let name = name.to_str().expect("its name");
        let line: OwnedFd = File::options().read(true).write(true).open(name).expect("its line").into();
        tcsetwinsize(&line, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).expect("its size");
        Self { ours: File::from(ours), line }
    }

    /// The program's end.
    pub fn end(&self) -> OwnedFd {
        self.line.try_clone().expect("its line again")
    }

    /// Our end: what is drawn is read there, keys are written.
    pub fn screen(&self) -> File {
        self.ours.try_clone().expect("the terminal again")
    }
}
