//! A cluster of the stack: a real control plane that takes the emulator's
//! tokens, and nothing left of it once it is deleted.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Stack, tools_are_here};

/// A client with a token of EKS's kind, as kubectl has one.
async fn client(cluster: &Value, token: &str) -> Client {
    let config: Kubeconfig = serde_json::from_value(json!({
        "clusters": [{ "name": "c", "cluster": {
            "server": cluster["endpoint"], "certificate-authority-data": cluster["ca"],
        } }],
        "users": [{ "name": "u", "user": { "token": token } }],
        "contexts": [{ "name": "x", "context": { "cluster": "c", "user": "u" } }],
        "current-context": "x",
    }))
    .unwrap();
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await;
    Client::try_from(config.unwrap()).unwrap()
}

#[tokio::test]
async fn a_cluster_lives_and_leaves_nothing() {
    if !tools_are_here("a_cluster_lives_and_leaves_nothing") {
        return;
    }
    let stack = Stack::new("cluster");
    stack.done(&["up"]);
    let before = stack.processes().len();
    let made = stack.aws(&["create", "demo", "1.35"]);
    assert_eq!(made["status"], "ACTIVE", "{made}");
    let ca = STANDARD.decode(made["ca"].as_str().unwrap()).unwrap();
    assert!(ca.starts_with(b"-----BEGIN CERTIFICATE-----"));
    assert_eq!(stack.processes().len(), before + 5);

    let client = client(&made, made["token"].as_str().unwrap()).await;
    runs_a_job(&client).await;
    is_locked(&made).await;
    writes_are_recorded(&stack);

    let left = stack.aws(&["delete", "demo"]);
    assert_eq!(left["clusters"], json!([]));
    assert_eq!(stack.processes().len(), before, "{:?}", stack.processes());
    assert!(!stack.folder().join("clusters/demo").exists());
    assert!(stack.folder().join("logs/demo.audit.log").exists());
    assert_eq!(stack.status()["clusters"], json!({}));
    assert_eq!(stack.status()["parts"].as_object().unwrap().len(), 1);
}

/// Controllers, scheduler and KWOK play together: a node becomes Ready, a
/// Job's pod is made, bound, and completes.
async fn runs_a_job(client: &Client) {
    let node: Node = serde_json::from_value(json!({
        "metadata": {
            "name": "simulated",
            "annotations": { "kwok.x-k8s.io/node": "fake" },
            "labels": { "kubernetes.io/arch": "arm64" },
        },
    }))
    .unwrap();
    let nodes: Api<Node> = Api::all(client.clone());
    nodes.create(&PostParams::default(), &node).await.unwrap();
    let job: Job = serde_json::from_value(json!({
        "metadata": { "name": "once" },
        "spec": { "template": { "spec": {
            "restartPolicy": "Never",
            "initContainers": [{ "name": "first", "image": "none" }],
            "containers": [{ "name": "only", "image": "none" }],
        } } },
    }))
    .unwrap();
    let jobs: Api<Job> = Api::default_namespaced(client.clone());
    jobs.create(&PostParams::default(), &job).await.unwrap();
    let done = kube::runtime::conditions::is_job_completed();
    let done = kube::runtime::wait::await_condition(jobs, "once", done);
    tokio::time::timeout(PATIENCE, done)
        .await
        .expect("the job completes")
        .unwrap();

    let node = nodes.get("simulated").await.unwrap().status.unwrap();
    assert_eq!(node.node_info.unwrap().architecture, "arm64");
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let pods = pods.list(&Default::default()).await.unwrap();
    assert_eq!(
        pods.items[0].spec.as_ref().unwrap().node_name.as_deref(),
        Some("simulated")
    );
}

/// Whoever has no token gets no answer, but for the health checks.
async fn is_locked(made: &Value) {
    let wrong = client(made, "k8s-aws-v1.bm9ib2R5").await;
    let refused = wrong.apiserver_version().await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 401));
    let nobody = client(made, "").await;
    let refused = nobody.apiserver_version().await.unwrap_err();
    assert!(matches!(refused, kube::Error::Api(status) if status.code == 401));
}

fn writes_are_recorded(stack: &Stack) {
    let log = std::fs::read_to_string(stack.folder().join("clusters/demo/audit.log")).unwrap();
    let events: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let by = |user: &str, verb: &str, resource: &str| {
        events.iter().any(|event| {
            event["user"]["username"]
                .as_str()
                .is_some_and(|name| name.ends_with(user))
                && event["verb"] == verb
                && event["objectRef"]["resource"] == resource
        })
    };
    assert!(by("user/trunkline-local", "create", "jobs"));
    assert!(by("system:kube-controller-manager", "create", "pods"));
    let reads = ["get", "list", "watch"];
    assert!(
        events
            .iter()
            .all(|event| !reads.contains(&event["verb"].as_str().unwrap()))
    );
    assert!(events.iter().all(|event| event["requestObject"].is_null()));
}

#[test]
fn another_version_is_not_pretended() {
    if !tools_are_here("another_version_is_not_pretended") {
        return;
    }
    let stack = Stack::new("version");
    stack.done(&["up"]);
    let made = stack.aws(&["create", "demo", "1.34"]);
    assert_eq!(made["status"], "FAILED");
    let why = made["issues"][0].as_str().unwrap();
    assert!(
        why.contains("a cluster of version 1.34 cannot be rehearsed"),
        "{why}"
    );
}
