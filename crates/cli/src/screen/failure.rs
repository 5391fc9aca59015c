//! Failures of a run: what failed, what is left, what is safe to do next.

use trunkline_pipeline::{Failure, FailureKind, Run, Step, Verb};

use super::words;
use crate::context::hint;

/// All failures of a run. What was only stopped is not a failure.
pub(crate) fn show(run: &Run, command: &str, environment: &str) -> String {
    let mut text = String::new();
    for (i, failure, tries) in run.report.failures() {
        if failure.kind == FailureKind::Stopped && failure.cause.code.is_empty() {
            continue;
        }
        let took = words::time(run.report.steps[i].took);
        text.push_str(&one(&run.plan.steps[i], failure, tries, &took));
        text.push_str(&format!(
            "  done before: {} steps, all kept\n",
            run.report.done()
        ));
        let again = hint(&format!("{command} {environment}"));
        match &failure.next {
            Some(next) => text.push_str(&format!(
                "  do: {next}\n      then run  {again}   (it goes on from here)\n"
            )),
            None => text.push_str(&format!("  do: run  {again}   (it goes on from here)\n")),
        }
        let address = &run.plan.steps[i].address;
        let more = hint(&format!(
            "history {environment} {} --step {address}",
            run.id
        ));
        text.push_str(&format!("  more: {more}\n"));
    }
    text
}

fn one(step: &Step, failure: &Failure, tries: u32, took: &str) -> String {
    let verb = match step.verb {
        Verb::Create => "made",
        Verb::Update => "changed",
        Verb::Delete => "deleted",
    };
    let cause = &failure.cause;
    let said = match (cause.code.is_empty(), cause.message.is_empty()) {
        (false, false) => format!("{}: {}", cause.code, cause.message),
        (false, true) => cause.code.clone(),
        _ => cause.message.clone(),
    };
    let request = cause
        .request_id
        .as_ref()
        .map_or(String::new(), |id| format!(" (request {id})"));
    let tries = if tries == 1 {
        "1 try".to_owned()
    } else {
        format!("{tries} tries")
    };
    let said = format!(
        "  {} said: {said}{request}, after {tries}, {took}",
        cause.service
    );
    format!(
        "error: {} could not be {verb}\n{}\n  left behind: {}\n",
        words::resource(&step.address),
        words::wrap(&said, words::width(), "    "),
        failure.left,
    )
}
