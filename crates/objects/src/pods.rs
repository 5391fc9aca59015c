//! Pods that do not come up: which, since when, and why, before any time-out.

use jiff::Timestamp;
use serde_json::Value;
use trunkline_engine::Failure;

use crate::{Cluster, Kind, Object, Selection};

impl Cluster {
    /// The pods of a selection that are not ready, each with its reason and its
    /// last event, the oldest first. Empty when all of them are well.
    ///
    /// # Errors
    /// When pods or events cannot be listed.
    pub async fn pod_troubles(&self, selection: &Selection) -> Result<Vec<String>, Failure> {
        let mut pods = self.list(&Kind::new("v1", "Pod"), selection).await?;
        pods.sort_by_key(created);
        let troubled: Vec<&Object> = pods.iter().filter(|pod| trouble(pod).is_some()).collect();
        if troubled.is_empty() {
            return Ok(Vec::new());
        }
        let everywhere = Selection {
            labels: String::new(),
            metadata_only: false,
            ..selection.clone()
        };
        let events = self.list(&Kind::new("v1", "Event"), &everywhere).await?;
        let now = Timestamp::now();
        Ok(troubled
            .into_iter()
            .map(|pod| words(pod, &events, now))
            .collect())
    }
}

/// One pod in words: `pod argocd-server-x (for 30 s): Unschedulable: 0/2 nodes …`.
fn words(pod: &Object, events: &[Object], now: Timestamp) -> String {
    let since = created(pod).map_or_else(String::new, |at| since(now.duration_since(at).as_secs()));
    let why = trouble(pod).unwrap_or_default();
    let event = last_event(pod, events).filter(|event| !why.contains(event.as_str()));
    let event = event.map_or_else(String::new, |event| format!("; last event: {event}"));
    format!("pod {}{since}: {why}{event}", pod.name())
}

/// Coarse on purpose: words that change every second would be news every second.
fn since(seconds: i64) -> String {
    match seconds {
        ..30 => String::new(),
        30..60 => " (for 30 s)".to_owned(),
        _ => format!(" (for {} min)", seconds / 60),
    }
}

/// Why a pod is not ready; nothing when it is, or when it ended well.
fn trouble(pod: &Object) -> Option<String> {
    if pod.text("/status/phase") == Some("Succeeded")
        || pod
            .condition("Ready")
            .is_some_and(|(status, _)| status == "True")
    {
        return None;
    }
    if pod.is_deleting() {
        return Some("is going".to_owned());
    }
    let specific = containers(pod)
        .find_map(waiting_reason)
        .or_else(|| unscheduled(pod));
    Some(specific.unwrap_or_else(|| pod.text("/status/phase").unwrap_or("Pending").to_owned()))
}

fn containers(pod: &Object) -> impl Iterator<Item = &Value> {
    ["/status/initContainerStatuses", "/status/containerStatuses"]
        .into_iter()
        .filter_map(|pointer| pod.at(pointer)?.as_array())
        .flatten()
}

/// `redis: CrashLoopBackOff: back-off 5m0s …`, but for what is still starting.
fn waiting_reason(container: &Value) -> Option<String> {
    let name = container["name"].as_str().unwrap_or_default();
    for state in ["waiting", "terminated"] {
        let found = &container["state"][state];
        let reason = found["reason"].as_str().unwrap_or_default();
        if !matches!(
            reason,
            "" | "ContainerCreating" | "PodInitializing" | "Completed"
        ) {
            return Some(joined(&format!("{name}: {reason}"), &found["message"]));
        }
    }
    None
}

fn unscheduled(pod: &Object) -> Option<String> {
    let all = pod.at("/status/conditions")?.as_array()?;
    let found = all
        .iter()
        .find(|one| one["type"] == "PodScheduled" && one["status"] == "False")?;
    Some(joined(
        found["reason"].as_str().unwrap_or("not scheduled"),
        &found["message"],
    ))
}

fn joined(reason: &str, message: &Value) -> String {
    match message.as_str().filter(|message| !message.is_empty()) {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    }
}

/// The newest event about a pod, `FailedMount: …`.
fn last_event(pod: &Object, events: &[Object]) -> Option<String> {
    let about = |event: &&Object| {
        event.text("/involvedObject/uid").is_some()
            && event.text("/involvedObject/uid") == pod.uid()
    };
    let newest = events
        .iter()
        .filter(about)
        .max_by_key(|event| happened(event))?;
    Some(joined(
        newest.text("/reason").unwrap_or("event"),
        newest.at("/message")?,
    ))
}

fn happened(event: &Object) -> Option<Timestamp> {
    [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ]
    .into_iter()
    .find_map(|pointer| event.text(pointer)?.parse().ok())
}

fn created(object: &Object) -> Option<Timestamp> {
    object.text("/metadata/creationTimestamp")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: Value) -> Object {
        Object::new(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "redis-0", "namespace": "redis", "uid": "u",
                         "creationTimestamp": "2026-11-23T08:00:00Z"},
            "status": status,
        }))
        .unwrap()
    }

    fn event(uid: &str, at: &str, reason: &str) -> Object {
        Object::new(json!({
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": reason},
            "involvedObject": {"uid": uid}, "reason": reason, "message": "words",
            "lastTimestamp": at,
        }))
        .unwrap()
    }

    #[test]
    fn ready_and_completed_pods_are_no_trouble() {
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        assert_eq!(trouble(&pod(ready)), None);
        assert_eq!(trouble(&pod(json!({"phase": "Succeeded"}))), None);
    }

    #[test]
    fn the_reason_and_the_last_event_are_said() {
        let crash = pod(json!({"phase": "Running", "containerStatuses": [
            {"name": "redis", "state": {"waiting": {"reason": "CrashLoopBackOff",
                                                     "message": "back-off 10s"}}}]}));
        let events = [
            event("u", "2026-11-23T08:00:09Z", "Newer"),
            event("u", "2026-11-23T08:00:01Z", "Older"),
            event("other", "2026-11-23T08:00:20Z", "Foreign"),
        ];
        let now = "2026-11-23T08:00:40Z".parse().unwrap();
        assert_eq!(
            words(&crash, &events, now),
            "pod redis-0 (for 30 s): redis: CrashLoopBackOff: back-off 10s; \
             last event: Newer: words"
        );
    }

    #[test]
    fn a_pod_without_a_node_says_why() {
        let unscheduled = pod(json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
             "message": "no nodes available"}]}));
        assert_eq!(
            trouble(&unscheduled).unwrap(),
            "Unschedulable: no nodes available"
        );
    }
}
