//! When an application is really in step with a commit: a pure function of
//! the Application object, without Argo CD's own client.
//!
//! Health alone says nothing (since 3.4 missing resources do not count
//! against it) and a status may still speak of the wish before ours, so all
//! of these must hold: no operation under way, the last one succeeded for our
//! commit and was compared again after it ended, compared against our source,
//! Synced at our commit, Healthy. An application that was in sync from the
//! start never has an operation.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use trunkline_engine::{Cause, Failure, FailureKind};
use trunkline_objects::{Object, Verdict};

/// How long a comparison may fail before it counts: right after its install
/// Argo CD's repository server is not there yet.
const PATIENCE: SignedDuration = SignedDuration::from_secs(60);

/// Whether `application` is in step with `commit`. `written` is when the wish
/// was last written, if that was just now: what Argo CD said before is about
/// an earlier one.
#[must_use]
pub fn judge(
    application: Option<&Object>,
    commit: &str,
    written: Option<Timestamp>,
    now: Timestamp,
) -> Verdict {
    let Some(application) = application else {
        return Verdict::Waiting("the Application is not there".to_owned());
    };
    if let Some(failure) = failed(application, commit, written, now) {
        return Verdict::Failed(failure);
    }
    match missing(application, commit) {
        None => Verdict::Done,
        Some(words) => Verdict::Waiting(words),
    }
}

/// What is still missing, in a few words.
fn missing(application: &Object, commit: &str) -> Option<String> {
    if application.at("/operation").is_some() {
        return Some("Argo CD is about to sync".to_owned());
    }
    if !is_compared_with_our_source(application) {
        return Some("Argo CD has not compared it yet".to_owned());
    }
    if let Some(operation) = application.at("/status/operationState") {
        let phase = text(operation, "/phase");
        if phase != "Succeeded" {
            return Some(format!("sync: {}", doing(operation, phase)));
        }
        let finished = moment(operation, "/finishedAt");
        let compared = moment(application.body(), "/status/reconciledAt");
        if finished.is_none() || compared < finished {
            return Some("Argo CD has not compared it since the sync".to_owned());
        }
    }
    let status = application.text("/status/sync/status").unwrap_or("Unknown");
    let revision = application
        .text("/status/sync/revision")
        .unwrap_or_default();
    if status != "Synced" || revision != commit {
        return Some(format!("{status} at {}", short(revision)));
    }
    let health = application
        .text("/status/health/status")
        .unwrap_or("Unknown");
    (health != "Healthy").then(|| unhealthy(application, health))
}

/// `status.sync.comparedTo` is the source the status speaks of: until it is
/// ours, the status is about an earlier wish.
fn is_compared_with_our_source(application: &Object) -> bool {
    let compared = application.at("/status/sync/comparedTo/source");
    let wished = application.at("/spec/source");
    compared.is_some() && compared == wished
}

/// The first resource that is not healthy, with its own words.
fn unhealthy(application: &Object, health: &str) -> String {
    let resources = application
        .at("/status/resources")
        .and_then(Value::as_array);
    let worst = resources.into_iter().flatten().find(|resource| {
        let health = text(resource, "/health/status");
        !health.is_empty() && health != "Healthy"
    });
    match worst {
        None => health.to_owned(),
        Some(worst) => format!(
            "{health}: {} {} {}",
            text(worst, "/kind"),
            text(worst, "/name"),
            or(
                text(worst, "/health/message"),
                text(worst, "/health/status")
            ),
        ),
    }
}

fn doing<'a>(operation: &'a Value, phase: &'a str) -> &'a str {
    or(text(operation, "/message"), or(phase, "starting"))
}

