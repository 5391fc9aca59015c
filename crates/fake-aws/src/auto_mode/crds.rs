//! The custom resource definitions that a cluster with Auto Mode has from the
//! start. Structural, with the fields of the documented API and what it
//! requires, so that a misspelt or missing field is refused here as on AWS
//! (docs.aws.amazon.com/eks: "Create a Node Class for EKS Auto Mode"; Karpenter
//! v1 API).

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

/// Every definition.
pub(super) fn definitions() -> Result<Vec<CustomResourceDefinition>, serde_json::Error> {
    [
        definition(&Kind {
            group: "eks.amazonaws.com",
            kind: "NodeClass",
            plural: "nodeclasses",
            columns: &[("Role", ".spec.role")],
            spec: node_class(),
        }),
        definition(&Kind {
            group: "eks.amazonaws.com",
            kind: "IngressClassParams",
            plural: "ingressclassparams",
            columns: &[("Scheme", ".spec.scheme")],
            spec: ingress_class_params(),
        }),
        definition(&Kind {
            group: "karpenter.sh",
            kind: "NodePool",
            plural: "nodepools",
            columns: &[("NodeClass", ".spec.template.spec.nodeClassRef.name")],
            spec: node_pool(),
        }),
        definition(&Kind {
            group: "karpenter.sh",
            kind: "NodeClaim",
            plural: "nodeclaims",
            columns: &[("Node", ".status.nodeName")],
            spec: node_claim(),
        }),
    ]
    .into_iter()
    .map(serde_json::from_value)
    .collect()
}

struct Kind {
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
    columns: &'static [(&'static str, &'static str)],
    spec: Value,
}

fn definition(of: &Kind) -> Value {
    let ready = r#".status.conditions[?(@.type=="Ready")].status"#;
    let columns: Vec<Value> = of
        .columns
        .iter()
        .copied()
        .chain([("Ready", ready)])
        .map(|(name, path)| json!({"name": name, "type": "string", "jsonPath": path}))
        .collect();
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{}.{}", of.plural, of.group)},
        "spec": {
            "group": of.group,
            "scope": "Cluster",
            "names": {
                "kind": of.kind,
                "listKind": format!("{}List", of.kind),
                "plural": of.plural,
                "singular": of.kind.to_lowercase(),
            },
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns": columns,
                "schema": {"openAPIV3Schema": object(&["spec"], json!({
                    "apiVersion": string(),
                    "kind": string(),
                    "metadata": {"type": "object"},
                    "spec": of.spec,
                    // Written by the stand-in alone.
                    "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                }))},
            }],
        },
    })
}

