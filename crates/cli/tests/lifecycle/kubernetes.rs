//! What a deployment of the sandbox leaves in its cluster, as kubectl reads it
//! with every right.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Stack, holds};

/// Demands all of it; what the secret of Redis holds, as its API gives it.
pub(crate) fn is_as_wished(stack: &Stack, volume: &Value) -> String {
    platform(stack);
    argo_cd(stack);
    redis(stack, volume);
    nodes(stack);
    let secret = stack.get("sandbox", &["secret", "redis-auth", "-n", "redis"]);
    let password = secret["data"]["password"].as_str().unwrap();
    assert!(password.len() >= 32, "a password worth the name");
    password.to_owned()
}

fn platform(stack: &Stack) {
    let get = |what: &[&str]| stack.get("sandbox", what);
    let ours = json!({
        "app.kubernetes.io/managed-by": "trunkline", "trunkline.dev/environment": "sandbox",
    });
    let class = get(&["nodeclass", "trunkline"]);
    holds(
        &class,
        &json!({
            "metadata": {
                "labels": ours,
                "annotations": {"trunkline.dev/address": "addons/node-class/trunkline"},
            },
            "spec": {
                "role": "trunkline-sandbox-node",
                "tags": {"trunkline:environment": "sandbox"},
                "subnetSelectorTerms": [
                    {"tags": {"trunkline:environment": "sandbox", "trunkline:role": "nodes"}},
                ],
            },
        }),
    );
    let ready = class["status"]["conditions"].as_array().unwrap();
    assert!(
        ready
            .iter()
            .any(|one| one["type"] == "Ready" && one["status"] == "True")
    );
    let pool = get(&["nodepool", "general"]);
    let reference = json!({
        "group": "eks.amazonaws.com", "kind": "NodeClass", "name": "trunkline",
    });
    assert_eq!(pool["spec"]["template"]["spec"]["nodeClassRef"], reference);
    for (name, reclaims, default) in [("gp3", "Delete", "true"), ("gp3-retain", "Retain", "false")]
    {
        let is_default = json!({"storageclass.kubernetes.io/is-default-class": default});
        holds(
            &get(&["storageclass", name]),
            &json!({
                "metadata": {"labels": ours, "annotations": is_default},
                "provisioner": "ebs.csi.eks.amazonaws.com",
                "reclaimPolicy": reclaims,
                "volumeBindingMode": "WaitForFirstConsumer",
                "parameters": {
                    "type": "gp3", "encrypted": "true",
                    "tagSpecification_1": "trunkline:environment=sandbox",
                },
            }),
        );
    }
}

fn argo_cd(stack: &Stack) {
    let release = stack.get("sandbox", &["secrets", "-n", "argocd", "-l", "owner=helm"]);
    let [release] = &release["items"].as_array().unwrap()[..] else {
        panic!("one revision: {release:#}");
    };
    let labels = json!({"name": "argocd", "version": "1", "status": "deployed"});
    holds(&release["metadata"]["labels"], &labels);
    let pods = stack.get("sandbox", &["deployments,statefulsets", "-n", "argocd"]);
    for runs in pods["items"].as_array().unwrap() {
        let wanted = &runs["spec"]["replicas"];
        holds(&runs["status"], &json!({"readyReplicas": wanted}));
    }
    assert!(pods["items"].as_array().unwrap().len() >= 5);
    let application = stack.get("sandbox", &["application", "redis", "-n", "argocd"]);
    holds(
        &application,
        &json!({
            "metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]},
            "spec": {
                "project": "voice",
                "source": {
                    "path": "charts/redis", "targetRevision": stack.commit,
                    "helm": {"valueFiles": ["../../gitops/sandbox/redis.yaml"]},
                },
                "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
            },
            "status": {
                "sync": {"status": "Synced", "revision": stack.commit},
                "health": {"status": "Healthy"},
            },
        }),
    );
}

fn redis(stack: &Stack, volume: &Value) {
    let get = |what: &[&str]| stack.get("sandbox", &[what, &["-n", "redis"]].concat());
    let set = get(&["statefulset", "redis"]);
    holds(
        &set,
        &json!({"spec": {"replicas": 1}, "status": {"readyReplicas": 1}}),
    );
    let claim = get(&["pvc", "data-redis-0"]);
    holds(
        &claim,
        &json!({
            "spec": {"storageClassName": "gp3-retain"},
            "status": {"phase": "Bound", "capacity": {"storage": "8Gi"}},
        }),
    );
    let name = claim["spec"]["volumeName"].as_str().unwrap();
    let is = stack.get("sandbox", &["pv", name]);
    holds(
        &is,
        &json!({
            "spec": {
                "persistentVolumeReclaimPolicy": "Retain",
                "csi": {"driver": "ebs.csi.eks.amazonaws.com", "volumeHandle": volume["VolumeId"]},
            },
            "status": {"phase": "Bound"},
        }),
    );
    let pod = get(&["pod", "redis-0"]);
    let node = stack.get(
        "sandbox",
        &["node", pod["spec"]["nodeName"].as_str().unwrap()],
    );
    let zone = &node["metadata"]["labels"]["topology.kubernetes.io/zone"];
    assert_eq!(*zone, volume["AvailabilityZone"]);
}

/// Nodes are there for all pods, of our pool, in our zones alone.
fn nodes(stack: &Stack) {
    let nodes = stack.get("sandbox", &["nodes"]);
    let mut zones = BTreeMap::new();
    for node in nodes["items"].as_array().unwrap() {
        let labels = &node["metadata"]["labels"];
        let ours = json!({
            "karpenter.sh/nodepool": "general", "eks.amazonaws.com/compute-type": "auto",
        });
        holds(labels, &ours);
        let zone = labels["topology.kubernetes.io/zone"].as_str().unwrap();
        assert!(["eu-central-1a", "eu-central-1b"].contains(&zone), "{zone}");
        zones.insert(node["metadata"]["name"].to_string(), zone);
    }
    let pods = stack.get("sandbox", &["pods", "-A"]);
    for pod in pods["items"].as_array().unwrap() {
        let phase = pod["status"]["phase"].as_str().unwrap();
        assert!(["Running", "Succeeded"].contains(&phase), "{pod:#}");
        assert!(
            zones.contains_key(&pod["spec"]["nodeName"].to_string()),
            "{pod:#}"
        );
    }
}
