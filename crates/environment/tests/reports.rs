//! What a person sees who made mistakes: at 80 columns, without colour.

#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking, too

use insta::assert_snapshot;
use trunkline_environment::Environment;

const VALID: &str = r#"environment = "sandbox"
tier = "sandbox"
account = "111122223333"
region = "eu-central-1"

[network]
cidr = "10.20.0.0/16"
zones = ["euc1-az1", "euc1-az2"]
nat = "single"

[cluster]
version = "1.35"
public_access = ["0.0.0.0/0"]

[workloads]
repository = "https://github.com/you/voice"

[redis]
storage_gib = 8
"#;

fn report_of(label: &str, text: &str) -> String {
    let report = Environment::parse(label, text).unwrap_err().render(80);
    for line in report.lines() {
        assert!(line.chars().count() <= 80, "too long: {line}");
    }
    report
}

/// The report for the valid file with one text replaced by another.
fn report(from: &str, to: &str) -> String {
    assert!(VALID.contains(from), "{from}");
    report_of("environments/sandbox.toml", &VALID.replace(from, to))
}

/// What is said to each of `wrong` in the place of `from`: the text, then the
/// sentences of all mistakes.
fn table<S: AsRef<str>>(from: &str, wrong: &[S]) -> String {
    assert!(VALID.contains(from), "{from}");
    let mut table = String::new();
    for to in wrong {
        let to = to.as_ref();
        let text = VALID.replace(from, to);
        let mistakes = Environment::parse("environments/sandbox.toml", &text).unwrap_err();
        table.push_str(&format!("{to}\n"));
        for mistake in mistakes.all() {
            table.push_str(&format!("    {mistake}\n"));
        }
    }
    table
}

#[test]
fn the_valid_file_is_valid() {
    assert!(Environment::parse("sandbox.toml", VALID).is_ok());
}

#[test]
fn all_at_once() {
    let text = VALID
        .replace("10.20.0.0/16", "10.20.0.0/15")
        .replace("nat = ", "nta = ")
        .replace("\"1.35\"", "1.35")
        .replace("111122223333", "1111-2222-3333")
        .replace("euc1-az2", "use1-az2")
        .replace("[redis]", "[rediss]");
    assert_snapshot!(report_of("environments/sandbox.toml", &text));
}

#[test]
fn an_empty_file() {
    assert_snapshot!(report_of("environments/sandbox.toml", ""));
}

#[test]
fn broken_syntax_hides_only_what_follows_from_it() {
    let text = VALID
        .replace("tier = \"sandbox\"", "tier = sandbox")
        .replace("[network]", "[network")
        .replace("\"1.35\"", "\"1.5\"");
    assert_snapshot!(report_of("environments/sandbox.toml", &text));
}

#[test]
fn a_field_twice() {
    assert_snapshot!(report(
        "tier = \"sandbox\"",
        "tier = \"sandbox\"\ntier = \"live\""
    ));
}

#[test]
fn live_must_say_who_reaches_it() {
    let text = VALID
        .replace("\"sandbox\"", "\"live\"")
        .replace("public_access = [\"0.0.0.0/0\"]\n", "");
    assert_snapshot!(report_of("live.toml", &text));
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let report = report("\"single\"", "\"sin\u{7f}\u{9b}31mgle\"");
    assert!(!report.chars().any(|c| c.is_control() && c != '\n'));
}

#[test]
fn miette_shows_the_same() {
    let text = VALID.replace("10.20.0.0/16", "10.20.0.0/15");
    let mistakes = Environment::parse("environments/sandbox.toml", &text).unwrap_err();
    let mut drawn = String::new();
    miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor())
        .with_width(80)
        .render_report(&mut drawn, &mistakes)
        .unwrap();
    assert_snapshot!(drawn);
}

#[test]
fn names() {
    assert_snapshot!(table(
        "environment = \"sandbox\"",
        &[
            "environment = \"Sand_Box\"",
            "environment = \"sandbox-\"",
            "environment = \"sandbox2\"",
            "environment = \"a-name-that-is-too-long\"",
            "environment = \"\"",
        ]
    ));
}

#[test]
fn a_name_too_long_for_the_buckets_of_a_region() {
    let name = "nineteen-characters";
    let text = VALID
        .replace(
            "environment = \"sandbox\"",
            &format!("environment = \"{name}\""),
        )
        .replace("eu-central-1", "ap-southeast-2")
        .replace("euc1", "apse2");
    assert_snapshot!(report_of(&format!("{name}.toml"), &text));
}

#[test]
fn accounts() {
    assert_snapshot!(table(
        "\"111122223333\"",
        &[
            "111122223333",
            "\"11112222333\"",
            "\"1111 2222 3333\"",
            "\"sandbox\""
        ]
    ));
}

