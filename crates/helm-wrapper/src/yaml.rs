//! YAML as helm writes and reads it.
//!
//! `serde-saphyr`: maintained, pure Rust without libyaml, in the tree already
//! through kube's client, and the one that reads `0644` as helm's own parser does
//! (an octal number) when asked to; serde_norway reads a text or 644.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{Options, budget, options};
use trunkline_engine::Failure;

use crate::failure::invalid;

/// The limits protect against alias bombs; CRDs are large and deep by nature.
fn rules() -> Options {
    options! {
        budget: budget! {
            max_nodes: 4_000_000,
            max_events: 8_000_000,
            max_depth: 256,
            max_documents: 20_000,
        },
        legacy_octal_numbers: true,
    }
}

/// All documents of a text; empty ones are left out.
pub(crate) fn documents(action: &str, text: &str) -> Result<Vec<Value>, Failure> {
    serde_saphyr::from_multiple_with_options(text, rules())
        .map_err(|e| invalid(action, format!("what helm wrote is no YAML: {e}")))
}

/// One document.
pub(crate) fn document<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, Failure> {
    serde_saphyr::from_str_with_options(text, rules())
        .map_err(|e| invalid("read a chart", format!("{what}: {e}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_texts_are_what_kubernetes_takes_them_for() {
        let text = "# Source: a\nmode: 0644\nplain: 420\ntext: \"0644\"\nversion: 1.10\nquoted: '1.10'\n\
                    enum:\n- =\n- \"on\"\nempty:\nlarge: 9007199254740993\n---\n---\n# nothing\n---\na: b\n";
        let all = documents("template", text).unwrap();
        assert_eq!(
            all,
            [
                json!({"mode": 420, "plain": 420, "text": "0644", "version": 1.1, "quoted": "1.10",
                       "enum": ["=", "on"], "empty": null,
                       "large": 9_007_199_254_740_993_i64}),
                json!({"a": "b"}),
            ]
        );
    }

    #[test]
    fn block_texts_keep_their_lines() {
        let all = documents("template", "a: |\n  one\n\n  two\nb: >-\n  x\n  y\n").unwrap();
        assert_eq!(all, [json!({"a": "one\n\ntwo\n", "b": "x y"})]);
    }
}