/// What no waiting will mend.
fn failed(
    application: &Object,
    commit: &str,
    written: Option<Timestamp>,
    now: Timestamp,
) -> Option<Failure> {
    // What is about to be tried outranks what the last try said.
    if application.at("/operation").is_some() {
        return None;
    }
    let conditions = application
        .at("/status/conditions")
        .and_then(Value::as_array);
    for condition in conditions.into_iter().flatten() {
        let name = text(condition, "/type");
        let since = moment(condition, "/lastTransitionTime").max(written);
        let stands = since.is_none_or(|since| now.duration_since(since) > PATIENCE);
        let counts = match name {
            "InvalidSpecError" | "ComparisonError" => stands,
            // Repeated with each retry; the operation's end decides.
            "SyncError" => {
                // Argo CD names the commit: "Failed sync attempt to 0123…".
                text(condition, "/message").contains(commit)
                    && application.text("/status/operationState/phase") != Some("Running")
            }
            _ => false,
        };
        if counts {
            return Some(failure(name, text(condition, "/message")));
        }
    }
    let operation = failed_operation(application, commit)?;
    Some(failure(
        text(operation, "/phase"),
        text(operation, "/message"),
    ))
}

/// The last operation, if it failed for our commit. Argo CD does not try such
/// a commit again by itself: whoever wants it tried starts an operation.
#[must_use]
pub fn failed_operation<'a>(application: &'a Object, commit: &str) -> Option<&'a Value> {
    let operation = application.at("/status/operationState")?;
    let of_ours = text(operation, "/syncResult/revision") == commit
        || text(operation, "/operation/sync/revision") == commit;
    let failed = matches!(text(operation, "/phase"), "Failed" | "Error");
    (of_ours && failed).then_some(operation)
}