#[test]
fn regions() {
    assert_snapshot!(table(
        "\"eu-central-1\"",
        &["\"eu-centrl-1\"", "\"eu-central-1a\"", "\"Frankfurt\""]
    ));
}

#[test]
fn ranges() {
    assert_snapshot!(table(
        "10.20.0.0/16",
        &[
            "10.20.0.0",
            "10.20.0.0/33",
            "fd00::/56",
            "10.20.0.0/15",
            "10.20.30.40/16",
            "10.20.0.0/24",
            "10.0.0.0/8",
            "8.8.0.0/16",
            "172.20.0.0/16",
            "172.20.16.0/20",
            "172.16.0.0/12",
        ]
    ));
}

#[test]
fn zones() {
    let seven: Vec<String> = (1..=7).map(|zone| format!("\"euc1-az{zone}\"")).collect();
    assert_snapshot!(table(
        "[\"euc1-az1\", \"euc1-az2\"]",
        &[
            "[\"euc1-az1\"]",
            "[]",
            "\"euc1-az1\"",
            "2",
            "[1, \"euc1-az2\", true]",
            "[\"euc1-az1\", \"euc1-az1\"]",
            "[\"eu-central-1a\", \"use1-az1\"]",
            &format!("[{}]", seven.join(", ")),
        ]
    ));
}

#[test]
fn zones_without_clusters() {
    let text = VALID
        .replace("eu-central-1", "us-east-1")
        .replace("euc1-az1", "use1-az1")
        .replace("euc1-az2", "use1-az3");
    assert_snapshot!(report_of("sandbox.toml", &text));
}

#[test]
fn versions() {
    assert_snapshot!(table(
        "\"1.35\"",
        &[
            "1.35",
            "\"1.35.2\"",
            "\"v1.35\"",
            "\"1.29\"",
            "\"1.99\"",
            "\"latest\""
        ]
    ));
}

#[test]
fn versions_of_the_chart() {
    let chart = |version: &str| format!("[argo_cd]\nversion = \"{version}\"\n[redis]");
    assert_snapshot!(table("[redis]", &["v3.4.4", "9.1.0", "10.1"].map(chart)));
}

#[test]
fn endpoint_ranges() {
    assert_snapshot!(table(
        "[\"0.0.0.0/0\"]",
        &[
            "[\"203.0.113.7/24\", \"10.0.0.0/8\", \"x\"]",
            "[\"203.0.113.0/24\", \"203.0.113.0/24\"]",
            "\"0.0.0.0/0\"",
        ]
    ));
}

#[test]
fn admins() {
    let ops = "arn:aws:iam::111122223333:role/ops";
    let admins = |arns: &[&str]| format!("admins = {arns:?}\n[workloads]");
    assert_snapshot!(table(
        "[workloads]",
        &[
            admins(&["ops"]),
            admins(&["arn:aws:sts::111122223333:assumed-role/ops/alice"]),
            admins(&["arn:aws:iam::111122223333:group/ops"]),
            admins(&["arn:aws-cn:iam::111122223333:role/ops"]),
            admins(&[ops, ops]),
            admins(&[ops, "arn:aws:iam::444455556666:role/team/Ops"]),
        ]
    ));
}

#[test]
fn repositories() {
    assert_snapshot!(table(
        "https://github.com/you/voice",
        &[
            "http://github.com/you/voice",
            "https://token@github.com/you/voice",
            "https://user:secret@github.com/you/voice",
            "github.com/you/voice",
            "file:///srv/voice",
            "https://github.com",
            "https://github.com/you/my voice",
        ]
    ));
}

#[test]
fn folders_and_revisions() {
    let field = |field: &str| format!("{field}\n\n[redis]");
    assert_snapshot!(table(
        "\n[redis]",
        &[
            "path = \"/gitops\"",
            "path = \"../gitops\"",
            "path = \"\"",
            "revision = \"-x\"",
            "revision = \"\"",
            "revision = \"a b\"",
        ]
        .map(field)
    ));
}

#[test]
fn sizes() {
    assert_snapshot!(table(
        "storage_gib = 8",
        &[
            "storage_gib = 0",
            "storage_gib = -1",
            "storage_gib = \"8\"",
            "storage_gib = 8.5",
            "storage_gib = 20000",
        ]
    ));
}

#[test]
fn good_repositories_are_taken() {
    for url in [
        "ssh://git@github.com/you/voice.git",
        "git@github.com:you/voice.git",
    ] {
        let text = VALID.replace("https://github.com/you/voice", url);
        assert!(Environment::parse("sandbox.toml", &text).is_ok(), "{url}");
    }
}
