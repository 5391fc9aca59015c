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
        let done = words::count(run.report.done(), "step");
        text.push_str(&format!("  done before: {done}, all kept\n"));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use trunkline_engine::{
        Action, Cause, CriticalPath, DeleteOrder, Draft, Ended, Outcome, Plan, Report,
    };

    use super::*;

    fn run(failure: Failure) -> Run {
        let step = |verb, address: &str| {
            let action = Action {
                layer: "x".into(),
                version: 1,
                body: serde_json::Value::Null,
            };
            Step::new(verb, address.parse().unwrap(), "x", action)
        };
        let steps = vec![
            step(Verb::Create, "net/elastic-ip/euc1-az3"),
            step(Verb::Create, "net/nat-gateway/euc1-az3")
                .after(["net/elastic-ip/euc1-az3".parse().unwrap()]),
        ];
        let draft = Draft {
            steps,
            ..Draft::default()
        };
        let ended = |outcome, seconds| Ended {
            outcome,
            took: Duration::from_secs(seconds),
        };
        let report = Report {
            steps: vec![
                ended(Outcome::Done, 1),
                ended(Outcome::Failed(failure, 1), 3),
            ],
            took: Duration::from_secs(4),
            critical_path: CriticalPath {
                steps: vec![0, 1],
                estimate: Duration::from_secs(4),
            },
            outputs: trunkline_ids::Outputs::new(),
        };
        Run {
            id: "01KAS0R2T0000000000000000A".parse().unwrap(),
            plan: Plan::assemble([draft], &DeleteOrder::default(), 0).unwrap(),
            report,
            left: None,
            afterwards: vec![],
        }
    }

    #[test]
    fn a_failure_says_what_failed_what_is_left_and_what_to_do() {
        let cause = Cause {
            service: "EC2".into(),
            action: "CreateNatGateway".into(),
            code: "NatGatewayLimitExceeded".into(),
            message: "Performing this operation would exceed the limit of 5 NAT gateways".into(),
            request_id: Some("4f1c2a7e-0000-4000-8000-000000000000".into()),
        };
        let failure = Failure::new(FailureKind::Quota, cause)
            .remains("elastic ip euc1-az3 (marked, the next run uses it)")
            .next(
                "raise the quota \"NAT gateways per Availability Zone\", or set nat = \"single\"",
            );
        insta::assert_snapshot!(show(&run(failure), "deploy", "sandbox"));
    }

    #[test]
    fn what_was_only_stopped_is_no_failure() {
        assert_eq!(
            show(&run(Failure::stopped("Ctrl-C")), "deploy", "sandbox"),
            ""
        );
    }
}
