//! The layer on an emulated IAM; what is there is read by boto3.

mod support;

use serde_json::json;
use support::{World, any};
use trunkline_access::{Access, AccessSpec};
use trunkline_engine::{AnyLayer, FailureKind, Verb, Wish};

const DEPLOYED: Wish = Wish::Deployed;
const DESTROYED: Wish = Wish::Destroyed { with_data: false };

fn layer(world: &World) -> AnyLayer {
    let aws = world.aws.clone();
    let spec = AccessSpec::new(aws.environment(), aws.account().clone(), "aws");
    any(Access::new(spec, aws))
}

#[tokio::test]
async fn roles_are_made_kept_put_right_and_removed() {
    let world = World::start("sandbox").await;
    let access = layer(&world);
    let start = world.iam();
    assert_eq!(access.preflight().await, Ok(vec![]));

    let plan = world.done(&access, DEPLOYED).await;
    assert_eq!(plan.count(Verb::Create), 2);
    let there = world.boto3(
        "iam = client('iam')\n\
         def role(name):\n\
         \x20   r = iam.get_role(RoleName=name)['Role']\n\
         \x20   return [r['Path'], r['AssumeRolePolicyDocument']['Statement'][0]['Action'],\n\
         \x20     sorted(p['PolicyName'] for p in iam.list_attached_role_policies(RoleName=name)['AttachedPolicies']),\n\
         \x20     iam.list_role_policies(RoleName=name)['PolicyNames'],\n\
         \x20     {t['Key']: t['Value'] for t in r['Tags']}]\n\
         answer = [role('trunkline-sandbox-' + n) for n in ('cluster', 'node')]",
    );
    insta::assert_json_snapshot!(there);

    world.fake.clear_record();
    world.is_as_wished(&access, DEPLOYED).await;
    assert_eq!(world.mutated(), Vec::<String>::new());

    world.boto3(
        "iam = client('iam')\n\
         iam.detach_role_policy(RoleName='trunkline-sandbox-node', PolicyArn='arn:aws:iam::aws:policy/AmazonEKSWorkerNodeMinimalPolicy')\n\
         iam.attach_role_policy(RoleName='trunkline-sandbox-node', PolicyArn='arn:aws:iam::aws:policy/ReadOnlyAccess')\n\
         iam.delete_role_policy(RoleName='trunkline-sandbox-cluster', PolicyName='auto-mode-tags')",
    );
    let plan = world.done(&access, DEPLOYED).await;
    assert_eq!((plan.count(Verb::Update), plan.steps.len()), (2, 2));
    assert_eq!(plan.foreign.len(), 1);
    world.is_as_wished(&access, DEPLOYED).await;

    let plan = world.done(&access, DESTROYED).await;
    assert_eq!(plan.count(Verb::Delete), 2);
    assert_eq!(access.leaks().await, Ok(vec![]));
    assert_eq!(world.iam(), start);
    world.only_named_calls(&access);
}

#[tokio::test]
async fn a_role_of_somebody_else_is_never_touched() {
    let world = World::start("sandbox").await;
    let access = layer(&world);
    world.boto3(
        "iam = client('iam')\n\
         doc = json.dumps({'Version': '2012-10-17', 'Statement': []})\n\
         iam.create_role(RoleName='trunkline-sandbox-node', AssumeRolePolicyDocument=doc)\n\
         iam.create_role(RoleName='other', Path='/trunkline/sandbox/', AssumeRolePolicyDocument=doc)",
    );
    let before = world.iam();
    assert_eq!(access.preflight().await.unwrap().len(), 1);
    let (plan, report) = world.run(&access, DEPLOYED).await;
    assert_eq!(plan.foreign.len(), 1);
    let failures: Vec<_> = report.failures().collect();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].1.kind, FailureKind::Conflict);
    assert!(failures[0].1.next.is_some());
    world.done(&access, DESTROYED).await;
    assert_eq!(world.iam(), before);
    assert_eq!(access.leaks().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_makes_nothing_twice() {
    let world = World::start("sandbox").await;
    let access = layer(&world);
    for action in ["CreateRole", "AttachRolePolicy", "PutRolePolicy"] {
        world
            .fake
            .fault(json!({"service": "iam", "action": action, "do": {"type": "drop_answer"}}));
    }
    world.done(&access, DEPLOYED).await;
    world.is_as_wished(&access, DEPLOYED).await;
    let succeeded = world
        .fake
        .record()
        .into_iter()
        .filter(|c| c.action == "CreateRole" && c.succeeded());
    assert_eq!(succeeded.count(), 2);
}
