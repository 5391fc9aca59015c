//! Words for people: times, counts, columns.

use std::time::Duration;

use jiff::Timestamp;
use trunkline_pipeline::{Address, Verb};

/// The width of the screen: 80 unless a terminal says it is narrower.
pub(crate) fn width() -> usize {
    80
}

/// `0.4 s`, `9 s`, `1m05s`, `2h03m`.
pub(crate) fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..2 => format!("{:.1} s", time.as_secs_f64()),
        2..60 => format!("{seconds} s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// An estimate: `about 2 min`, `about 20 s`.
pub(crate) fn about(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 90 {
        format!("about {} s", seconds.max(1))
    } else {
        format!("about {} min", (seconds + 30) / 60)
    }
}

/// How long before `now` something was: `4 s`, `12m07s`, `3 days`.
pub(crate) fn ago(now: Timestamp, then: Timestamp) -> String {
    let since = Duration::try_from(now.duration_since(then)).unwrap_or_default();
    match since.as_secs() / 86_400 {
        0 => time(since),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}

/// A resource as a person calls it: `nat gateway euc1-az1`.
pub(crate) fn resource(address: &Address) -> String {
    format!("{} {}", address.kind().words(), address.name())
}

/// The sign of a verb; understandable without colour.
pub(crate) fn sign(verb: Verb) -> char {
    match verb {
        Verb::Create => '+',
        Verb::Update => '~',
        Verb::Delete => '-',
    }
}

/// Cuts a text so that it fits, and says that it was cut.
pub(crate) fn cut(text: &str, at_most: usize) -> String {
    if text.chars().count() <= at_most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(at_most.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Fills a column.
pub(crate) fn pad(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

/// Breaks a text into lines of at most `width`, later ones indented. Spaces at
/// the beginning stay.
pub(crate) fn wrap(text: &str, width: usize, indent: &str) -> String {
    let body = text.trim_start();
    let mut lines = vec![text[..text.len() - body.len()].to_owned()];
    let mut empty = true;
    for word in body.split(' ') {
        let last = lines.len() - 1;
        let used = lines[last].chars().count();
        if !empty && used + 1 + word.chars().count() > width {
            lines.push(format!("{indent}{word}"));
        } else {
            if !empty {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
        empty = false;
    }
    lines.join("\n")
}

/// `1 step`, `2 steps`.
pub(crate) fn count(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

/// `account 1234…9012`: enough to recognise, too little to copy.
pub(crate) fn account(id: &str) -> String {
    match (id.get(..4), id.get(8..)) {
        (Some(first), Some(last)) => format!("{first}…{last}"),
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let of = |seconds: f64| time(Duration::from_secs_f64(seconds));
        assert_eq!(
            [of(0.42), of(9.7), of(65.0), of(7380.0)],
            ["0.4 s", "9 s", "1m05s", "2h03m"]
        );
        assert_eq!(about(Duration::from_secs(110)), "about 2 min");
        assert_eq!(about(Duration::from_secs(3)), "about 3 s");
    }

    #[test]
    fn texts_fit() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(
            wrap("one two three four", 9, "  "),
            "one two\n  three\n  four"
        );
        assert_eq!(wrap("  = a bb cc", 7, "    "), "  = a\n    bb\n    cc");
        assert_eq!(account("123456789012"), "1234…9012");
    }
}
