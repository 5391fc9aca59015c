//! Exit codes, and errors in words. The full chain is printed once.

use std::process::ExitCode;

use trunkline_pipeline::{Failure, FailureKind, Holding, Mistakes, PipelineError};

use crate::{context::hint, screen::words};

/// Done, or nothing to do.
pub(crate) const DONE: u8 = 0;
/// Failed.
pub(crate) const FAILED: u8 = 1;
/// Wrong usage or input; nothing was changed.
pub(crate) const WRONG: u8 = 2;
/// There are changes (`plan --detailed-exitcode`).
pub(crate) const CHANGES: u8 = 3;
/// Somebody else holds the lease.
pub(crate) const TAKEN: u8 = 4;
/// Something could not be read; nothing was changed.
pub(crate) const UNKNOWN: u8 = 5;
/// Stopped by Ctrl-C.
pub(crate) const STOPPED: u8 = 130;

/// Wrong usage or input, in words that say what to do.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

/// Prints an error and gives its code.
pub(crate) fn of(error: &anyhow::Error) -> ExitCode {
    let (text, code) = report(error);
    tell!("{text}");
    ExitCode::from(code)
}

fn report(error: &anyhow::Error) -> (String, u8) {
    if let Some(mistakes) = error.downcast_ref::<Mistakes>() {
        let report = mistakes.render(words::width());
        return (report.trim_end().to_owned(), WRONG);
    }
    if let Some(Wrong(text)) = error.downcast_ref() {
        return (format!("error: {text}\nnothing was changed"), WRONG);
    }
    if let Some(error) = error.downcast_ref::<PipelineError>() {
        return pipeline(error);
    }
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failed(failure);
    }
    (format!("error: {error:#}"), FAILED)
}

fn pipeline(error: &PipelineError) -> (String, u8) {
    let unchanged = |text: String, code| (format!("error: {text}\nnothing was changed"), code);
    match error {
        PipelineError::WrongAccount { .. } => unchanged(
            format!("{error}\n  do: use credentials of the pinned account, or change `account`"),
            WRONG,
        ),
        PipelineError::Spec(_) => unchanged(error.to_string(), WRONG),
        PipelineError::Preflight(problems) => {
            let problems = list(problems.iter());
            unchanged(format!("AWS cannot make this\n{problems}"), WRONG)
        }
        PipelineError::Unknown(all) => {
            let lines: Vec<String> = all.iter().map(|(a, why)| format!("{a}: {why}")).collect();
            unchanged(
                format!("could not read what is there\n{}", list(lines.iter())),
                UNKNOWN,
            )
        }
        PipelineError::NotBootstrapped {
            environment,
            bucket,
        } => unchanged(
            format!(
                "the ledger {bucket} is not there\n  do: {}",
                hint(&format!("bootstrap {environment}"))
            ),
            WRONG,
        ),
        PipelineError::Taken(holding) => (taken(holding), TAKEN),
        PipelineError::Changed(_) => {
            unchanged(format!("{error}\n  do: look at the plan again"), FAILED)
        }
        PipelineError::LosesData(all) => {
            let lines: Vec<String> = all.iter().map(|(a, what)| format!("{a}: {what}")).collect();
            let lines = list(lines.iter());
            unchanged(
                format!("data would be lost\n{lines}\n  do: add --delete-data"),
                WRONG,
            )
        }
        PipelineError::Entered(inner) => {
            let (text, code) = pipeline(inner);
            let told = "our access entry was made, nothing else was changed";
            (text.replace("nothing was changed", told), code)
        }
        PipelineError::Plan(_) => unchanged(format!("{error}: this is a bug"), FAILED),
        PipelineError::Failed(failure) => failed(failure),
    }
}

fn failed(failure: &Failure) -> (String, u8) {
    let mut text = format!("error: {failure}");
    if let Some(next) = &failure.next {
        text.push_str(&format!("\n  do: {next}"));
    }
    let code = if failure.kind == FailureKind::Stopped {
        STOPPED
    } else {
        FAILED
    };
    (text, code)
}

fn taken(holding: &Holding) -> String {
    let since = holding.since.map_or_else(String::new, |since| {
        format!(", since {}", words::ago(jiff::Timestamp::now(), since))
    });
    let run = holding
        .run
        .map_or_else(String::new, |run| format!("run {run}"));
    format!(
        "{} is being {} by {} ({run}{since}, last sign {} ago)\n\
         wait: --wait 20m   ·   it expires by itself {} after its last sign",
        holding.environment,
        holding.doing,
        holding.holder,
        words::time(holding.last_sign),
        words::time(holding.expiry),
    )
}

fn list<'a>(lines: impl Iterator<Item = &'a String>) -> String {
    let lines: Vec<String> = lines.map(|line| format!("  {line}")).collect();
    lines.join("\n")
}
