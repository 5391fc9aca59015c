//! What a person sees: readers of the events, and the words of results.

pub(crate) mod failure;
pub(crate) mod plan;
mod progress;
pub(crate) mod words;

use std::{env, io::IsTerminal, sync::Arc};

use trunkline_pipeline::{Event, Listener};

pub(crate) use progress::Progress;

/// The progress on stderr: a line per running step on a terminal, plain lines
/// without one, nothing when it is to be quiet.
pub(crate) fn progress(quiet: bool) -> Progress {
    if quiet {
        Progress::silent()
    } else if std::io::stderr().is_terminal() && env::var_os("TERM").is_some_and(|t| t != "dumb") {
        Progress::terminal(colour(&std::io::stderr()))
    } else {
        Progress::plain()
    }
}

/// Hears nothing.
pub(crate) fn silent() -> Arc<dyn Listener> {
    Arc::new(|_: &Event| {})
}

/// Whether to paint: on a terminal, unless NO_COLOR says otherwise.
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
