//! The life of an environment: what its plan says, what happens, what is there
//! then, what is mended, and what is left at the end. AWS is read past our own
//! code: by boto3 straight at moto, by kubectl with every right, in the front's
//! record and the API server's audit log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends")]

mod aws;
mod kubernetes;
#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use support::happened::{Known, Pairs, is_write_of_ours, planned};
use support::{Ended, Stack, alone, same, texts};

/// All that the sandbox consists of.
const SANDBOX: [&str; 29] = [
    "access/role/cluster",
    "access/role/node",
    "addons/namespace/argocd",
    "addons/node-class/trunkline",
    "addons/node-pool/general",
    "addons/release/argo-cd",
    "addons/storage-class/gp3",
    "addons/storage-class/gp3-retain",
    "cluster/access-entry/node",
    "cluster/access-entry/user-trunkline-local",
    "cluster/cluster/main",
    "net/elastic-ip/euc1-az1",
    "net/endpoint/s3",
    "net/internet-gateway/main",
    "net/nat-gateway/euc1-az1",
    "net/route-table/private-euc1-az1",
    "net/route-table/private-euc1-az2",
    "net/route-table/public",
    "net/security-group/nodes",
    "net/subnet/private-euc1-az1",
    "net/subnet/private-euc1-az2",
    "net/subnet/public-euc1-az1",
    "net/subnet/public-euc1-az2",
    "net/vpc/main",
    "storage/bucket/egress",
    "workloads/application/redis",
    "workloads/namespace/redis",
    "workloads/project/voice",
    "workloads/secret/redis",
];

#[test]
fn an_environment_is_planned_made_kept_mended_and_leaves_nothing() {
    let _alone = alone();
    let Some(stack) = Stack::up("lifecycle") else {
        return;
    };
    let mut life = Life {
        stack,
        known: Known::default(),
        said: Vec::new(),
    };
    life.run(&["bootstrap", "sandbox"])
        .exits(0)
        .says("the ledger was made");
    let bare = life.stack.moto_data();
    let plan = life.is_planned_whole();
    life.is_deployed_as_planned(&plan);
    let data = life.stack.moto_data();
    let volume = aws::is_as_wished(&life.stack, &data);
    let password = kubernetes::is_as_wished(&life.stack, &data["ec2:Volumes"][0]);
    life.has_nothing_more_to_do();
    life.is_mended(&data);
    life.is_shown();
    life.tells_no_secret(&password);
    life.asks_before_it_destroys();
    life.is_destroyed_but_for_its_data(&bare, &volume);
    life.is_destroyed_with_its_data(&bare);
}

/// A stack with an environment, and all that was said of it.
struct Life {
    stack: Stack,
    known: Known,
    said: Vec<String>,
}

impl Life {
    fn run(&mut self, args: &[&str]) -> Ended {
        let ended = self.stack.run(args);
        self.said.push(ended.to_string());
        ended
    }

    /// A plan with something in it.
    fn plan(&mut self) -> Value {
        self.run(&["plan", "sandbox", "--json", "--detailed-exitcode"])
            .exits(3)
            .json()
    }

    /// Before any cluster exists everything is shown, and nothing is changed.
    fn is_planned_whole(&mut self) -> Value {
        self.stack.clear_record();
        let plan = self.plan();
        let all = SANDBOX.map(|address| (address.to_owned(), "create".to_owned()));
        assert_eq!(planned(&plan), Pairs::from(all));
        let text = self.run(&["plan", "sandbox", "--detail"]).exits(0);
        for rendered in [
            "StatefulSet argocd/argocd-application-controller",
            "Deployment argocd/argocd-repo-server",
            "CustomResourceDefinition applications.argoproj.io",
            "0 to change, 29 to add, 0 to destroy",
        ] {
            assert!(text.stdout.contains(rendered), "{rendered}: {text}");
        }
        let record = self.stack.record();
        assert!(record.iter().any(|call| call["action"] == "DescribeVpcs"));
        assert!(record.iter().all(|call| call["mutating"] == false));
        plan
    }

