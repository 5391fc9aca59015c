//! Rollouts: when a Deployment, StatefulSet or DaemonSet is as its spec says.

use std::time::Duration;

use trunkline_engine::{Failure, FailureKind};

use crate::{Cluster, Object, ObjectRef, Verdict, failure::cause};

impl Cluster {
    /// Waits until a Deployment, StatefulSet or DaemonSet is rolled out.
    ///
    /// # Errors
    /// Those of [`Cluster::wait`]; at once when a Deployment's progress deadline
    /// is exceeded.
    pub async fn rolled_out(
        &self,
        target: &ObjectRef,
        within: Duration,
        notify: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<(), Failure> {
        self.wait(target, within, |found| rollout(target, found), notify)
            .await
            .map(|_| ())
    }
}

/// How far the rollout of one object is.
#[must_use]
pub fn rollout(target: &ObjectRef, found: Option<&Object>) -> Verdict {
    let Some(found) = found else {
        return Verdict::Waiting(format!("{} is not there", target.name));
    };
    let number = |pointer: &str| found.number(pointer).unwrap_or(0);
    // A controller that has not seen the newest spec speaks of the one before.
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return Verdict::Waiting(format!("{} is not seen by its controller", target.name));
    }
    match target.kind.kind.as_str() {
        "Deployment" => deployment(found),
        "StatefulSet" => stateful_set(found),
        "DaemonSet" => daemon_set(found),
        other => Verdict::Failed(Failure::bug(format!("a {other} has no rollout"))),
    }
}

fn deployment(found: &Object) -> Verdict {
    if let Some(("False", message)) = found.condition("Progressing") {
        let text = format!("{}: {message}", found.reference());
        let cause = cause("roll out", "ProgressDeadlineExceeded".to_owned(), text);
        return Verdict::Failed(Failure::new(FailureKind::Conflict, cause));
    }
    let wished = found.number("/spec/replicas").unwrap_or(1);
    let status = |name: &str| found.number(&format!("/status/{name}")).unwrap_or(0);
    if status("replicas") > status("updatedReplicas") {
        return Verdict::Waiting(format!(
            "{} has {} old replicas",
            found.name(),
            status("replicas") - status("updatedReplicas")
        ));
    }
    counted(
        found,
        status("updatedReplicas").min(status("availableReplicas")),
        wished,
    )
}

fn stateful_set(found: &Object) -> Verdict {
    let wished = found.number("/spec/replicas").unwrap_or(1);
    let status = |name: &str| found.number(&format!("/status/{name}")).unwrap_or(0);
    let partition = found
        .number("/spec/updateStrategy/rollingUpdate/partition")
        .unwrap_or(0);
    let on_delete = found.text("/spec/updateStrategy/type") == Some("OnDelete");
    if !on_delete && status("updatedReplicas") < wished - partition {
        return counted(
            found,
            status("updatedReplicas").min(status("readyReplicas")),
            wished,
        );
    }
    if status("replicas") > wished {
        return Verdict::Waiting(format!("{} has more replicas than wished", found.name()));
    }
    counted(found, status("readyReplicas"), wished)
}

fn daemon_set(found: &Object) -> Verdict {
    let status = |name: &str| found.number(&format!("/status/{name}")).unwrap_or(0);
    let ready = status("updatedNumberScheduled").min(status("numberAvailable"));
    counted(found, ready, status("desiredNumberScheduled"))
}

fn counted(found: &Object, ready: i64, wished: i64) -> Verdict {
    if ready >= wished {
        Verdict::Done
    } else {
        Verdict::Waiting(format!("{} {ready}/{wished} ready", found.name()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::Kind;

    fn verdict(kind: &str, spec: Value, status: Value) -> Verdict {
        let target = Kind::new("apps/v1", kind).named("a", "b");
        let mut object = Object::build(target.clone(), json!({"spec": spec, "status": status}));
        object = Object::new({
            let mut body = object.into_body();
            body["metadata"]["generation"] = json!(2);
            body
        })
        .unwrap();
        rollout(&target, Some(&object))
    }

    #[test]
    fn a_status_of_an_older_spec_does_not_count() {
        let status = json!({"observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 1});
        assert_eq!(
            verdict("StatefulSet", json!({"replicas": 1}), status),
            Verdict::Waiting("b is not seen by its controller".into())
        );
    }

    #[test]
    fn ready_replicas_are_counted() {
        let status = |ready: i64| {
            json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2,
                   "readyReplicas": ready, "availableReplicas": ready})
        };
        for kind in ["Deployment", "StatefulSet"] {
            let spec = json!({"replicas": 2});
            let one = Verdict::Waiting("b 1/2 ready".into());
            assert_eq!(verdict(kind, spec.clone(), status(1)), one, "{kind}");
            assert_eq!(verdict(kind, spec, status(2)), Verdict::Done, "{kind}");
        }
    }

    #[test]
    fn old_replicas_are_waited_for() {
        let status = json!({"observedGeneration": 2, "replicas": 3, "updatedReplicas": 2,
                            "availableReplicas": 3});
        assert_eq!(
            verdict("Deployment", json!({"replicas": 2}), status),
            Verdict::Waiting("b has 1 old replicas".into())
        );
    }

    #[test]
    fn a_deadline_that_was_exceeded_fails_at_once() {
        let status = json!({"observedGeneration": 2, "conditions": [
            {"type": "Progressing", "status": "False", "message": "has timed out"}]});
        let Verdict::Failed(failure) = verdict("Deployment", json!({}), status) else {
            panic!("waits")
        };
        assert!(failure.to_string().contains("has timed out"));
    }

    #[test]
    fn an_empty_daemon_set_is_done_only_when_seen() {
        assert_eq!(
            verdict("DaemonSet", json!({}), json!({"observedGeneration": 2})),
            Verdict::Done
        );
        let target = Kind::new("apps/v1", "DaemonSet").named("a", "b");
        assert_eq!(
            rollout(&target, None),
            Verdict::Waiting("b is not there".into())
        );
    }
}