fn object(required: &[&str], properties: Value) -> Value {
    let mut schema = json!({"type": "object", "properties": properties});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn string() -> Value {
    json!({"type": "string"})
}

fn one_of(values: &[&str]) -> Value {
    json!({"type": "string", "enum": values})
}

fn integer() -> Value {
    json!({"type": "integer"})
}

fn list(items: Value) -> Value {
    json!({"type": "array", "items": items})
}

fn map() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

fn quantity() -> Value {
    json!({"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true})
}

/// Terms of which each must say something.
fn terms(properties: Value) -> Value {
    json!({
        "type": "array",
        "minItems": 1,
        "maxItems": 30,
        "items": {
            "type": "object",
            "minProperties": 1,
            "properties": properties,
        },
    })
}

fn node_class() -> Value {
    let subnets = || terms(json!({"id": string(), "tags": map()}));
    let groups = || terms(json!({"id": string(), "name": string(), "tags": map()}));
    let mut spec = object(
        &["subnetSelectorTerms", "securityGroupSelectorTerms"],
        json!({
            "role": string(),
            "instanceProfile": string(),
            "subnetSelectorTerms": subnets(),
            "securityGroupSelectorTerms": groups(),
            "podSubnetSelectorTerms": subnets(),
            "podSecurityGroupSelectorTerms": groups(),
            "snatPolicy": one_of(&["Random", "Disabled"]),
            "networkPolicy": one_of(&["DefaultAllow", "DefaultDeny"]),
            "networkPolicyEventLogs": one_of(&["Enabled", "Disabled"]),
            "ephemeralStorage": object(&[], json!({
                "size": string(),
                "iops": integer(),
                "throughput": integer(),
                "kmsKeyID": string(),
            })),
            "advancedNetworking": object(&[], json!({
                "associatePublicIPAddress": {"type": "boolean"},
                "httpsProxy": string(),
                "noProxy": list(string()),
                "ipv4PrefixSize": string(),
            })),
            "certificateBundles": list(object(&["name", "data"], json!({
                "name": string(),
                "data": string(),
            }))),
            "tags": map(),
        }),
    );
    spec["x-kubernetes-validations"] = json!([{
        "rule": "has(self.role) != has(self.instanceProfile)",
        "message": "exactly one of role and instanceProfile must be given",
    }]);
    spec
}

fn ingress_class_params() -> Value {
    object(
        &[],
        json!({
            "scheme": one_of(&["internal", "internet-facing"]),
            "group": object(&["name"], json!({"name": string()})),
            "ipAddressType": one_of(&["ipv4", "dualstack"]),
            "certificateARNs": list(string()),
            "sslPolicy": string(),
            "targetType": one_of(&["instance", "ip"]),
            "subnets": object(&[], json!({
                "ids": list(string()),
                "tags": {"type": "object", "additionalProperties": list(string())},
            })),
            "tags": list(object(&["key", "value"], json!({"key": string(), "value": string()}))),
            "loadBalancerAttributes": list(object(&["key", "value"], json!({
                "key": string(),
                "value": string(),
            }))),
        }),
    )
}

fn taints() -> Value {
    list(object(
        &["key", "effect"],
        json!({
            "key": string(),
            "value": string(),
            "effect": one_of(&["NoSchedule", "PreferNoSchedule", "NoExecute"]),
            "timeAdded": string(),
        }),
    ))
}

fn node_claim() -> Value {
    let class = object(
        &["group", "kind", "name"],
        json!({"group": string(), "kind": string(), "name": string()}),
    );
    let operators = [
        "In",
        "NotIn",
        "Exists",
        "DoesNotExist",
        "Gt",
        "Lt",
        "Gte",
        "Lte",
    ];
    let requirement = object(
        &["key", "operator"],
        json!({
            "key": string(),
            "operator": one_of(&operators),
            "values": list(string()),
            "minValues": integer(),
        }),
    );
    object(
        &["nodeClassRef", "requirements"],
        json!({
            "nodeClassRef": class,
            "requirements": list(requirement),
            "resources": object(&[], json!({
                "requests": {"type": "object", "additionalProperties": quantity()},
            })),
            "taints": taints(),
            "startupTaints": taints(),
            "expireAfter": string(),
            "terminationGracePeriod": string(),
        }),
    )
}

fn node_pool() -> Value {
    let budget = object(
        &["nodes"],
        json!({
            "nodes": string(),
            "schedule": string(),
            "duration": string(),
            "reasons": list(one_of(&["Underutilized", "Empty", "Drifted"])),
        }),
    );
    object(
        &["template"],
        json!({
            "template": object(&["spec"], json!({
                "metadata": object(&[], json!({"labels": map(), "annotations": map()})),
                "spec": node_claim(),
            })),
            "disruption": object(&["consolidateAfter"], json!({
                "consolidationPolicy": one_of(&["WhenEmpty", "WhenEmptyOrUnderutilized"]),
                "consolidateAfter": string(),
                "budgets": list(budget),
            })),
            "limits": {"type": "object", "additionalProperties": quantity()},
            "weight": {"type": "integer", "minimum": 1, "maximum": 100},
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_kinds_are_defined_with_their_requirements() {
        let all = definitions().unwrap();
        let names: Vec<_> = all
            .iter()
            .filter_map(|crd| crd.metadata.name.clone())
            .collect();
        assert_eq!(
            names,
            [
                "nodeclasses.eks.amazonaws.com",
                "ingressclassparams.eks.amazonaws.com",
                "nodepools.karpenter.sh",
                "nodeclaims.karpenter.sh",
            ],
        );
        let spec = node_class();
        assert_eq!(
            spec["required"],
            json!(["subnetSelectorTerms", "securityGroupSelectorTerms"]),
        );
    }
}
