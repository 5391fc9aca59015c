//! Argo CD: keeps the workloads in step with Git.
//!
//! Helm is its one owner: were it to manage itself, its server-side apply and
//! helm's would take fields from each other at every deploy.

use serde_json::json;
use trunkline_ids::Address;

use super::Entry;
use crate::{platform, spec::AddonsSpec};

pub(crate) fn address() -> Address {
    Address::new("addons", "release", "argo-cd")
}

/// Health of Applications was taken out of Argo CD's defaults in 1.8; without
/// it a root application says Healthy whatever its children say.
const APPLICATION_HEALTH: &str = "\
hs = {status = \"Progressing\", message = \"\"}
if obj.status ~= nil and obj.status.health ~= nil then
  hs.status = obj.status.health.status
  hs.message = obj.status.health.message or \"\"
end
return hs
";

pub(crate) fn entry(spec: &AddonsSpec) -> Entry {
    let replicas = if spec.spread { 2 } else { 1 };
    let values = json!({
        "crds": {"install": true, "keep": true},
        "configs": {
            "cm": {
                "application.resourceTrackingMethod": "annotation",
                "resource.customizations.health.argoproj.io_Application": APPLICATION_HEALTH,
                "timeout.reconciliation": "60s",
            },
            // Nobody outside the cluster reaches it in this form: port-forward.
            "params": {"server.insecure": true},
        },
        "controller": {"resources": requests("250m", "512Mi")},
        "repoServer": {"replicas": replicas, "resources": requests("100m", "256Mi")},
        "server": {"replicas": replicas, "resources": requests("50m", "128Mi")},
        "applicationSet": {"replicas": replicas, "resources": requests("50m", "128Mi")},
        "redis": {"resources": requests("50m", "64Mi")},
        // Single sign-on and notifications are wished by settings, not by default.
        "dex": {"enabled": false},
        "notifications": {"enabled": false},
    });
    Entry {
        address: address(),
        release: "argocd".to_owned(),
        namespace: "argocd".to_owned(),
        chart: "argo-cd".to_owned(),
        version: spec.argo_cd.clone(),
        repository: "https://argoproj.github.io/argo-helm".to_owned(),
        values,
        after: vec![
            platform::argo_cd_namespace_address(),
            platform::node_pool_address(),
        ],
        seconds: 60,
    }
}

fn requests(cpu: &str, memory: &str) -> serde_json::Value {
    json!({"requests": {"cpu": cpu, "memory": memory}})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::example;

    #[test]
    fn values_of_both_tiers() {
        let live = AddonsSpec {
            spread: true,
            ..example()
        };
        insta::assert_json_snapshot!([entry(&example()).values, entry(&live).values]);
    }
}