    fn is_deployed_as_planned(&mut self, plan: &Value) {
        let done = self.run(&["deploy", "sandbox", "--json"]).exits(0).json();
        assert_eq!(planned(&done["plan"]), planned(plan));
        let steps = done["steps"].as_array().unwrap();
        assert!(steps.iter().all(|step| step["outcome"] == "done"));
        self.known.learn(&self.stack, "sandbox");
        let (calls, audit) = (self.stack.changes(), self.stack.audit("sandbox"));
        assert_eq!(self.known.happened(&calls, &audit), planned(plan));
        // All that moto can hold of us is in what the dump reads.
        let services = self
            .stack
            .record()
            .into_iter()
            .map(|call| call["service"].clone());
        let services: BTreeSet<String> = services.map(|name| name.to_string()).collect();
        assert!(
            services.iter().all(
                |name| ["\"ec2\"", "\"eks\"", "\"iam\"", "\"s3\"", "\"sts\""].contains(&&**name)
            ),
            "{services:?}"
        );
    }

    fn has_nothing_more_to_do(&mut self) {
        self.stack.clear_record();
        let writes = |stack: &Stack| {
            stack
                .audit("sandbox")
                .iter()
                .filter(|e| is_write_of_ours(e))
                .count()
        };
        let before = writes(&self.stack);
        self.run(&["deploy", "sandbox"])
            .exits(0)
            .says("sandbox is as wished");
        self.run(&["plan", "sandbox", "--detailed-exitcode"])
            .exits(0);
        let record = self.stack.record();
        let changes: Vec<_> = record
            .iter()
            .filter(|call| call["mutating"] == true)
            .collect();
        assert!(changes.is_empty(), "{changes:#?}");
        assert!(record.len() > 20, "it has looked");
        assert_eq!(writes(&self.stack), before);
    }

    /// What somebody changes behind our back is named field by field, and put
    /// right by the next deploy.
    fn is_mended(&mut self, data: &Value) {
        self.stack.python(MEDDLING, &[&aws::bucket_name("egress")]);
        let limits = r#"{"spec": {"limits": {"cpu": "1"}}}"#;
        let kubectl = |args: &[&str]| self.stack.kubectl("sandbox", args).exits(0);
        kubectl(&[
            "patch", "nodepool", "general", "--type", "merge", "-p", limits,
        ]);
        kubectl(&["delete", "storageclass", "gp3"]);

        let plan = self.plan();
        let steps = plan["steps"].as_array().unwrap().iter();
        let found: BTreeMap<_, _> = steps
            .map(|step| (step["address"].as_str().unwrap(), fields(step)))
            .collect();
        let wanted = MENDED.map(|(address, field)| (address, field.to_owned()));
        assert_eq!(found, wanted.into());

        self.stack.clear_record();
        let seen = self.stack.audit("sandbox").len();
        self.run(&["deploy", "sandbox"])
            .exits(0)
            .says("sandbox is up");
        let audit = &self.stack.audit("sandbox")[seen..];
        assert_eq!(
            self.known.happened(&self.stack.changes(), audit),
            planned(&plan)
        );
        same(
            &but_ledger(self.stack.moto_data()),
            &but_ledger(data.clone()),
        );
        self.run(&["plan", "sandbox", "--detailed-exitcode"])
            .exits(0);
    }

