//! The commands on an environment: builds `trunkline` and runs it, and with
//! `--local` the local stack first. It is the same trunkline either way, pointed
//! at the stack by environment variables alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};
use trunkline_tools::Tool;

use crate::arguments::{OnEnvironment, Verb};
use crate::cargo::{self, Programs};
use crate::run;
use crate::timing::Timing;

/// Carries the command out.
pub(crate) fn run(verb: Verb, on: &OnEnvironment) -> Result<ExitCode> {
    let mut timing = Timing::start();
    let result = if on.local {
        local(verb, on, &mut timing)
    } else {
        real(verb, on, &mut timing)
    };
    if !on.rest.iter().any(|argument| argument == "--quiet") {
        timing.print();
    }
    result.map(run::exit_code)
}

/// Runs trunkline against what the caller's own environment points at.
fn real(verb: Verb, on: &OnEnvironment, timing: &mut Timing) -> Result<ExitStatus> {
    let helm = [Tool::Helm];
    let (messages, tools) =
        cargo::alongside_tools(vec![cargo::build(&["trunkline-cli"])], &helm, timing)?;
    let programs = cargo::programs_in(&messages);
    let mut command = Command::new(program(&programs, "trunkline")?);
    command.arg(verb.word()).arg(&on.environment);
    if let Some(charts) = &on.charts {
        command.arg("--charts").arg(charts);
    }
    if std::env::var_os("TRUNKLINE_HELM").is_none() {
        command.envs(tools.first().map(|helm| ("TRUNKLINE_HELM", &helm.path)));
    }
    run::leave_interrupts_to_the_child()?;
    timing.part(verb.word(), || run::status(command.args(&on.rest)))
}

/// Variables that would lead a rehearsal, or a part of it, to the real AWS.
const PRIVATE: [&str; 9] = [
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_ENDPOINT_URL_EC2",
    "AWS_ENDPOINT_URL_EKS",
    "AWS_ENDPOINT_URL_IAM",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_STS",
];

/// Runs trunkline against the local stack, which is started if it is not up.
fn local(verb: Verb, on: &OnEnvironment, timing: &mut Timing) -> Result<ExitStatus> {
    // Before anything is built: a mistyped name should not cost minutes.
    let account = account_of(&file_of(&on.environment)?)?;
    let (messages, _) =
        cargo::alongside_tools(vec![cargo::build(&cargo::PROGRAMS)], &Tool::ALL, timing)?;
    let programs = cargo::programs_in(&messages);
    let stack = Stack {
        program: program(&programs, "trunkline-local")?,
        on,
    };
    let trunkline = program(&programs, "trunkline")?;

    run::leave_interrupts_to_the_child()?;
    let up = timing.part("local stack", || run::status(&mut stack.up(&account)))?;
    if !up.success() {
        return Ok(up);
    }
    let variables = stack.variables()?;
    let here = |verb: Verb| {
        let mut command = Command::new(&trunkline);
        // Of the person's own AWS nothing may reach a rehearsal.
        for name in PRIVATE {
            command.env_remove(name);
        }
        command
            .arg(verb.word())
            .arg(&on.environment)
            .envs(&variables)
            .env("TRUNKLINE_RUN_AS", on.run_as());
        if matches!(verb, Verb::Deploy | Verb::Plan) {
            let checkout = cargo::checkout().display();
            command
                .arg("--repository")
                .arg(format!("file://{checkout}"))
                // What is committed here, on whatever branch.
                .args(["--revision", "HEAD"]);
        }
        command
    };
    if verb == Verb::Deploy {
        let mut command = here(Verb::Bootstrap);
        let status = timing.part("bootstrap", || run::status(aside(&mut command)))?;
        if !status.success() {
            return Ok(status);
        }
    }
    timing.part(verb.word(), || run::status(here(verb).args(&on.rest)))
}

