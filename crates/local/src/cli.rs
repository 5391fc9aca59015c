//! The command line: arguments, words and exit codes.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use trunkline_fake_aws::faults::Pace;

use crate::down::{self, Stopped};
use crate::options::{account_id, charts};
use crate::paths::Paths;
use crate::state::Standing;
use crate::toolbox::GivenTool;
use crate::up::{self, Contradiction, Outcome, Wish};
use crate::{daemon, environment, status};

/// The local stack of Trunkline: an emulated AWS, real Kubernetes control
/// planes with simulated nodes, the real Argo CD. All on 127.0.0.1.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage (nothing changed), 130
/// interrupted. `status` gives 1 where not everything runs.
#[derive(Debug, Parser)]
#[command(name = "trunkline-local", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a stack and wait until all of it is ready.
    Up(Up),
    /// Stop a stack; its data goes, its logs stay.
    Down(Stack),
    /// Show what of a stack runs and where.
    Status(Shown),
    /// Print the environment that points a shell or an SDK at a stack.
    Env(Shown),
    /// Stop a stack and start it anew, empty, with the same options.
    Reset(Stack),
    /// Be the daemon of a stack.
    #[command(hide = true)]
    Serve(Stack),
}

#[derive(Debug, Args)]
struct Stack {
    /// Which stack: several run side by side under different names.
    #[arg(long, default_value = "default")]
    name: String,
}

#[derive(Debug, Args)]
struct Shown {
    #[command(flatten)]
    stack: Stack,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Up {
    #[command(flatten)]
    shown: Shown,
    /// The AWS account that the stack stands in for (default 111122223333).
    #[arg(long, value_parser = account_id)]
    account: Option<String>,
    /// `instant` (default), or a number by which the times that AWS takes are
    /// divided.
    #[arg(long)]
    pace: Option<Pace>,
    /// Upstream charts, a folder or a repository's URL; stand-ins for the rest.
    #[arg(long, value_name = "DIR|URL", value_parser = charts)]
    charts: Option<String>,
    /// The port of the AWS front (default: a free one).
    #[arg(long)]
    port: Option<u16>,
    /// Take this program for a tool, instead of the one of PATH or the cache.
    #[arg(long = "tool", value_name = "NAME=PATH")]
    tools: Vec<GivenTool>,
}

/// Runs the program: results go to `out`, everything else to `err`.
pub fn main(
    args: impl IntoIterator<Item = OsString>,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap, with exit code 0.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    run(cli.command, out, err).unwrap_or_else(|error| {
        let _ = writeln!(err, "error: {error:#}");
        ExitCode::from(if error.is::<Contradiction>() { 2 } else { 1 })
    })
}

fn run(
    command: Command,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> Result<ExitCode> {
    match command {
        Command::Up(up) => start(up, out, err),
        Command::Down(Stack { name }) => {
            let paths = Paths::of(&name)?;
            let _lock = down::command_lock(&paths, err)?;
            match down::stop(&paths)? {
                Stopped::Nothing => writeln!(out, "{name} is not up")?,
                Stopped::LeftOvers => writeln!(out, "cleared away what was left of {name}")?,
                Stopped::Stack => writeln!(out, "{name} is down")?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Status(Shown {
            stack: Stack { name },
            json,
        }) => {
            let paths = Paths::of(&name)?;
            let whole = status::print(&name, &paths, &Standing::of(&paths)?, json, out)?;
            Ok(ExitCode::from(u8::from(!whole)))
        }
        Command::Env(Shown {
            stack: Stack { name },
            json,
        }) => {
            environment::print(&Standing::of(&Paths::of(&name)?)?, json, out)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Reset(Stack { name }) => {
            let paths = Paths::of(&name)?;
            let outcome = up::reset(&paths, err)?;
            let shown = Shown {
                stack: Stack { name },
                json: false,
            };
            finish(outcome, &shown, &paths, out, err)
        }
        Command::Serve(Stack { name }) => {
            log_to_stderr();
            // Its error was told through the pipe and the log.
            Ok(daemon::serve(&name, out).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
        }
    }
}

fn start(up: Up, out: &mut (dyn Write + Send), err: &mut (dyn Write + Send)) -> Result<ExitCode> {
    let paths = Paths::of(&up.shown.stack.name)?;
    let wish = Wish {
        name: up.shown.stack.name.clone(),
        account: up.account,
        pace: up.pace,
        port: up.port,
        charts: up.charts,
        tools: up.tools,
    };
    let outcome = up::up(&wish, &paths, err)?;
    finish(outcome, &up.shown, &paths, out, err)
}

/// Says how a start ended.
fn finish(
    outcome: Outcome,
    shown: &Shown,
    paths: &Paths,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> Result<ExitCode> {
    let name = &shown.stack.name;
    match outcome {
        Outcome::Interrupted => {
            writeln!(
                err,
                "interrupted: {name} was stopped again, nothing of it runs"
            )?;
            return Ok(ExitCode::from(130));
        }
        Outcome::Already => writeln!(err, "{name} is up already")?,
        Outcome::Started(took) => writeln!(err, "{name} is up ({:.1} s)", took.as_secs_f64())?,
    }
    status::print(name, paths, &Standing::of(paths)?, shown.json, out)?;
    if !shown.json {
        let option = if name == "default" {
            String::new()
        } else {
            format!(" --name {name}")
        };
        writeln!(out, "next: eval \"$(trunkline-local env{option})\"")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The daemon's log: `up` has put a file behind its stderr.
fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env()
        // A server that is not up yet is no error: `ready` tells of what counts.
        .unwrap_or_else(|_| EnvFilter::new("info,kube_client::client::builder=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}