fn failure(code: &str, message: &str) -> Failure {
    let cause = Cause {
        service: "Argo CD".to_owned(),
        action: "sync".to_owned(),
        code: code.to_owned(),
        message: message.to_owned(),
        request_id: None,
    };
    Failure::new(FailureKind::Invalid, cause)
        .remains("the Application, as far as Argo CD came with it")
        .next("mend the chart or its values in Git, push, and deploy again")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn moment(value: &Value, pointer: &str) -> Option<Timestamp> {
    text(value, pointer).parse().ok()
}

fn or<'a>(one: &'a str, other: &'a str) -> &'a str {
    if one.is_empty() { other } else { one }
}

/// The first seven digits of a commit, as Git shows it.
#[must_use]
pub fn short(commit: &str) -> &str {
    commit.get(..7).unwrap_or(if commit.is_empty() {
        "no commit"
    } else {
        commit
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::example;

    const COMMIT: &str = "0123456789012345678901234567890123456789";

    fn now() -> Timestamp {
        "2026-11-23T08:10:00Z".parse().unwrap()
    }

    /// An application that is done; tests break one thing each.
    fn done() -> Value {
        let mut spec = example();
        spec.commit = Some(COMMIT.to_owned());
        let mut body = spec.application().into_body();
        body["status"] = json!({
            "reconciledAt": "2026-11-23T08:09:01Z",
            "sync": {
                "status": "Synced",
                "revision": COMMIT,
                "comparedTo": {"source": body["spec"]["source"]},
            },
            "health": {"status": "Healthy"},
            "operationState": {
                "phase": "Succeeded",
                "finishedAt": "2026-11-23T08:09:00Z",
                "syncResult": {"revision": COMMIT},
            },
        });
        body
    }

    fn judged(change: impl FnOnce(&mut Value)) -> Verdict {
        let mut body = done();
        change(&mut body);
        judge(Some(&Object::new(body).unwrap()), COMMIT, None, now())
    }

    fn waits(change: impl FnOnce(&mut Value)) -> String {
        match judged(change) {
            Verdict::Waiting(words) => words,
            other => panic!("expected to wait, got {other:?}"),
        }
    }

    fn fails(change: impl FnOnce(&mut Value)) -> String {
        match judged(change) {
            Verdict::Failed(failure) => failure.to_string(),
            other => panic!("expected a failure, got {other:?}"),
        }
    }

    #[test]
    fn all_of_it_is_done() {
        assert_eq!(judged(|_| ()), Verdict::Done);
    }

    #[test]
    fn in_sync_from_the_start_is_done_without_an_operation() {
        let none = |body: &mut Value| {
            body["status"]
                .as_object_mut()
                .unwrap()
                .remove("operationState");
        };
        assert_eq!(judged(none), Verdict::Done);
    }

    #[test]
    fn each_missing_part_waits() {
        assert!(matches!(
            judge(None, COMMIT, None, now()),
            Verdict::Waiting(_)
        ));
        let operation = waits(|b| b["operation"] = json!({"sync": {}}));
        assert_eq!(operation, "Argo CD is about to sync");
        waits(|b| b["status"] = json!({}));
        waits(|b| b["status"]["sync"]["comparedTo"]["source"]["path"] = json!("charts/other"));
        waits(|b| b["status"]["operationState"]["phase"] = json!("Running"));
        waits(|b| b["status"]["reconciledAt"] = json!("2026-11-23T08:08:59Z"));
        assert_eq!(
            waits(|b| b["status"]["sync"]["status"] = json!("OutOfSync")),
            "OutOfSync at 0123456"
        );
        waits(|b| b["status"]["sync"]["revision"] = json!("f".repeat(40)));
        let progressing = waits(|b| {
            b["status"]["health"]["status"] = json!("Progressing");
            b["status"]["resources"] = json!([
                {"kind": "Service", "name": "redis", "health": {"status": "Healthy"}},
                {"kind": "StatefulSet", "name": "redis",
                 "health": {"status": "Progressing", "message": "waiting for 1 pod"}},
            ]);
        });
        assert_eq!(
            progressing,
            "Progressing: StatefulSet redis waiting for 1 pod"
        );
    }

    #[test]
    fn what_waiting_cannot_mend_fails_at_once() {
        let failed = fails(|b| {
            b["status"]["operationState"]["phase"] = json!("Failed");
            b["status"]["operationState"]["message"] = json!("one or more objects failed to apply");
        });
        assert_eq!(
            failed,
            "Argo CD sync: Failed: one or more objects failed to apply"
        );
        let attempt = format!("Failed sync attempt to {COMMIT}: x");
        fails(|b| b["status"]["conditions"] = json!([{"type": "SyncError", "message": attempt}]));
        let old = json!([{"type": "ComparisonError", "message": "chart is broken",
                          "lastTransitionTime": "2026-11-23T08:08:00Z"}]);
        fails(|b| b["status"]["conditions"] = old);
    }

    #[test]
    fn a_comparison_that_has_just_failed_is_given_time() {
        let young = json!([{"type": "ComparisonError", "message": "connection refused",
                            "lastTransitionTime": "2026-11-23T08:09:50Z"}]);
        assert_eq!(judged(|b| b["status"]["conditions"] = young), Verdict::Done);
    }

    #[test]
    fn what_was_said_of_an_earlier_wish_is_not_about_ours() {
        let mut body = done();
        body["status"]["conditions"] = json!([
            {"type": "SyncError", "message": "Failed sync attempt to fffffff: x"},
            {"type": "ComparisonError", "message": "chart is broken",
             "lastTransitionTime": "2026-11-23T07:00:00Z"},
        ]);
        body["status"]["sync"]["comparedTo"]["source"]["targetRevision"] = json!("f".repeat(40));
        let application = Object::new(body).unwrap();
        let written = Some("2026-11-23T08:09:50Z".parse().unwrap());
        let judged = |written| judge(Some(&application), COMMIT, written, now());
        assert!(matches!(judged(written), Verdict::Waiting(_)));
        // The control: without knowing when it was written, it fails at once.
        assert!(matches!(judged(None), Verdict::Failed(_)));
    }

    #[test]
    fn a_pending_operation_outranks_a_failed_one() {
        let words = waits(|b| {
            b["operation"] = json!({"sync": {}});
            b["status"]["operationState"]["phase"] = json!("Failed");
        });
        assert_eq!(words, "Argo CD is about to sync");
    }

    #[test]
    fn a_failure_of_an_earlier_commit_is_not_ours() {
        waits(|b| {
            b["status"]["operationState"]["phase"] = json!("Failed");
            b["status"]["operationState"]["syncResult"]["revision"] = json!("f".repeat(40));
        });
    }
}
