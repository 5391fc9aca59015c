//! Lines on stdout and stderr whose reader may go away.

/// A result, on stdout. A reader that went away (`| head`) is no reason to
/// panic, and must not end a run.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

/// Progress or an error, on stderr, likewise.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
