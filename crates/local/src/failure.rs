//! The error of a part that did not start or did not stay: which part, why,
//! and what it said last.

use std::fmt;
use std::path::{Path, PathBuf};

/// How many of a part's last lines an error shows.
const LINES: usize = 10;

/// How much of a log is read for its last lines.
const TAIL_BYTES: u64 = 32 * 1024;

/// A part that failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) struct PartFailed {
    part: String,
    why: String,
    log: PathBuf,
    tail: Vec<String>,
}

impl PartFailed {
    /// Reads the last lines out of the part's log.
    pub(crate) fn new(part: &str, why: impl Into<String>, log: &Path) -> Self {
        Self {
            part: part.to_owned(),
            why: why.into(),
            tail: last_lines(log, LINES),
            log: log.to_path_buf(),
        }
    }

    /// Whether it ended because a port that it was given is in use.
    pub(crate) fn port_was_taken(&self) -> bool {
        self.tail
            .iter()
            .any(|line| line.contains("address already in use"))
    }
}

impl fmt::Display for PartFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.part, self.why)?;
        match self.tail.as_slice() {
            [] => write!(f, "\n  it wrote nothing to {}", self.log.display()),
            tail => {
                write!(f, "\n  its last lines, of {}:", self.log.display())?;
                tail.iter().try_for_each(|line| write!(f, "\n    {line}"))
            }
        }
    }
}

/// The last lines of a file that are not blank; none if it cannot be read.
pub(crate) fn last_lines(file: &Path, count: usize) -> Vec<String> {
    let text = tail(file).unwrap_or_default();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(count)..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}

fn tail(file: &Path) -> std::io::Result<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(file)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_part_and_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("etcd.log");
        std::fs::write(&log, "one\n\ntwo\nbind: address already in use\n").unwrap();
        let failed = PartFailed::new("etcd of sandbox", "ended with exit status: 1", &log);
        assert!(failed.port_was_taken());
        assert_eq!(
            failed.to_string(),
            format!(
                "etcd of sandbox ended with exit status: 1\n  its last lines, of {}:\n    one\n    \
                 two\n    bind: address already in use",
                log.display()
            )
        );
        let silent = PartFailed::new("moto", "ended", &folder.path().join("none"));
        assert!(
            silent
                .to_string()
                .contains("moto ended\n  it wrote nothing to")
        );
        assert!(!silent.port_was_taken());
    }

    #[test]
    fn only_the_end_of_a_log_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let text: String = (0..9_000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(&log, text).unwrap();
        assert_eq!(last_lines(&log, 2), ["line 8998", "line 8999"]);
    }
}
