//! The layer on an emulated S3; what is there is read by boto3.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

#[path = "../../access/tests/support/mod.rs"]
mod support;

use std::sync::Arc;

use serde_json::{Value, json};
use support::{World, any};
use trunkline_engine::{AnyLayer, FailureKind, Left, NoIntents, Verb, Wish};
use trunkline_storage::{Storage, StorageSpec};

const DEPLOYED: Wish = Wish::Deployed;
const DESTROYED: Wish = Wish::Destroyed { with_data: false };
const WITH_DATA: Wish = Wish::Destroyed { with_data: true };
const EGRESS: &str = "trunkline-sandbox-111122223333-eu-central-1-egress";

fn layer(world: &World) -> AnyLayer {
    let aws = world.aws.clone();
    let spec = StorageSpec::new(
        aws.environment(),
        aws.account().clone(),
        aws.region(),
        "aws",
    );
    any(Storage::new(spec, aws))
}

/// Runs a few lines of boto3 on the bucket `name` by the client `s3`.
fn s3(world: &World, lines: &str) -> Value {
    world.boto3(&format!("s3, name = client('s3'), '{EGRESS}'\n{lines}"))
}

fn buckets(world: &World) -> Value {
    s3(
        world,
        "answer = [b['Name'] for b in s3.list_buckets()['Buckets']]",
    )
}

#[tokio::test]
async fn the_bucket_is_made_kept_put_right_and_removed() {
    let world = World::start("sandbox").await;
    let storage = layer(&world);
    assert_eq!(storage.preflight().await, Ok(vec![]));
    let plan = world.done(&storage, DEPLOYED).await;
    assert_eq!(plan.count(Verb::Create), 1);
    let there = s3(
        &world,
        "answer = [s3.get_bucket_location(Bucket=name)['LocationConstraint'],\n\
         \x20 s3.get_bucket_tagging(Bucket=name)['TagSet'],\n\
         \x20 s3.get_bucket_versioning(Bucket=name)['Status'],\n\
         \x20 s3.get_bucket_encryption(Bucket=name)['ServerSideEncryptionConfiguration'],\n\
         \x20 s3.get_public_access_block(Bucket=name)['PublicAccessBlockConfiguration'],\n\
         \x20 s3.get_bucket_ownership_controls(Bucket=name)['OwnershipControls'],\n\
         \x20 json.loads(s3.get_bucket_policy(Bucket=name)['Policy']),\n\
         \x20 s3.get_bucket_lifecycle_configuration(Bucket=name)['Rules']]",
    );
    insta::assert_json_snapshot!(there);

    world.fake.clear_record();
    world.is_as_wished(&storage, DEPLOYED).await;
    assert_eq!(world.mutated(), Vec::<String>::new());

    s3(
        &world,
        "s3.delete_public_access_block(Bucket=name)\n\
         s3.delete_bucket_policy(Bucket=name)\n\
         s3.delete_bucket_lifecycle(Bucket=name)\n\
         s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={'Status': 'Suspended'})\n\
         tags = s3.get_bucket_tagging(Bucket=name)['TagSet']\n\
         tags = [t for t in tags if t['Key'] != 'Name'] + [{'Key': 'team', 'Value': 'voice'}]\n\
         s3.put_bucket_tagging(Bucket=name, Tagging={'TagSet': tags})",
    );
    let plan = world.done(&storage, DEPLOYED).await;
    let fields: Vec<&str> = plan.steps[0]
        .changes
        .iter()
        .map(|c| c.field.as_str())
        .collect();
    let changed = [
        "versioning",
        "public access block",
        "bucket policy",
        "lifecycle rules",
        "tag Name",
    ];
    assert_eq!(fields, changed);
    world.is_as_wished(&storage, DEPLOYED).await;
    let tags = s3(
        &world,
        "answer = {t['Key']: t['Value'] for t in s3.get_bucket_tagging(Bucket=name)['TagSet']}",
    );
    assert_eq!(tags["team"], "voice");

    world.done(&storage, DESTROYED).await;
    assert_eq!(buckets(&world), json!([]));
    assert_eq!(storage.leaks().await, Ok(vec![]));
    world.only_named_calls(&storage);
}

#[tokio::test]
async fn data_is_kept_until_it_is_given_up() {
    let world = World::start("sandbox").await;
    let storage = layer(&world);
    world.done(&storage, DEPLOYED).await;
    s3(
        &world,
        "for n in range(3):\n\
         \x20   s3.put_object(Bucket=name, Key='call.ogg', Body=b'x' * n)\n\
         s3.put_object(Bucket=name, Key='other.ogg', Body=b'y')\n\
         s3.delete_object(Bucket=name, Key='other.ogg')\n\
         s3.create_multipart_upload(Bucket=name, Key='half.ogg')",
    );
    let plan = world.done(&storage, DESTROYED).await;
    assert_eq!((plan.steps.len(), plan.kept.len()), (0, 1));
    assert_eq!(buckets(&world), json!([EGRESS]));
    world.is_as_wished(&storage, DEPLOYED).await;

    let plan = world.done(&storage, WITH_DATA).await;
    assert!(plan.steps[0].loses.is_some());
    assert_eq!(buckets(&world), json!([]));
    world.only_named_calls(&storage);
}

