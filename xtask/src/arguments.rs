//! The command line.

use std::ffi::{OsStr, OsString};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Development commands of Trunkline.
#[derive(Debug, Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) task: Task,
}

/// What is to be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Make the environment what its file says.
    Deploy(OnEnvironment),
    /// Show what a deploy would do.
    Plan(OnEnvironment),
    /// Show how the environment is.
    Status(OnEnvironment),
    /// Remove the environment.
    Destroy(OnEnvironment),
    /// Make what every other command needs: the ledger.
    Bootstrap(OnEnvironment),
    /// Show earlier runs.
    History(OnEnvironment),
    /// Write a kubeconfig for the environment's cluster.
    Kubeconfig(OnEnvironment),
    /// See to it that the local stack's tools are there, and list them.
    Tools {
        /// Only these.
        names: Vec<String>,
    },
    /// Run the tests and count them.
    Test {
        /// Only the tests inside of the crates: they need no tools and take seconds.
        #[arg(long, conflicts_with = "thorough")]
        unit: bool,
        /// More cases of each property, and the sweeps that take long.
        #[arg(long)]
        thorough: bool,
        /// Arguments for `cargo test`.
        #[arg(last = true)]
        rest: Vec<OsString>,
    },
    /// Check the rules that keep the workspace in shape.
    Tidy,
    /// Run what CI runs.
    Ci,
}

/// The commands on an environment, which `trunkline` carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Verb {
    Deploy,
    Plan,
    Status,
    Destroy,
    Bootstrap,
    History,
    Kubeconfig,
}

impl Verb {
    /// The word for it on trunkline's command line.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Plan => "plan",
            Self::Status => "status",
            Self::Destroy => "destroy",
            Self::Bootstrap => "bootstrap",
            Self::History => "history",
            Self::Kubeconfig => "kubeconfig",
        }
    }
}

/// On which environment, and where it is.
#[derive(Debug, Args)]
pub(crate) struct OnEnvironment {
    /// A name (environments/NAME.toml) or the path of a file.
    pub(crate) environment: String,
    /// On this machine, against a local AWS.
    #[arg(long)]
    pub(crate) local: bool,
    /// Which local stack.
    #[arg(long, requires = "local")]
    pub(crate) name: Option<String>,
    /// How fast the local AWS works: `instant`, or published durations divided by N.
    #[arg(long, requires = "local")]
    pub(crate) pace: Option<String>,
    /// Where charts come from: a folder or a repository's address.
    #[arg(long)]
    pub(crate) charts: Option<OsString>,
    /// Everything else is passed on to `trunkline`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) rest: Vec<OsString>,
}

/// The options of ours that may stand anywhere, and whether they take a value.
const OURS: [(&str, bool); 4] = [
    ("--local", false),
    ("--name", true),
    ("--pace", true),
    ("--charts", true),
];

/// Moves our own options before those that are passed on, so that
/// `destroy sandbox --yes --local` means what it says. What follows `--` is
/// passed on as it is.
pub(crate) fn ours_first(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments = arguments.fuse();
    let (mut first, mut rest) = (Vec::new(), Vec::new());
    first.extend(arguments.next());
    let Some(task) = arguments.next() else {
        return first;
    };
    let passes_on = Verb::value_variants()
        .iter()
        .any(|verb| task == verb.word());
    first.push(task);
    if !passes_on {
        first.extend(arguments);
        return first;
    }
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            rest.extend(arguments);
            break;
        }
        match OURS.iter().find(|(name, _)| is_option(&argument, name)) {
            Some((name, takes_value)) => {
                let alone = argument == **name;
                first.push(argument);
                if *takes_value && alone {
                    first.extend(arguments.next());
                }
            }
            None => rest.push(argument),
        }
    }
    first.extend(rest);
    first
}

/// Whether the argument is `--name` or `--name=…`.
fn is_option(argument: &OsStr, name: &str) -> bool {
    let text = argument.to_string_lossy();
    text.strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Arguments, clap::Error> {
        let words = std::iter::once("xtask").chain(line.split_whitespace());
        Arguments::try_parse_from(ours_first(words.map(OsString::from)))
    }

    fn on(line: &str) -> OnEnvironment {
        match parsed(line).unwrap().task {
            Task::Deploy(on) | Task::Plan(on) | Task::Destroy(on) | Task::History(on) => on,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn our_options_may_stand_anywhere() {
        for line in [
            "destroy sandbox --local --yes --name two",
            "destroy --local sandbox --yes --name=two",
            "destroy sandbox --yes --name two --local",
            "destroy --name two --local sandbox -- --yes",
        ] {
            let on = on(line);
            assert!(on.local, "{line}");
            assert_eq!(on.environment, "sandbox", "{line}");
            assert_eq!(on.name.as_deref(), Some("two"), "{line}");
            assert_eq!(on.rest, ["--yes"], "{line}");
        }
    }

    #[test]
    fn the_rest_is_passed_on_in_its_order() {
        let on = on("history sandbox show 01J --step net/nat-gateway/c -- --local");
        assert_eq!(
            on.rest,
            ["show", "01J", "--step", "net/nat-gateway/c", "--local"]
        );
        assert!(!on.local);
    }

    #[test]
    fn options_of_the_local_stack_need_it() {
        let error = parsed("plan sandbox --pace instant")
            .unwrap_err()
            .to_string();
        assert!(error.contains("--local"), "{error}");
        assert!(parsed("plan").is_err());
        assert!(parsed("tidy --local").is_err());
        assert!(parsed("plan sandbox --charts /charts").is_ok());
    }
}
