//! Processes by their identity: a pid together with its start time, since pids
//! are given again; and every process that carries the mark of a stack.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::sys::{self, Signal};

/// The variable that every process of a stack carries, and those that they
/// start in turn: by it a stack finds what is left of it.
pub(crate) const MARK: &str = "TRUNKLINE_LOCAL_STACK";

/// One process, told from a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The process id.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the machine did.
    pub(crate) start_time: u64,
}

impl Identity {
    /// The process that has this pid now; none if it only waits to be reaped.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let start_time = start_time(&stat)?;
        Some(Self { pid, start_time })
    }

    /// This process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether the process still runs.
    pub(crate) fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Sends it a signal, if it is still the one that is meant.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.is_alive() {
            sys::signal(self.pid, signal);
        }
    }
}

/// The start time in a line of `/proc/PID/stat`; none for a zombie.
fn start_time(stat: &str) -> Option<u64> {
    // The name in parentheses may hold blanks and parentheses itself.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then_some(())?;
    // Field 22 of the line (proc(5)); state was field 3.
    fields.nth(18)?.parse().ok()
}

/// Every process but this one that carries the mark of the stack in a folder.
pub(crate) fn marked(stack: &Path) -> Vec<Identity> {
    let mark = format!("{MARK}={}", stack.display());
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment
                .split(|byte| *byte == 0)
                .any(|entry| entry == mark.as_bytes())
        })
        .filter_map(Identity::of)
        .collect()
}

/// Waits until none of the processes is left; gives those that are.
pub(crate) fn wait_gone(processes: &[Identity], within: Duration) -> Vec<Identity> {
    let deadline = Instant::now() + within;
    loop {
        let left: Vec<_> = processes
            .iter()
            .filter(|one| one.is_alive())
            .copied()
            .collect();
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_by_its_last_parenthesis() {
        let rest = "1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 1 1";
        assert_eq!(start_time(&format!("42 (a) b ( c)) S {rest}")), Some(98765));
        assert_eq!(start_time(&format!("42 (gone) Z {rest}")), None);
        assert_eq!(start_time("42 (cut) S 1 2"), None);
    }

    #[test]
    fn this_process_is_itself_and_not_a_later_one() {
        let own = Identity::own().unwrap();
        assert!(own.is_alive());
        let other = Identity {
            start_time: own.start_time + 1,
            ..own
        };
        assert!(!other.is_alive());
        assert_eq!(wait_gone(&[other], Duration::ZERO), []);
        assert_eq!(wait_gone(&[own], Duration::ZERO), [own]);
    }

    #[test]
    fn a_marked_child_is_found() {
        let stack = Path::new("/nowhere/but-in-this-test");
        let mut child = std::process::Command::new("sleep")
            .arg("600")
            .env(MARK, stack)
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        // Between fork and exec the child still has its parent's environment.
        while marked(stack).is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let found: Vec<u32> = marked(stack).iter().map(|one| one.pid).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, [child.id()]);
        assert_eq!(marked(stack), []);
    }
}
