//! The few things the operating system can do that the standard library has
//! no name for: a child that dies with its parent, a session of its own,
//! signals to processes and process groups. The only `unsafe` of the crate.
#![allow(
    unsafe_code,
    reason = "prctl, setsid and kill have no safe form in std"
)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// A signal that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Asks a process to end.
    Terminate,
    /// Ends a process.
    Kill,
}

impl Signal {
    fn number(self) -> libc::c_int {
        match self {
            Self::Terminate => libc::SIGTERM,
            Self::Kill => libc::SIGKILL,
        }
    }
}

/// The child gets SIGKILL as soon as the *thread* that starts it ends, however
/// that comes about: without it a killed daemon would leave its children.
pub(crate) fn die_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let hook = move || {
        // SAFETY: between fork and exec only async-signal-safe calls are
        // allowed; prctl and getppid are plain system calls.
        let set = unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        if set == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above. The parent may have died before prctl was called;
        // the signal would then never come.
        let now = unsafe { libc::getppid() };
        if u32::try_from(now) != Ok(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        Ok(())
    };
    // SAFETY: the hook neither allocates nor takes locks.
    unsafe { command.pre_exec(hook) };
}

/// The child leads a session of its own: neither Ctrl-C in the terminal nor
/// the terminal's end reaches it.
pub(crate) fn lead_session(command: &mut Command) {
    let hook = || {
        // SAFETY: setsid is async-signal-safe.
        match unsafe { libc::setsid() } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    };
    // SAFETY: the hook neither allocates nor takes locks.
    unsafe { command.pre_exec(hook) };
}

/// Sends a signal to one process.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = positive(pid) {
        // SAFETY: kill touches no memory of this process.
        unsafe { libc::kill(pid, signal.number()) };
    }
}

/// Sends a signal to every process of a group.
pub(crate) fn signal_group(leader: u32, signal: Signal) {
    if let Some(leader) = positive(leader) {
        // SAFETY: kill touches no memory of this process.
        unsafe { libc::kill(-leader, signal.number()) };
    }
}

/// 0 and -1 mean "my own group" and "everything" to kill: never those.
fn positive(pid: u32) -> Option<libc::pid_t> {
    libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 1)
}