impl OnEnvironment {
    /// How trunkline's hints name a command: as the person would type it here.
    fn run_as(&self) -> String {
        let name = self
            .name
            .as_ref()
            .map_or_else(String::new, |n| format!(" --name {n}"));
        format!("cargo xtask {{}} --local{name}")
    }
}

/// A local stack.
struct Stack<'a> {
    program: PathBuf,
    on: &'a OnEnvironment,
}

impl Stack<'_> {
    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(verb);
        if let Some(name) = &self.on.name {
            command.arg("--name").arg(name);
        }
        command
    }

    fn up(&self, account: &str) -> Command {
        let mut command = self.command("up");
        command.arg("--account").arg(account);
        if let Some(pace) = &self.on.pace {
            command.arg("--pace").arg(pace);
        }
        if let Some(charts) = &self.on.charts {
            command.arg("--charts").arg(charts);
        }
        // What it is made of is told by `trunkline-local status`.
        command.stdout(Stdio::null());
        command
    }

    /// The variables that point trunkline at the stack.
    fn variables(&self) -> Result<BTreeMap<String, String>> {
        let mut command = self.command("env");
        let output = command
            .arg("--json")
            .stderr(Stdio::inherit())
            .output()
            .context("trunkline-local cannot be started")?;
        if !output.status.success() {
            bail!(
                "the local stack does not say how it is reached ({})",
                output.status
            );
        }
        serde_json::from_slice(&output.stdout).context("the local stack's variables cannot be read")
    }
}

/// Lets a command of ours that comes before the asked one print on stderr, so
/// that stdout is the asked one's alone.
fn aside(command: &mut Command) -> &mut Command {
    command.stdout(Stdio::from(std::io::stderr()))
}

fn program(programs: &Programs, name: &str) -> Result<PathBuf> {
    programs
        .get(name)
        .cloned()
        .with_context(|| format!("the build made no program `{name}`"))
}

/// The environment's file: a path if it looks like one, else by name in the
/// checkout.
fn file_of(environment: &str) -> Result<PathBuf> {
    let is_path = environment.contains('/') || environment.ends_with(".toml");
    let file = if is_path {
        PathBuf::from(environment)
    } else {
        cargo::checkout()
            .join("environments")
            .join(format!("{environment}.toml"))
    };
    if !file.is_file() {
        bail!("there is no environment file {}", file.display());
    }
    Ok(file)
}

/// The account that the file pins, which the local AWS then is. Only that line
/// is read here: everything else about the file is trunkline's to judge.
fn account_of(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("{} cannot be read", file.display()))?;
    account_in(&text).with_context(|| {
        format!(
            "{} has no line `account = \"<12 digits>\"` at its top",
            file.display()
        )
    })
}

fn account_in(text: &str) -> Option<String> {
    let top = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with('['));
    let values = top.filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "account").then_some(value.trim())
    });
    values
        .filter_map(|value| {
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            value[1..].split(quote).next()
        })
        .find(|value| value.len() == 12 && value.bytes().all(|b| b.is_ascii_digit()))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_read_from_the_top_of_the_file() {
        for text in [
            "environment = \"sandbox\"\naccount = \"111122223333\" # ours\n[network]\n",
            "  account='111122223333'",
        ] {
            assert_eq!(account_in(text).as_deref(), Some("111122223333"), "{text}");
        }
        for text in [
            "",
            "account = 111122223333",
            "account = \"1111\"",
            "# account = \"111122223333\"",
            "[network]\naccount = \"111122223333\"",
            "account_id = \"111122223333\"",
            "account = \"",
        ] {
            assert_eq!(account_in(text), None, "{text}");
        }
    }

    #[test]
    fn the_environments_of_the_checkout_are_found() {
        for name in ["sandbox", "live"] {
            account_of(&file_of(name).unwrap()).unwrap();
        }
        let error = file_of("sandobx").unwrap_err().to_string();
        assert!(error.contains("environments/sandobx.toml"), "{error}");
    }
}
