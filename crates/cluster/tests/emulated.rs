//! The layer on an emulated EKS; what is there is read by boto3.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

#[path = "../../access/tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{World, any};
use trunkline_cluster::{Cluster, ClusterSpec};
use trunkline_engine::{AnyLayer, FailureKind, Observing, Presence, Verb, Wish};
use trunkline_fake_aws::{
    eks::{ControlPlane, ControlPlanes, Endpoint, NoControlPlane},
    faults::{Pace, Settings},
    testing::TestAws,
};
use trunkline_ids::{Address, ClusterName, Ref, RoleArn, SubnetId};

const DEPLOYED: Wish = Wish::Deployed;
const DESTROYED: Wish = Wish::Destroyed { with_data: false };
const NAME: &str = "trunkline-sandbox";

/// The subnets and roles that other layers make.
const SURROUNDINGS: &str = r#"
ec2, iam = client('ec2'), client('iam')
vpc = ec2.create_vpc(CidrBlock='10.20.0.0/16')['Vpc']['VpcId']
subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f'10.20.{n}.0/24', AvailabilityZone='eu-central-1' + z)['Subnet']['SubnetId']
           for n, z in enumerate('ab')]
def role(name, service):
    trust = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': {'Service': service},
             'Action': ['sts:AssumeRole', 'sts:TagSession']}]}
    return iam.create_role(RoleName=name, Path='/trunkline/sandbox/', AssumeRolePolicyDocument=json.dumps(trust))['Role']['Arn']
answer = [subnets, role('cluster', 'eks.amazonaws.com'), role('node', 'ec2.amazonaws.com'), role('Ops', 'ec2.amazonaws.com')]
"#;

fn subnet(zone: &str) -> Ref<SubnetId> {
    Ref::new(Address::new("net", "subnet", zone))
}

