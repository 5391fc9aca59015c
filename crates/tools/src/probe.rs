//! Asks a program for its version.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::pins::Pin;

/// How long a program may take to say its version. A wrapper on `PATH` that
/// waits for something must not hang the run.
const PATIENCE: Duration = Duration::from_secs(20);

/// The version that a program gives of itself, if it gives one.
pub(crate) fn version_of(program: &Path, pin: &Pin) -> Option<String> {
    let arguments = pin.version_arguments?;
    let output = output_within(Command::new(program).args(arguments), PATIENCE)?;
    first_version(&output)
}

/// The command's standard output, if it succeeds in time.
pub(crate) fn output_within(command: &mut Command, patience: Duration) -> Option<String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdout = child.stdout.take()?;
    // Read on a thread of its own: a pipe that is full would stop the child.
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut stdout, &mut text).ok();
        String::from_utf8_lossy(&text).into_owned()
    });
    let deadline = Instant::now() + patience;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return reader.join().ok().filter(|_| status.success()),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                child.kill().ok();
                child.wait().ok();
                return None;
            }
        }
    }
}

/// The first `N.N.N` in a text, with what belongs to it (`-rc.1`) but without
/// build metadata (`+g123`).
pub(crate) fn first_version(text: &str) -> Option<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    text.split(|c: char| !is_part(c))
        .flat_map(|word| [Some(word), word.strip_prefix('v')])
        .flatten()
        .find(|word| {
            let mut numbers = word.splitn(3, '.');
            let whole = |part: Option<&str>| {
                part.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
            };
            whole(numbers.next())
                && whole(numbers.next())
                && numbers
                    .next()
                    .is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()))
        })
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_what_the_tools_print() {
        for (text, version) in [
            ("v4.2.3", "4.2.3"),
            ("v4.2.3+gabcdef1", "4.2.3"),
            (
                "Client Version: v1.36.3\nKustomize Version: v5.8.1\n",
                "1.36.3",
            ),
            ("Client Version: v1.32.4-dispatcher", "1.32.4-dispatcher"),
            ("Kubernetes v1.35.4\n", "1.35.4"),
            (
                "etcd Version: 3.6.6\nGit SHA: Not provided\nGo Version: go1.26.8",
                "3.6.6",
            ),
            ("kwok version v0.8.0 go1.26.8 (linux/amd64)", "0.8.0"),
            ("argocd: v3.6.1+0f29094\n", "3.6.1"),
            (
                "Valkey server v=8.1.8 sha=00000000:1 malloc=libc bits=64",
                "8.1.8",
            ),
            ("helm 4.2.3-rc.1", "4.2.3-rc.1"),
        ] {
            assert_eq!(first_version(text).as_deref(), Some(version), "{text}");
        }
        for text in ["", "unknown", "v1.2", "go1.26.8", "10.0.x"] {
            assert_eq!(first_version(text), None, "{text}");
        }
    }

    #[test]
    fn a_program_that_hangs_is_given_up() {
        let patience = Duration::from_millis(50);
        assert_eq!(
            output_within(Command::new("sleep").arg("600"), patience),
            None
        );
        let mut echo = Command::new("echo");
        assert_eq!(
            output_within(echo.arg("v1.2.3"), Duration::from_secs(60)).as_deref(),
            Some("v1.2.3\n")
        );
    }
}
