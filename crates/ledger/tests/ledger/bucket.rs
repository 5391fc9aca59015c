//! The bucket: made, repaired, refused.

use serde_json::json;
use trunkline_engine::FailureKind;
use trunkline_ledger::Setting;

use crate::support::{boto3, bucket_of, calls, ledger, s3, s3_alone, unmade};

/// What a second client sees of the bucket.
const LOOK: &str = "answer = {
  'tags': {t['Key']: t['Value'] for t in s3.get_bucket_tagging(Bucket=bucket)['TagSet']},
  'versioning': s3.get_bucket_versioning(Bucket=bucket)['Status'],
  'encryption': s3.get_bucket_encryption(Bucket=bucket)['ServerSideEncryptionConfiguration']['Rules'][0]['ApplyServerSideEncryptionByDefault']['SSEAlgorithm'],
  'public': s3.get_public_access_block(Bucket=bucket)['PublicAccessBlockConfiguration'],
  'ownership': s3.get_bucket_ownership_controls(Bucket=bucket)['OwnershipControls']['Rules'][0]['ObjectOwnership'],
  'policy': json.loads(s3.get_bucket_policy(Bucket=bucket)['Policy'])['Statement'][0],
  'lifecycle': {r['ID']: [r['Status'], r.get('Expiration', {}).get('Days'), r.get('NoncurrentVersionExpiration', {}).get('NoncurrentDays')] for r in s3.get_bucket_lifecycle_configuration(Bucket=bucket)['Rules']},
  'region': s3.get_bucket_location(Bucket=bucket)['LocationConstraint'],
}";

#[tokio::test(flavor = "multi_thread")]
async fn is_made_as_it_should_be() {
    let (s3, _turn) = s3().await;
    let made = unmade(s3, "made").await.bootstrap().await.unwrap();
    assert!(made.created);
    let name = bucket_of("made");
    assert_eq!(
        boto3(s3, "made", LOOK),
        json!({
            "tags": {
                "trunkline:environment": "made",
                "trunkline:address": "ledger/bucket/main",
                "Name": "made-bucket-main",
            },
            "versioning": "Enabled",
            "encryption": "AES256",
            "public": {
                "BlockPublicAcls": true,
                "IgnorePublicAcls": true,
                "BlockPublicPolicy": true,
                "RestrictPublicBuckets": true,
            },
            "ownership": "BucketOwnerEnforced",
            "policy": {
                "Sid": "TlsOnly",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "s3:*",
                "Resource": [format!("arn:aws:s3:::{name}"), format!("arn:aws:s3:::{name}/*")],
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
            "lifecycle": {
                "old-runs": ["Enabled", 365, null],
                "old-leases": ["Enabled", null, 1],
                "old-versions": ["Enabled", null, 30],
            },
            "region": "eu-central-1",
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn is_left_alone_when_it_is_as_it_should_be() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "again").await;
    let mutating = || {
        calls(s3, "again")
            .iter()
            .filter(|call| call.mutating)
            .count()
    };
    let before = mutating();
    assert!(before > 0, "the record must show what was made");
    assert!(ledger.bootstrap().await.unwrap().is_unchanged());
    assert_eq!(mutating(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn is_repaired() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "repaired").await;
    let whole = boto3(s3, "repaired", LOOK);
    boto3(
        s3,
        "repaired",
        "s3.delete_bucket_policy(Bucket=bucket)
s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Suspended'})
s3.delete_bucket_lifecycle(Bucket=bucket)
s3.delete_public_access_block(Bucket=bucket)",
    );
    let done = ledger.bootstrap().await.unwrap();
    assert!(!done.created && !done.marked);
    assert_eq!(
        done.repaired,
        [
            Setting::Versioning,
            Setting::PublicAccessBlock,
            Setting::TlsOnly,
            Setting::Lifecycle
        ]
    );
    assert_eq!(boto3(s3, "repaired", LOOK), whole);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_somebody_else_is_refused_and_not_touched() {
    let (s3, _turn) = s3().await;
    let create = "s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={'LocationConstraint': 'eu-central-1'})";
    let tag = |tags: &str| {
        format!("{create}\ns3.put_bucket_tagging(Bucket=bucket, Tagging={{'TagSet': [{tags}]}})")
    };
    let others = [
        (
            "filled",
            format!("{create}\ns3.put_object(Bucket=bucket, Key='x', Body=b'x')"),
        ),
        ("tagged", tag("{'Key': 'team', 'Value': 'billing'}")),
        (
            "another",
            tag("{'Key': 'trunkline:environment', 'Value': 'live'}, \
                 {'Key': 'trunkline:address', 'Value': 'ledger/bucket/main'}"),
        ),
        (
            "otherwise",
            tag("{'Key': 'trunkline:environment', 'Value': 'otherwise'}, \
                 {'Key': 'trunkline:address', 'Value': 'storage/bucket/egress'}"),
        ),
    ];
    for (environment, lines) in others {
        boto3(s3, environment, &lines);
        let refused = unmade(s3, environment).await.bootstrap().await.unwrap_err();
        assert_eq!(
            refused.kind,
            FailureKind::Conflict,
            "{environment}: {refused}"
        );
        assert!(refused.next.is_some());
        let changed = calls(s3, environment)
            .into_iter()
            .filter(|call| call.mutating);
        assert_eq!(changed.count(), 0, "{environment}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn is_made_once_by_several_at_the_same_time() {
    let (s3, _turn) = s3().await;
    let ledger = unmade(s3, "several").await;
    let done = futures::future::join_all((0..4).map(|_| ledger.bootstrap())).await;
    for one in &done {
        assert!(one.is_ok(), "{one:?}");
    }
    assert!(ledger.bootstrap().await.unwrap().is_unchanged());
}

#[tokio::test(flavor = "multi_thread")]
async fn is_made_although_the_answer_was_lost() {
    let (s3, _turn) = s3_alone().await;
    s3.fault(json!({"service": "s3", "action": "CreateBucket", "do": {"type": "drop_answer"}}));
    let ledger = unmade(s3, "lost-bucket").await;
    assert!(ledger.bootstrap().await.unwrap().created);
    assert!(ledger.bootstrap().await.unwrap().is_unchanged());
    assert!(
        calls(s3, "lost-bucket")
            .iter()
            .any(|call| call.fault.is_some())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_one_is_said_with_what_to_do() {
    let (s3, _turn) = s3().await;
    let failure = unmade(s3, "missing").await.holding().await.unwrap_err();
    assert_eq!(failure.kind, FailureKind::Gone);
    assert!(
        failure
            .next
            .unwrap()
            .contains("trunkline bootstrap missing")
    );
}