    fn is_shown(&mut self) {
        let status = self.run(&["status", "sandbox", "--json"]).exits(0).json();
        for layer in status["layers"].as_array().unwrap() {
            assert_eq!(
                (&layer["absent"], &layer["unknown"]),
                (&json!([]), &json!([]))
            );
            let health = layer["health"].as_array().unwrap();
            assert!(
                !health.is_empty() && health.iter().all(|one| one["well"] == true),
                "{layer:#}"
            );
        }
        let runs = self.run(&["history", "sandbox", "--json"]).exits(0).json();
        let told: Vec<_> = runs
            .as_array()
            .unwrap()
            .iter()
            .map(|run| (&run["command"], &run["outcome"]))
            .collect();
        assert_eq!(told, [(&json!("deploy"), &json!("done")); 2]);
        let run = runs[1]["run"].as_str().unwrap().to_owned();
        self.run(&["history", "sandbox", &run, "--step", "net/vpc/main"])
            .exits(0)
            .says("net/vpc/main done in");

        let config = self.run(&["kubeconfig", "sandbox"]).exits(0).stdout;
        let secret = &self.stack.variables()["AWS_SECRET_ACCESS_KEY"];
        assert!(!config.contains(secret.as_str()));
        let file = self.stack.folder().join("kubeconfig");
        std::fs::write(&file, config).unwrap();
        let who = self.stack.kubectl_as(&file, &["auth", "whoami"]).exits(0);
        who.says("user/trunkline-local");
    }

    /// The password stands in no output, no log, no journal.
    fn tells_no_secret(&mut self, encoded: &str) {
        let decoded = self.stack.python(
            "import base64\ngive(base64.b64decode(sys.argv[1]).decode())",
            &[encoded],
        );
        let decoded = decoded.as_str().unwrap();
        let ledger = self.stack.python(LEDGER, &[&aws::bucket_name("ledger")]);
        let ledger = ledger.to_string();
        assert!(ledger.contains("workloads/secret/redis"), "the journal");
        let (etcd, mut told): (Vec<_>, Vec<_>) = texts(&self.stack.home())
            .into_iter()
            .partition(|(name, _)| name.contains("/etcd/"));
        assert!(told.iter().any(|(name, _)| name.ends_with("audit.log")));
        told.push(("what was said".to_owned(), self.said.join("\n")));
        told.push(("the ledger".to_owned(), ledger));
        for (name, text) in told {
            let found = text.contains(encoded) || text.contains(decoded);
            assert!(!found, "the password of Redis is in {name}");
        }
        let found = etcd.iter().any(|(_, text)| text.contains(decoded));
        assert!(found, "where it belongs, such a search finds it");
    }

    fn asks_before_it_destroys(&mut self) {
        self.stack.clear_record();
        self.run(&["destroy", "sandbox"])
            .exits(2)
            .says("add --yes")
            .says("nothing was changed");
        assert!(
            self.stack
                .record()
                .iter()
                .all(|call| call["mutating"] == false)
        );
    }

    fn is_destroyed_but_for_its_data(&mut self, bare: &Value, volume: &str) {
        let plan = self
            .run(&["plan", "sandbox", "--destroy", "--json"])
            .exits(0)
            .json();
        let seen = self.stack.audit("sandbox").len();
        let done = self
            .run(&["destroy", "sandbox", "--yes", "--json"])
            .exits(0)
            .json();
        assert_eq!(planned(&done["plan"]), planned(&plan));
        let audit = &self.stack.audit("sandbox")[seen..];
        assert_eq!(
            self.known.happened(&self.stack.changes(), audit),
            planned(&plan)
        );
        let kept = [volume.to_owned(), aws::bucket_name("ledger")];
        assert_eq!(ids(&done["kept"]), kept);
        assert_eq!((&done["still"], &done["leaks"]), (&json!([]), &json!([])));

        let mut left = self.stack.moto_data();
        let volumes = take(&mut left, "ec2:Volumes", |one| one["VolumeId"] == volume);
        assert_eq!(volumes.len(), 1);
        take(&mut left, "ec2:Tags", |one| one["ResourceId"] == volume);
        same(&but_ledger(left), &but_ledger(bare.clone()));
        self.has_no_cluster();

        self.stack.clear_record();
        self.run(&["destroy", "sandbox", "--yes"])
            .exits(0)
            .says("nothing of sandbox is there but")
            .says(volume);
        assert!(
            self.stack
                .record()
                .iter()
                .all(|call| call["mutating"] == false)
        );
    }

