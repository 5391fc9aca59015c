//! `cargo xtask deploy …` and its kin, with scripts in the place of cargo,
//! trunkline and trunkline-local.

// Clippy's exception for tests does not reach the helpers beside them.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::process::{Command, Output, Stdio};

use support::Machine;

/// A machine on which cargo "builds" the two programs, which note how they were
/// called.
fn machine(trunkline: &str, trunkline_local: &str) -> Machine {
    let machine = Machine::new();
    let note = |name: &str| {
        let log = machine.path("log");
        format!(
            "echo \"{name} $* endpoint=$AWS_ENDPOINT_URL\" >> '{}'\n",
            log.display()
        )
    };
    machine.script("trunkline", &(note("trunkline") + trunkline));
    machine.script(
        "trunkline-local",
        &(note("trunkline-local") + trunkline_local),
    );
    let artifact = |name: &str| {
        let path = machine.path(name);
        format!(
            r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"executable":"{}"}}"#,
            path.display()
        )
    };
    let messages = [artifact("trunkline"), artifact("trunkline-local")].join("\n");
    machine.script("cargo", &format!("cat <<'END'\n{messages}\nEND"));
    machine
}

const STACK: &str = r#"
case $1 in
    up) echo "the stack is up" ;;
    env) echo '{"AWS_ENDPOINT_URL":"http://127.0.0.1:1","TRUNKLINE_CHARTS":"http://127.0.0.1:2"}' ;;
esac
"#;

fn log(machine: &Machine) -> Vec<String> {
    let text = fs::read_to_string(machine.path("log")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn run(machine: &Machine, arguments: &[&str]) -> Output {
    machine
        .xtask(arguments)
        .env_remove("AWS_ENDPOINT_URL")
        .output()
        .unwrap()
}

#[test]
fn a_local_deploy_starts_the_stack_and_bootstraps_first() {
    let machine = machine("echo \"result of $1\"", STACK);
    let arguments = [
        "deploy", "sandbox", "--yes", "--local", "--pace", "instant", "--charts", "/charts",
    ];
    let output = run(&machine, &arguments);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");

    let calls = log(&machine);
    let url = "endpoint=http://127.0.0.1:1";
    assert_eq!(calls.len(), 4, "{calls:?}");
    let up = "trunkline-local up --account 111122223333 --pace instant --charts /charts endpoint=";
    assert_eq!(calls[0], up);
    assert_eq!(calls[1], "trunkline-local env --json endpoint=");
    assert_eq!(calls[2], format!("trunkline bootstrap sandbox {url}"));
    assert!(
        calls[3].starts_with("trunkline deploy sandbox --repository file:///"),
        "{calls:?}"
    );
    assert!(calls[3].ends_with(&format!(" --yes {url}")), "{calls:?}");

    assert_eq!(
        text(&output.stdout),
        "result of deploy\n",
        "stdout is the asked command's"
    );
    for part in ["result of bootstrap", "how long it took", "local stack"] {
        assert!(stderr.contains(part), "`{part}` is not in\n{stderr}");
    }
}

#[test]
fn other_commands_change_nothing_first_and_their_exit_code_is_ours() {
    let machine = machine("exit 3", STACK);
    let output = run(
        &machine,
        &["plan", "sandbox", "--local", "--detailed-exitcode"],
    );
    assert_eq!(output.status.code(), Some(3));
    let calls = log(&machine);
    assert!(
        !calls.iter().any(|call| call.contains("bootstrap")),
        "{calls:?}"
    );
    assert!(calls[2].contains("plan sandbox") && calls[2].contains("--detailed-exitcode"));
}

#[test]
fn without_local_there_is_no_stack() {
    let machine = machine("echo \"helm=$TRUNKLINE_HELM\"", "exit 9");
    let output = run(&machine, &["status", "live", "--json", "--quiet"]);
    let helm = machine.path("bin/helm");
    assert_eq!(text(&output.stdout), format!("helm={}\n", helm.display()));
    assert_eq!(
        log(&machine),
        ["trunkline status live --json --quiet endpoint="]
    );
    assert!(
        !text(&output.stderr).contains("how long"),
        "--quiet is honoured"
    );
}

#[test]
fn a_stack_that_does_not_come_up_is_the_end() {
    let machine = machine("", "echo 'etcd did not start' >&2; exit 1");
    let output = run(&machine, &["deploy", "sandbox", "--local"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("etcd did not start"));
    assert_eq!(log(&machine).len(), 1, "nothing after `up`");
}

#[test]
fn a_mistyped_name_is_found_before_anything_is_built() {
    let machine = machine("", STACK);
    machine.script("cargo", "touch \"$0.ran\"");
    let output = run(&machine, &["deploy", "sandobx", "--local"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("there is no environment file"));
    assert!(!machine.path("cargo.ran").exists());
}

#[test]
fn a_build_that_fails_is_the_end() {
    let machine = machine("", STACK);
    machine.script("cargo", "echo 'error[E0425]' >&2; exit 101");
    let output = run(&machine, &["deploy", "sandbox", "--local"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains("error[E0425]") && stderr.contains("the build failed"),
        "{stderr}"
    );
    assert!(log(&machine).is_empty());
}

#[test]
fn ctrl_c_is_left_to_trunkline() {
    let pid = "trap 'echo stopped cleanly; exit 130' INT\necho $$ > \"$0.pid\"\n";
    let machine = machine(&format!("{pid}while :; do sleep 0.02; done"), STACK);
    let mut command = machine.xtask(&["status", "sandbox"]);
    let xtask = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let child = machine.wait_for("trunkline.pid");
    // A terminal sends it to both; xtask gets it first here, and waits.
    for pid in [xtask.id().to_string(), child.trim().to_owned()] {
        assert!(
            Command::new("kill")
                .args(["-INT", &pid])
                .status()
                .unwrap()
                .success()
        );
    }
    let output = xtask.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(text(&output.stdout), "stopped cleanly\n");
}
