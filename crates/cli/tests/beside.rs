//! sandbox and live side by side in one account: what happens to one leaves
//! the other's data as it is, byte for byte.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod support;

use serde_json::{Value, json};
use support::{ACCOUNT, Stack, alone, holds, same};

/// Of both kinds of things: ours, Argo CD's, and what came of them.
const KINDS: &str = "namespaces,secrets,configmaps,services,storageclasses,nodeclasses,nodepools,\
                     appprojects,applications,statefulsets,deployments,pvc,pv";

#[test]
fn destroying_one_environment_leaves_the_other_byte_for_byte() {
    let _alone = alone();
    let Some(stack) = Stack::up("beside") else {
        return;
    };
    for environment in ["sandbox", "live"] {
        stack.run(&["bootstrap", environment]).exits(0);
    }
    let bare = stack.moto_data();
    stack.run(&["deploy", "live"]).exits(0).says("live is up");
    let (data, objects) = (stack.moto_data(), objects(&stack));
    is_live(&stack, &data);

    stack
        .run(&["deploy", "sandbox"])
        .exits(0)
        .says("sandbox is up");
    stack.run(&["plan", "live", "--detailed-exitcode"]).exits(0);
    stack
        .run(&["destroy", "sandbox", "--yes", "--delete-data"])
        .exits(0);

    // Only sandbox's own history has grown.
    let sandbox = [ledger("sandbox")];
    same(&but(stack.moto_data(), &sandbox), &but(data, &sandbox));
    same(&self::objects(&stack), &objects);
    stack.run(&["plan", "live", "--detailed-exitcode"]).exits(0);
    goes_only_with_its_data(&stack);
    let both = [ledger("sandbox"), ledger("live")];
    same(&but(stack.moto_data(), &both), &but(bare, &both));
}

/// What sets live apart: three zones with a NAT gateway each, protection, logs.
fn is_live(stack: &Stack, data: &Value) {
    let zones = ["euc1-az1", "euc1-az2", "euc1-az3"];
    let one = |list: &str, address: String| {
        let marks = [
            ("trunkline:environment", "live"),
            ("trunkline:address", &address),
        ];
        let marks = marks.map(|(key, value)| json!({"Key": key, "Value": value}));
        let all = data[list].as_array().unwrap().iter();
        let mut ours = all.filter(|thing| {
            let tags = thing["Tags"].as_array();
            tags.is_some_and(|tags| marks.iter().all(|mark| tags.contains(mark)))
        });
        ours.next().unwrap_or_else(|| panic!("{address}"))
    };
    for zone in zones {
        let public = one("ec2:Subnets", format!("net/subnet/public-{zone}"));
        let nat = one("ec2:NatGateways", format!("net/nat-gateway/{zone}"));
        assert_eq!(nat["SubnetId"], public["SubnetId"]);
        let table = one("ec2:RouteTables", format!("net/route-table/private-{zone}"));
        let mut routes = table["Routes"].as_array().unwrap().iter();
        let default = routes.find(|route| route["DestinationCidrBlock"] == "0.0.0.0/0");
        assert_eq!(default.unwrap()["NatGatewayId"], nat["NatGatewayId"]);
    }
    let cluster = "give(front('eks').describe_cluster(name='trunkline-live')['cluster'])";
    let cluster = stack.python(cluster, &[]);
    holds(
        &cluster,
        &json!({"deletionProtection": true, "status": "ACTIVE"}),
    );
    let logs = json!({"types": ["api", "audit", "authenticator"], "enabled": true});
    let logging = cluster["logging"]["clusterLogging"].as_array().unwrap();
    assert!(logging.contains(&logs), "{logging:?}");
    let nodes = stack.get("live", &["nodes"]);
    let nodes = nodes["items"].as_array().unwrap().iter();
    let zone = |node: &Value| node["metadata"]["labels"]["topology.kubernetes.io/zone"].clone();
    let mut used: Vec<_> = nodes.map(zone).collect();
    used.sort_by_key(Value::to_string);
    used.dedup();
    assert_eq!(
        json!(used),
        json!(["eu-central-1a", "eu-central-1b", "eu-central-1c"])
    );
}

/// A cluster that is protected is not destroyed by `--yes` alone.
fn goes_only_with_its_data(stack: &Stack) {
    stack.clear_record();
    let refused = stack.run(&["destroy", "live", "--yes"]).exits(2);
    let refused = refused
        .says("cluster/cluster/main")
        .says("add --delete-data");
    refused.says("nothing was changed");
    assert!(stack.record().iter().all(|call| call["mutating"] == false));
    let done = stack.run(&["destroy", "live", "--yes", "--delete-data", "--json"]);
    let done = done.exits(0).json();
    assert_eq!(done["kept"].as_array().unwrap().len(), 1);
    holds(&done["kept"][0], &json!({"id": ledger("live")}));
    assert_eq!((&done["still"], &done["leaks"]), (&json!([]), &json!([])));
}

fn ledger(environment: &str) -> String {
    format!("trunkline-{environment}-{ACCOUNT}-eu-central-1-ledger")
}

/// Without what these buckets hold: the history of runs.
fn but(mut data: Value, buckets: &[String]) -> Value {
    for bucket in buckets {
        data["buckets"][bucket]["objects"] = json!({});
    }
    data
}

/// The objects of live, but for what controllers keep writing.
fn objects(stack: &Stack) -> Value {
    let mut all = stack.get("live", &[KINDS, "-A"]);
    for object in all["items"].as_array_mut().unwrap() {
        let status = object["kind"].as_str().unwrap().to_owned();
        let object = object.as_object_mut().unwrap();
        object.remove("status");
        // Of these a new status is a new version.
        if ["Application", "NodeClass", "NodePool"].contains(&status.as_str()) {
            let meta = object["metadata"].as_object_mut().unwrap();
            meta.remove("resourceVersion");
            meta.remove("generation");
        }
    }
    all["items"].take()
}
