//! Arguments.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

/// Deploys a voice platform on AWS, survives being killed at any moment, and
/// leaves nothing behind.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, or nothing to do · 1 failed · 2 wrong usage or input, nothing
changed · 3 changes (plan --detailed-exitcode) · 4 somebody else holds the lease ·
5 something could not be read, nothing changed · 130 stopped by Ctrl-C";

/// What every command takes.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Global {
    /// Print the result as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print no progress.
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Where all charts come from: a folder, https://… or oci://… [default:
    /// each from its makers].
    #[arg(long, global = true, env = "TRUNKLINE_CHARTS", value_name = "DIR|URL")]
    pub(crate) charts: Option<String>,
    /// The helm binary, version 4.
    #[arg(
        long,
        global = true,
        env = "TRUNKLINE_HELM",
        value_name = "PATH",
        default_value = "helm"
    )]
    pub(crate) helm: PathBuf,
    /// The Git repository that Argo CD reads, instead of the file's.
    #[arg(long, global = true, env = "TRUNKLINE_REPOSITORY", value_name = "URL")]
    pub(crate) repository: Option<String>,
    /// The branch, tag or commit in it, instead of the file's.
    #[arg(long, global = true, env = "TRUNKLINE_REVISION", value_name = "REV")]
    pub(crate) revision: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make what every run needs and no run deletes: the ledger's bucket.
    Bootstrap(Target),
    /// Show what a deploy would do. Changes nothing.
    Plan(Plan),
    /// Make the environment as its file says.
    Deploy(Deploy),
    /// Show how the environment is.
    Status(Target),
    /// Delete the environment; show what goes and what stays, then ask.
    Destroy(Destroy),
    /// Print a kubeconfig whose tokens this program makes.
    Kubeconfig(Target),
    /// Print a token for kubectl (its exec plugin calls this).
    Token(Target),
    /// Show past runs, or one of them.
    History(History),
}

/// Which environment.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Target {
    /// Its name (environments/NAME.toml, looked for upwards from here), or a
    /// path to its file.
    #[arg(value_name = "ENV")]
    pub(crate) environment: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) target: Target,
    /// Show each field and each rendered object.
    #[arg(long)]
    pub(crate) detail: bool,
    /// Show what a destroy would do instead.
    #[arg(long)]
    pub(crate) destroy: bool,
    /// Exit with 3 when there are changes.
    #[arg(long)]
    pub(crate) detailed_exitcode: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Deploy {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) wait: Wait,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Destroy {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) wait: Wait,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Also delete what holds data: volumes, objects in buckets, a cluster
    /// that is protected.
    #[arg(long)]
    pub(crate) delete_data: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Wait {
    /// Wait so long for the lease when somebody else holds it: 90s, 20m, 1h.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) wait: Option<std::time::Duration>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct History {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The run to show; without it the last runs are listed.
    #[arg(value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Only what happened to this resource.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) step: Option<String>,
    /// How many runs are listed.
    #[arg(long, default_value_t = 20)]
    pub(crate) last: usize,
}

fn time(text: &str) -> Result<std::time::Duration, String> {
    let wrong = || format!("`{text}` is no time: write 90s, 20m or 1h");
    let unit = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(std::time::Duration::from_secs(count * unit))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn times_are_read() {
        assert_eq!(time("20m"), Ok(std::time::Duration::from_secs(1200)));
        for wrong in ["", "20", "m", "-1s", "2 m"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
