//! How long each part took, told at the end.

use std::fmt::Write;
use std::time::{Duration, Instant};

/// The parts of one command.
pub(crate) struct Timing {
    started: Instant,
    parts: Vec<Part>,
}

struct Part {
    name: String,
    took: Duration,
    note: &'static str,
}

impl Timing {
    pub(crate) fn start() -> Self {
        Self {
            started: Instant::now(),
            parts: Vec::new(),
        }
    }

    /// Adds a part that was measured elsewhere.
    pub(crate) fn add(&mut self, name: &str, took: Duration, note: &'static str) {
        self.parts.push(Part {
            name: name.to_owned(),
            took,
            note,
        });
    }

    /// Measures a part.
    pub(crate) fn part<T>(&mut self, name: &str, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = work();
        self.add(name, started.elapsed(), "");
        result
    }

    /// Prints the parts on stderr: stdout is the command's result.
    pub(crate) fn print(&self) {
        eprint!("{}", self.told(self.started.elapsed()));
    }

    fn told(&self, all: Duration) -> String {
        let width = self
            .parts
            .iter()
            .map(|part| part.name.len())
            .max()
            .unwrap_or(0)
            .max(3);
        let mut text = String::from("\nhow long it took\n");
        for Part { name, took, note } in &self.parts {
            let line = format!("  {name:width$}  {:>8}  {note}", in_words(*took));
            writeln!(text, "{}", line.trim_end()).ok();
        }
        writeln!(text, "  {:width$}  {:>8}", "all", in_words(all)).ok();
        text
    }
}

/// A duration for a person: `0.4 s`, `33 s`, `2m05s`, `1h02m`.
pub(crate) fn in_words(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_told_in_a_table() {
        let mut timing = Timing::start();
        timing.add("tools", Duration::from_millis(400), "alongside the build");
        timing.add("build", Duration::from_secs(125), "");
        timing.add("local stack", Duration::from_secs(33), "");
        assert_eq!(
            timing.told(Duration::from_secs(3750)),
            "\nhow long it took\n  \
               tools           0.4 s  alongside the build\n  \
               build           2m05s\n  \
               local stack      33 s\n  \
               all             1h02m\n"
        );
    }
}
