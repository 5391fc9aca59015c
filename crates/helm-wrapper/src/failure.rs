//! helm's words → [`Failure`]: the one place that reads them.

use std::io;

use trunkline_engine::{Cause, Failure, FailureKind};

use crate::child::Ended;

/// Lines of stderr that a failure shows.
const LINES: usize = 12;

/// Whether a command could have changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// Words of helm, lowercase, and what they mean; the first that fits counts.
const WORDS: &[(&str, FailureKind)] = &[
    (
        "another operation (install/upgrade/rollback) is in progress",
        FailureKind::Conflict,
    ),
    ("unauthorized", FailureKind::Denied),
    ("forbidden", FailureKind::Denied),
    (
        "asked for the client to provide credentials",
        FailureKind::Denied,
    ),
    ("too many requests", FailureKind::Throttled),
    ("connection refused", FailureKind::Retry),
    ("connection reset", FailureKind::Retry),
    ("broken pipe", FailureKind::Retry),
    ("tls handshake timeout", FailureKind::Retry),
    ("i/o timeout", FailureKind::Retry),
    ("unexpected eof", FailureKind::Retry),
    ("no such host", FailureKind::Retry),
    ("failed calling webhook", FailureKind::Retry),
    (
        "the server is currently unable to handle the request",
        FailureKind::Retry,
    ),
    ("etcdserver:", FailureKind::Retry),
    ("502 bad gateway", FailureKind::Retry),
    ("503 service unavailable", FailureKind::Retry),
    ("apply failed with", FailureKind::Conflict),
    ("invalid ownership metadata", FailureKind::Conflict),
    ("has been modified", FailureKind::Conflict),
    ("context deadline exceeded", FailureKind::Stopped),
    ("timed out waiting", FailureKind::Stopped),
    ("timeout", FailureKind::Stopped),
];

/// Turns the bad end of a command into a failure.
pub(crate) fn failed(access: Access, action: &str, ended: &Ended) -> Failure {
    let kind = if ended.too_late {
        FailureKind::Stopped
    } else {
        kind_of(&ended.stderr)
    };
    let words = last_lines(&ended.stderr);
    let message = if words.is_empty() {
        "it said nothing".to_owned()
    } else {
        words
    };
    let failure = Failure::new(kind, cause(action, ended.how.clone(), message));
    match access {
        Access::Read => failure.clear(),
        Access::Write => failure,
    }
}

fn kind_of(stderr: &str) -> FailureKind {
    let lower = stderr.to_lowercase();
    let found = WORDS.iter().find(|(words, _)| lower.contains(words));
    // Most of what is left is about the chart and its values: no YAML, a schema
    // that is not met, a kind that is not there.
    found.map_or(FailureKind::Invalid, |(_, kind)| *kind)
}

/// The last lines that say something.
fn last_lines(stderr: &str) -> String {
    let lines: Vec<&str> = stderr
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// helm could not be started at all.
pub(crate) fn not_started(error: &io::Error) -> Failure {
    let cause = cause("start", String::new(), error.to_string());
    Failure::new(FailureKind::Invalid, cause)
        .clear()
        .next("install Helm 4, or name its binary: --helm PATH")
}

/// A file of ours could not be written or read.
pub(crate) fn file(doing: &str, error: &io::Error) -> Failure {
    let cause = cause(doing, String::new(), error.to_string());
    Failure::new(FailureKind::Invalid, cause).clear()
}

/// The request is wrong: nothing was started.
pub(crate) fn invalid(action: &str, message: impl Into<String>) -> Failure {
    let cause = cause(action, String::new(), message.into());
    Failure::new(FailureKind::Invalid, cause).clear()
}

/// A cause said by helm.
pub(crate) fn cause(action: &str, code: String, message: String) -> Cause {
    Cause {
        service: "helm".to_owned(),
        action: action.to_owned(),
        code,
        message,
        request_id: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(stderr: &str) -> Ended {
        Ended {
            success: false,
            how: "exit status: 1".to_owned(),
            too_late: false,
            stdout: vec![],
            stderr: stderr.to_owned(),
        }
    }

    #[test]
    fn helms_words_are_classified() {
        for (words, kind) in [
            (
                "Error: UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress",
                FailureKind::Conflict,
            ),
            (
                "Error: kubernetes cluster unreachable: dial tcp: connect: connection refused",
                FailureKind::Retry,
            ),
            (
                "Error: conflict occurred: Apply failed with 1 conflict: x",
                FailureKind::Conflict,
            ),
            ("Error: context deadline exceeded", FailureKind::Stopped),
            (
                "Error: secrets is forbidden: User \"x\" cannot list resource",
                FailureKind::Denied,
            ),
            (
                "Error: values don't meet the specifications of the schema",
                FailureKind::Invalid,
            ),
        ] {
            assert_eq!(
                failed(Access::Write, "upgrade", &ended(words)).kind,
                kind,
                "{words}"
            );
        }
    }

    #[test]
    fn the_last_lines_are_shown() {
        let many: String = (0..40).map(|n| format!("line {n}\n\n")).collect();
        let failure = failed(Access::Read, "template", &ended(&many));
        assert!(failure.cause.message.starts_with("line 28\n"));
        assert!(failure.cause.message.ends_with("line 39"));
        assert!(!failure.is_unclear());
    }
}