#[tokio::test]
async fn a_bucket_that_was_filled_meanwhile_is_not_deleted() {
    let world = World::start("sandbox").await;
    let storage = layer(&world);
    world.done(&storage, DEPLOYED).await;
    let plan = world.plan(&storage, DESTROYED).await;
    s3(
        &world,
        "s3.put_object(Bucket=name, Key='call.ogg', Body=b'x')",
    );
    let outputs = world.outputs.clone();
    let intents = Arc::new(NoIntents);
    let report = world.walk(&storage, &plan, outputs, intents).await;
    let failures: Vec<_> = report.failures().collect();
    assert_eq!(failures[0].1.kind, FailureKind::Conflict);
    let next = failures[0].1.next.as_deref();
    assert_eq!(next, Some("trunkline destroy sandbox --delete-data"));
    assert_eq!(buckets(&world), json!([EGRESS]));
}

#[tokio::test]
async fn a_bucket_of_somebody_else_is_never_touched() {
    let world = World::start("sandbox").await;
    let storage = layer(&world);
    let make = "s3.create_bucket(Bucket=name, CreateBucketConfiguration={'LocationConstraint': 'eu-central-1'})\n\
         s3.put_bucket_tagging(Bucket=name, Tagging={'TagSet': [{'Key': 'owner', 'Value': 'bob'}]})";
    s3(&world, make);
    assert_eq!(storage.preflight().await.unwrap().len(), 1);
    let (plan, report) = world.run(&storage, DEPLOYED).await;
    assert_eq!(plan.foreign.len(), 1);
    assert_eq!(
        report.failures().next().unwrap().1.kind,
        FailureKind::Conflict
    );
    world.done(&storage, WITH_DATA).await;
    assert_eq!(buckets(&world), json!([EGRESS]));
    assert_eq!(world.mutated(), Vec::<String>::new());
    assert_eq!(storage.leaks().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_lost_answer_makes_nothing_twice() {
    let world = World::start("sandbox").await;
    let storage = layer(&world);
    for action in ["CreateBucket", "PutBucketTagging", "PutBucketPolicy"] {
        world
            .fake
            .fault(json!({"service": "s3", "action": action, "do": {"type": "drop_answer"}}));
    }
    world.done(&storage, DEPLOYED).await;
    world.is_as_wished(&storage, DEPLOYED).await;
    let calls = world.calls();
    assert_eq!(
        calls.iter().filter(|c| c.action == "CreateBucket").count(),
        1
    );
}

/// An S3 that ignores tags in CreateBucket leaves a bucket without tags when a
/// run ends right after it: only the intent of that run proves it ours.
#[tokio::test]
async fn an_untagged_bucket_is_ours_only_after_an_intent_of_ours() {
    let world = World::start("sandbox").await;
    let storage = layer(&world);
    world
        .fake
        .fault(json!({"service": "s3", "action": "CreateBucket", "do": {
            "type": "fail", "status": 403, "code": "AccessDenied", "message": "no",
        }}));
    let (plan, report) = world.run(&storage, DEPLOYED).await;
    assert!(!report.is_done());
    s3(
        &world,
        "s3.create_bucket(Bucket=name, CreateBucketConfiguration={'LocationConstraint': 'eu-central-1'})",
    );

    let stranger = Arc::new(NoIntents);
    let report = world
        .walk(&storage, &plan, world.outputs.clone(), stranger)
        .await;
    assert_eq!(
        report.failures().next().unwrap().1.kind,
        FailureKind::Conflict
    );

    assert_eq!(storage.preflight().await, Ok(vec![]));
    world.done(&storage, DEPLOYED).await;
    world.is_as_wished(&storage, DEPLOYED).await;
    let created = world
        .mutated()
        .into_iter()
        .filter(|call| call == "s3:CreateBucket");
    assert_eq!(created.count(), 1);
}

#[tokio::test]
async fn a_create_that_ended_in_the_middle_is_finished_by_the_next_run() {
    let world = World::start("sandbox").await;
    let storage = layer(&world);
    world.fake.fault(
        json!({"service": "s3", "action": "PutBucketVersioning", "do": {
            "type": "fail", "status": 403, "code": "AccessDenied", "message": "no",
        }}),
    );
    let (_, report) = world.run(&storage, DEPLOYED).await;
    let (_, failure, _) = report.failures().next().unwrap();
    assert!(matches!(&failure.left, Left::Remains(what) if what[0].contains(EGRESS)));
    let plan = world.done(&storage, DEPLOYED).await;
    assert_eq!(plan.count(Verb::Update), 1);
    world.is_as_wished(&storage, DEPLOYED).await;
}
