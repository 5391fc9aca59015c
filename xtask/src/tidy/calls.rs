//! Calls that belong to some crates only.

use super::code::product_code;
use super::{Problem, Source};

/// A rule on calls.
struct Rule {
    /// What must not stand in product code.
    calls: &'static [&'static str],
    /// The crates that may.
    crates: &'static [&'static str],
    /// The single files that may.
    files: &'static [&'static str],
    reason: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        calls: &["Command::new"],
        crates: &["helm-wrapper", "local", "tools", "xtask"],
        // The crate that tests start moto with; `local` starts it by the same code.
        // git resolves a branch to its commit, reads only, and is asked nowhere else.
        files: &["crates/fake-aws/src/moto.rs", "crates/cli/src/git.rs"],
        reason: "children are started where their death with the parent, their arguments and their \
                 secrets are looked after: helm-wrapper, local, tools, xtask",
    },
    Rule {
        calls: &[
            "std::env",
            "env::var",
            "env::args",
            "env::set_var",
            "env::current_dir",
        ],
        crates: &["cli", "local", "tools", "xtask"],
        files: &[],
        reason: "libraries take what they need as arguments: an embedder has an environment of its \
                 own, and variables that are read all over cannot be listed",
    },
    Rule {
        calls: &[
            "println!",
            "eprintln!",
            "print!",
            "eprint!",
            "io::stdout",
            "io::stderr",
        ],
        crates: &["cli", "local", "xtask"],
        files: &[],
        reason: "events are the only output of libraries; stdout carries the CLI's result",
    },
    Rule {
        calls: &[".unwrap()"],
        crates: &[],
        files: &[],
        reason: "a panic in the middle of a deployment leaves work behind that no one is told of; \
                 an error says what was left",
    },
];

/// Checks one file.
pub(super) fn check(source: &Source) -> Vec<Problem> {
    if is_for_tests(source) {
        return Vec::new();
    }
    let code = product_code(&source.text);
    let mut problems = Vec::new();
    for rule in RULES {
        let allowed = rule.crates.contains(&source.crate_name())
            || rule.files.contains(&source.path.as_str());
        if allowed {
            continue;
        }
        for (number, line) in code.lines().enumerate() {
            if let Some(call) = rule.calls.iter().find(|call| calls(line, call)) {
                let place = format!("{}:{}", source.path, number + 1);
                let what = format!("`{call}` does not belong here");
                problems.push(Problem {
                    place,
                    what,
                    reason: rule.reason,
                });
            }
        }
    }
    problems
}

/// Whether the line has the call, and not the end of a longer name.
fn calls(line: &str, call: &str) -> bool {
    line.match_indices(call).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_') || call.starts_with('.')
    })
}

/// Tests, examples, and code that only tests use.
fn is_for_tests(source: &Source) -> bool {
    let inside = source.inside();
    !inside.starts_with("src/")
        || inside
            .split('/')
            .any(|part| matches!(part, "tests" | "tests.rs" | "testing.rs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(path: &str, text: &str) -> Vec<String> {
        let source = Source {
            path: path.into(),
            text: text.into(),
        };
        check(&source)
            .into_iter()
            .map(|problem| problem.place)
            .collect()
    }

    #[test]
    fn a_call_in_the_wrong_crate_is_found_at_its_line() {
        let spec = "crates/net/src/spec.rs";
        for call in [
            "Command::new(\"helm\")",
            "std::process::Command::new(helm)",
            "std::env::var(\"HOME\")",
            "env::var_os(name)",
            "println!(\"x\")",
            "eprint!(\"x\")",
            "x.unwrap()",
        ] {
            let text = format!("//! Header.\nfn a() {{\n    {call};\n}}\n");
            assert_eq!(places(spec, &text), ["crates/net/src/spec.rs:3"], "{call}");
        }
        for fine in [
            "writeln!(f, \"x\")",
            "x.unwrap_or(1)",
            "x.expect(\"y\")",
            "my_println!()",
        ] {
            assert_eq!(places(spec, fine), [""; 0], "{fine}");
        }
    }

    #[test]
    fn the_owners_of_a_call_may_make_it() {
        for (path, text) in [
            ("crates/helm-wrapper/src/lib.rs", "Command::new(helm)"),
            ("crates/fake-aws/src/moto.rs", "Command::new(python)"),
            (
                "crates/cli/src/main.rs",
                "println!(\"{}\", std::env::args().count())",
            ),
            ("xtask/src/main.rs", "Command::new(cargo); eprintln!()"),
            (
                "crates/net/tests/apply.rs",
                "Command::new(moto); x.unwrap()",
            ),
            ("crates/net/src/plan/tests.rs", "x.unwrap()"),
            (
                "crates/fake-aws/src/testing.rs",
                "std::env::var(\"X\").unwrap()",
            ),
        ] {
            assert_eq!(places(path, text), [""; 0], "{path}");
        }
        assert_eq!(
            places("crates/fake-aws/src/front.rs", "Command::new(x)").len(),
            1
        );
        assert_eq!(places("xtask/src/main.rs", "x.unwrap()").len(), 1);
    }
}