    fn is_destroyed_with_its_data(&mut self, bare: &Value) {
        self.run(&["deploy", "sandbox", "--quiet"])
            .exits(0)
            .says("sandbox is up");
        let put =
            "client('s3').put_object(Bucket=sys.argv[1], Key='call.ogg', Body=b'voice')\ngive(0)";
        self.stack.python(put, &[&aws::bucket_name("egress")]);
        let done = self
            .run(&["destroy", "sandbox", "--yes", "--delete-data", "--json"])
            .exits(0)
            .json();
        assert_eq!(ids(&done["kept"]), [aws::bucket_name("ledger")]);
        assert_eq!((&done["still"], &done["leaks"]), (&json!([]), &json!([])));
        same(
            &but_ledger(self.stack.moto_data()),
            &but_ledger(bare.clone()),
        );
        self.has_no_cluster();
    }

    fn has_no_cluster(&self) {
        let clusters = self
            .stack
            .python("give(front('eks').list_clusters()['clusters'])", &[]);
        assert_eq!(clusters, json!([]));
        let status = self.stack.status();
        let parts = status["parts"].as_object().unwrap();
        assert_eq!(parts.keys().collect::<Vec<_>>(), ["moto"]);
    }
}

/// Changes by somebody else.
const MEDDLING: &str = "
ec2, s3, iam = client('ec2'), client('s3'), client('iam')
def marked(describe, address):
    ours = [{'Name': 'tag:trunkline:address', 'Values': [address]}]
    return describe(Filters=ours)
vpc = marked(ec2.describe_vpcs, 'net/vpc/main')['Vpcs'][0]['VpcId']
ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={'Value': False})
table = marked(ec2.describe_route_tables, 'net/route-table/private-euc1-az2')['RouteTables'][0]
ec2.delete_route(RouteTableId=table['RouteTableId'], DestinationCidrBlock='0.0.0.0/0')
s3.put_bucket_versioning(Bucket=sys.argv[1], VersioningConfiguration={'Status': 'Suspended'})
policy = 'arn:aws:iam::aws:policy/AmazonEKSWorkerNodeMinimalPolicy'
iam.detach_role_policy(RoleName='trunkline-sandbox-node', PolicyArn=policy)
give(0)
";

/// What a plan says of them: the address and the fields that differ.
const MENDED: [(&str, &str); 6] = [
    ("net/vpc/main", "enableDnsHostnames"),
    ("net/route-table/private-euc1-az2", "default route"),
    ("storage/bucket/egress", "versioning"),
    ("access/role/node", "attached policy"),
    ("addons/node-pool/general", "spec.limits.cpu"),
    ("addons/storage-class/gp3", ""),
];

/// Every version of every object of a bucket, as text.
const LEDGER: &str = "
s3, found = client('s3'), {}
for page in s3.get_paginator('list_object_versions').paginate(Bucket=sys.argv[1]):
    for version in page.get('Versions', []):
        of = {'Key': version['Key'], 'VersionId': version['VersionId']}
        body = s3.get_object(Bucket=sys.argv[1], **of)['Body'].read()
        found[of['Key'] + ' ' + of['VersionId']] = body.decode('utf-8', 'replace')
give(found)
";

/// What the ledger holds is the history of runs: printed as kept, never equal.
fn but_ledger(mut data: Value) -> Value {
    data["buckets"][aws::bucket_name("ledger")]["objects"] = json!({});
    data
}

/// Takes what is chosen out of a list of the dump.
fn take(data: &mut Value, list: &str, choose: impl Fn(&Value) -> bool) -> Vec<Value> {
    let list = data[list].as_array_mut().unwrap();
    let (chosen, rest) = list.drain(..).partition(|one| choose(one));
    *list = rest;
    chosen
}

/// The fields that a step changes.
fn fields(step: &Value) -> String {
    let changes = step["changes"].as_array().unwrap().iter();
    let fields: Vec<_> = changes.map(|one| one["field"].as_str().unwrap()).collect();
    fields.join(", ")
}

fn ids(kept: &Value) -> Vec<String> {
    let all = kept.as_array().unwrap().iter();
    all.map(|one| one["id"].as_str().unwrap().to_owned())
        .collect()
}