fn role(name: &str) -> Ref<RoleArn> {
    Ref::new(Address::new("access", "role", name))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// A world with surroundings, and the spec that fits it.
async fn world() -> (World, ClusterSpec) {
    world_on(TestAws::start().await).await
}

async fn world_on(fake: TestAws) -> (World, ClusterSpec) {
    let mut world = World::on(fake, "sandbox").await;
    let made = world.boto3(SURROUNDINGS);
    let zones = ["private-euc1-az2", "private-euc1-az3"];
    for (zone, id) in zones.iter().zip(made[0].as_array().unwrap()) {
        world
            .outputs
            .put(subnet(zone).address(), &SubnetId::new(text(id)));
    }
    world
        .outputs
        .put(role("cluster").address(), &RoleArn::new(text(&made[1])));
    let spec = ClusterSpec {
        name: ClusterName::new(NAME),
        version: "1.35".into(),
        role: role("cluster"),
        node_role: RoleArn::new(text(&made[2])),
        node_role_from: role("node"),
        subnets: zones.map(subnet).into(),
        service_cidr: "172.20.0.0/16".into(),
        public_access: vec!["203.0.113.0/24".into()],
        logging: ["audit".to_owned()].into(),
        deletion_protection: false,
        partition: "aws".into(),
        deployer: "arn:aws:iam::111122223333:user/trunkline-test".into(),
        admins: vec![text(&made[3]).to_owned()],
    };
    (world, spec)
}

fn layer(world: &World, spec: &ClusterSpec) -> AnyLayer {
    any(Cluster::new(spec.clone(), world.aws.clone()))
}

/// Runs a few lines of boto3 on the emulator; the calls are not ours.
fn eks(world: &World, lines: &str) -> Value {
    world.boto3(&format!(
        "eks, name = client('eks', front), '{NAME}'\n{lines}"
    ))
}

fn clusters(world: &World) -> Value {
    eks(world, "answer = eks.list_clusters()['clusters']")
}

async fn presence(layer: &AnyLayer) -> Presence {
    let observing = Observing {
        outputs: trunkline_ids::Outputs::new(),
        parent: Presence::Present,
    };
    let seen = layer.observe(&observing).await.seen;
    seen.presence[&Address::new("cluster", "cluster", "main")].clone()
}

#[tokio::test]
async fn the_cluster_is_made_kept_put_right_and_removed() {
    let (world, spec) = world().await;
    let cluster = layer(&world, &spec);
    assert_eq!(cluster.preflight().await, Ok(vec![]));
    assert_eq!(presence(&cluster).await, Presence::Absent);

    let (plan, report) = world.run(&cluster, DEPLOYED).await;
    assert!(
        report.is_done(),
        "{:#?}",
        report.failures().collect::<Vec<_>>()
    );
    assert_eq!(plan.count(Verb::Create), 4);
    assert!(report.outputs.get(&spec.endpoint()).is_some());
    world.only_named_calls(&cluster);
    let there = eks(
        &world,
        "c = eks.describe_cluster(name=name)['cluster']\n\
         def entry(p):\n\
         \x20   e = eks.describe_access_entry(clusterName=name, principalArn=p)['accessEntry']\n\
         \x20   ps = eks.list_associated_access_policies(clusterName=name, principalArn=p)['associatedAccessPolicies']\n\
         \x20   return [p, e['type'], e['tags'], [[x['policyArn'], x['accessScope']['type']] for x in ps]]\n\
         vpc = c['resourcesVpcConfig']\n\
         answer = [{k: c.get(k) for k in ('version', 'status', 'tags', 'accessConfig', 'computeConfig', 'storageConfig',\n\
         \x20   'upgradePolicy', 'deletionProtection', 'logging', 'roleArn')},\n\
         \x20   c['kubernetesNetworkConfig']['elasticLoadBalancing'], len(vpc['subnetIds']), vpc['endpointPublicAccess'],\n\
         \x20   vpc['endpointPrivateAccess'], vpc['publicAccessCidrs'],\n\
         \x20   sorted(entry(p) for p in eks.list_access_entries(clusterName=name)['accessEntries'])]",
    );
    insta::assert_json_snapshot!(there);

    world.fake.clear_record();
    world.is_as_wished(&cluster, DEPLOYED).await;
    assert_eq!(world.mutated(), Vec::<String>::new());
    assert_eq!(presence(&cluster).await, Presence::Present);

    let changed = eks(
        &world,
        "import time\n\
         def change(**what):\n\
         \x20   u = eks.update_cluster_config(name=name, **what)['update']['id']\n\
         \x20   end = time.monotonic() + 30\n\
         \x20   while eks.describe_update(name=name, updateId=u)['update']['status'] != 'Successful':\n\
         \x20       assert time.monotonic() < end\n\
         \x20       time.sleep(0.02)\n\
         change(resourcesVpcConfig={'endpointPublicAccess': True, 'publicAccessCidrs': ['0.0.0.0/0']})\n\
         change(logging={'clusterLogging': [{'types': ['api'], 'enabled': True}, {'types': ['audit'], 'enabled': False}]})\n\
         change(deletionProtection=True)\n\
         ops = [p for p in eks.list_access_entries(clusterName=name)['accessEntries'] if p.endswith('Ops')][0]\n\
         eks.delete_access_entry(clusterName=name, principalArn=ops)\n\
         client('iam').create_user(UserName='stranger')\n\
         eks.create_access_entry(clusterName=name, principalArn='arn:aws:iam::111122223333:user/stranger')\n\
         answer = ops",
    );
    assert_eq!(text(&changed), spec.admins[0]);
    let plan = world.done(&cluster, DEPLOYED).await;
    assert_eq!((plan.count(Verb::Update), plan.count(Verb::Create)), (1, 1));
    assert_eq!(plan.foreign.len(), 1);
    world.is_as_wished(&cluster, DEPLOYED).await;

    let groups = "answer = len(client('ec2').describe_security_groups()['SecurityGroups'])";
    let before = world.boto3(groups).as_u64().unwrap();
    world.fake.clear_record();
    let plan = world.done(&cluster, DESTROYED).await;
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(world.mutated(), ["eks:DeleteCluster"]);
    assert_eq!(clusters(&world), json!([]));
    assert_eq!(cluster.leaks().await, Ok(vec![]));
    assert_eq!(world.boto3(groups).as_u64().unwrap(), before - 1);
    assert_eq!(world.done(&cluster, DESTROYED).await.steps, []);
}

#[tokio::test]
async fn a_protected_cluster_is_deleted_only_as_the_plan_says() {
    let (world, mut spec) = world().await;
    spec.deletion_protection = true;
    let cluster = layer(&world, &spec);
    let open = world.plan(&cluster, DEPLOYED).await;
    world.done(&cluster, DEPLOYED).await;
    assert_eq!(open.steps.len(), 4);
    let plan = world.done(&cluster, DESTROYED).await;
    assert!(plan.steps[0].loses.is_some());
    assert_eq!(clusters(&world), json!([]));
}

#[tokio::test]
async fn a_run_that_ended_while_the_cluster_was_made_is_taken_up() {
    let (world, spec) = world().await;
    let cluster = layer(&world, &spec);
    // Two seconds to become ACTIVE: the second run sees it CREATING.
    world.fake.settings(Settings {
        pace: Pace::Divided(300.0),
        ..Settings::default()
    });
    let (plan, outputs) = (world.plan(&cluster, DEPLOYED).await, world.outputs.clone());
    let intents = std::sync::Arc::new(trunkline_engine::NoIntents);
    let first = world.walk(&cluster, &plan, outputs, intents);
    let creating = async {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !world.called().contains("eks:CreateCluster") {
            assert!(Instant::now() < deadline, "CreateCluster did not happen");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = first => panic!("the first run must not end"),
        () = creating => {}
    }
    assert_eq!(presence(&cluster).await, Presence::Absent);
    let again = world.done(&cluster, DEPLOYED).await;
    assert_eq!(again.count(Verb::Create), 4);
    let created = world
        .mutated()
        .into_iter()
        .filter(|c| c == "eks:CreateCluster");
    assert_eq!(created.count(), 1);
    world.is_as_wished(&cluster, DEPLOYED).await;
}

#[tokio::test]
async fn a_cluster_of_somebody_else_is_never_touched() {
    let (world, spec) = world().await;
    let make = "ec2 = client('ec2')\n\
         subnets = [s['SubnetId'] for s in ec2.describe_subnets(Filters=[{'Name': 'cidr-block', 'Values': ['10.20.0.0/24', '10.20.1.0/24']}])['Subnets']]\n\
         arn = client('iam').get_role(RoleName='cluster')['Role']['Arn']\n\
         eks.create_cluster(name=name, roleArn=arn, resourcesVpcConfig={'subnetIds': subnets})";
    eks(&world, make);
    world.fake.clear_record();
    let cluster = layer(&world, &spec);
    assert_eq!(cluster.preflight().await.unwrap().len(), 1);
    let (plan, report) = world.run(&cluster, DEPLOYED).await;
    assert_eq!(plan.foreign.len(), 1);
    assert_eq!(
        report.failures().next().unwrap().1.kind,
        FailureKind::Conflict
    );
    world.done(&cluster, DESTROYED).await;
    assert_eq!(world.mutated(), Vec::<String>::new());
    assert_eq!(cluster.leaks().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_makes_nothing_twice() {
    let (world, spec) = world().await;
    let cluster = layer(&world, &spec);
    for action in [
        "CreateCluster",
        "CreateAccessEntry",
        "AssociateAccessPolicy",
    ] {
        world
            .fake
            .fault(json!({"service": "eks", "action": action, "do": {"type": "drop_answer"}}));
    }
    world.done(&cluster, DEPLOYED).await;
    world.is_as_wished(&cluster, DEPLOYED).await;
    assert_eq!(clusters(&world), json!([NAME]));
    world
        .fake
        .fault(json!({"service": "eks", "action": "DeleteCluster", "do": {"type": "drop_answer"}}));
    world.done(&cluster, DESTROYED).await;
    assert_eq!(clusters(&world), json!([]));
}

#[tokio::test]
async fn what_iam_does_not_show_yet_is_waited_for() {
    let (world, spec) = world().await;
    let cluster = layer(&world, &spec);
    let refusals = [
        (
            "CreateCluster",
            "Role could not be assumed because the trusted entity is not correct",
        ),
        (
            "CreateAccessEntry",
            "The specified principalArn is invalid: invalid principal",
        ),
    ];
    for (action, message) in refusals {
        world.fake.fault(json!({"service": "eks", "action": action, "times": 2, "do": {
            "type": "fail", "status": 400, "code": "InvalidParameterException", "message": message,
        }}));
    }
    world.done(&cluster, DEPLOYED).await;
    let refused = world.calls().into_iter().filter(|call| !call.succeeded());
    assert_eq!(refused.filter(|call| call.mutating).count(), 4);
}

/// The first control plane does not come up.
#[derive(Default)]
struct Stillborn(std::sync::atomic::AtomicBool);

#[async_trait::async_trait]
impl ControlPlanes for Stillborn {
    async fn start(&self, wanted: &ControlPlane) -> Result<Endpoint, String> {
        if self.0.swap(true, std::sync::atomic::Ordering::SeqCst) {
            NoControlPlane.start(wanted).await
        } else {
            Err("no addresses left".into())
        }
    }

    async fn stop(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn a_stillborn_cluster_is_named_and_replaced_by_the_next_run() {
    let planes = std::sync::Arc::new(Stillborn::default());
    let (world, spec) = world_on(TestAws::start_with("111122223333", planes).await).await;
    let cluster = layer(&world, &spec);
    let (_, report) = world.run(&cluster, DEPLOYED).await;
    let (_, failure, tries) = report.failures().next().unwrap();
    assert_eq!((failure.kind, tries), (FailureKind::Conflict, 1));
    assert!(failure.cause.message.contains("FAILED"), "{failure}");
    assert!(failure.next.is_some());
    assert_eq!(presence(&cluster).await, Presence::Absent);
    let plan = world.done(&cluster, DEPLOYED).await;
    assert_eq!((plan.count(Verb::Delete), plan.count(Verb::Create)), (1, 4));
    world.is_as_wished(&cluster, DEPLOYED).await;
}

#[tokio::test]
async fn a_version_that_is_not_offered_is_said_before_anything_is_made() {
    let (world, mut spec) = world().await;
    spec.version = "1.99".into();
    let problems = layer(&world, &spec).preflight().await.unwrap();
    assert!(
        problems[0].contains("1.99") && problems[0].contains("1.35"),
        "{problems:?}"
    );
}
