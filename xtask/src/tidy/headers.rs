//! Each file says at its top what it owns.

use super::{Problem, Source};

const REASON: &str = "the first line of a file, //!, says what it owns: it is how one finds the \
                      right file, and what does not fit it belongs elsewhere";

/// Checks one file.
pub(super) fn check(source: &Source) -> Vec<Problem> {
    let first = source
        .text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let says = first
        .strip_prefix("//!")
        .is_some_and(|words| !words.trim().is_empty());
    if says {
        return Vec::new();
    }
    vec![Problem {
        place: source.path.clone(),
        what: "there is no header".into(),
        reason: REASON,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> usize {
        check(&Source {
            path: "crates/net/src/spec.rs".into(),
            text: text.into(),
        })
        .len()
    }

    #[test]
    fn a_file_without_header_is_found() {
        assert_eq!(
            problems("//! The wishes of the network.\nuse std::fmt;\n"),
            0
        );
        for bad in [
            "",
            "use std::fmt;\n",
            "//!\nuse std::fmt;\n",
            "// A comment.\n",
        ] {
            assert_eq!(problems(bad), 1, "{bad}");
        }
    }
}
