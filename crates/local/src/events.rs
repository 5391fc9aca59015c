//! What the daemon tells `up` while it starts: one JSON value per line, through
//! the pipe that `up` reads. Whoever reads no more has gone, and then nothing
//! must be started any further.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// A part is ready, so many milliseconds after it was started.
    Ready { part: String, ms: u64 },
    /// Everything is.
    Up,
    /// It cannot be started; everything was stopped.
    Failed(String),
}

/// The writing end.
pub(crate) struct Events<W> {
    out: Mutex<W>,
}

impl<W: Write> Events<W> {
    /// Writes events to `out`.
    pub(crate) fn new(out: W) -> Self {
        Self {
            out: Mutex::new(out),
        }
    }

    /// Tells an event. An error means that nobody listens any more.
    pub(crate) fn tell(&self, event: &Event) -> Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        out.write_all(&line)
            .and_then(|()| out.flush())
            .context("the command that started this stack has gone")
    }
}

/// Reads one line.
pub(crate) fn read(line: &str) -> Result<Event> {
    serde_json::from_str(line).with_context(|| format!("the daemon said `{line}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_back() {
        let events = [
            Event::Ready {
                part: "moto".into(),
                ms: 900,
            },
            Event::Failed("moto did not start\n  its last lines".into()),
            Event::Up,
        ];
        let writer = Events::new(Vec::new());
        events.iter().for_each(|event| writer.tell(event).unwrap());
        let text = String::from_utf8(writer.out.into_inner().unwrap()).unwrap();
        let read: Vec<Event> = text.lines().map(|line| read(line).unwrap()).collect();
        assert_eq!(read, events);
        assert!(super::read("Traceback").is_err());
    }
}
