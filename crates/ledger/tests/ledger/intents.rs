//! Intents: durable before the create, listed by the next run, settled in
//! bulk.

use std::sync::Arc;

use serde_json::json;
use trunkline_aws::{Guard, Open};
use trunkline_engine::{FailureKind, Intents};
use trunkline_ids::Address;
use ulid::Ulid;

use crate::support::{boto3, calls, ledger, s3};

#[derive(Debug)]
struct Lost;

impl Guard for Lost {
    fn check(&self) -> Result<(), String> {
        Err("the lease was taken over".to_owned())
    }
}

fn subnet(name: usize) -> Address {
    Address::new("net", "subnet", &format!("private-{name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn are_there_for_the_next_run() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "intents").await;
    let (vpc, run) = (Address::new("net", "vpc", "main"), Ulid::generate());
    let first = ledger.intents(Arc::new(Open), run).await.unwrap();
    assert_eq!(first.open(&vpc), None);
    let intent = first.intend(&vpc).await.unwrap();
    // Durable when it returns, and open for another try of the same step.
    assert_eq!(
        boto3(
            s3,
            "intents",
            "answer = json.loads(text('intents/net/vpc/main.json'))"
        ),
        json!({"address": "net/vpc/main", "token": intent.token, "run": run.to_string()})
    );
    assert_eq!(first.open(&vpc), Some(intent.clone()));

    let next = ledger
        .intents(Arc::new(Open), Ulid::generate())
        .await
        .unwrap();
    let found = next.open(&vpc).unwrap();
    assert_eq!(found.token, intent.token);
    // Both times are S3's, one by its header, one by its list.
    let apart = found.at.duration_since(intent.at).abs();
    assert!(apart <= jiff::SignedDuration::from_secs(1), "{apart}");

    next.settle([&vpc]).await.unwrap();
    assert_eq!(next.open(&vpc), None);
    assert_eq!(boto3(s3, "intents", "answer = keys()"), json!([]));
    let last = ledger
        .intents(Arc::new(Open), Ulid::generate())
        .await
        .unwrap();
    assert!(last.all_open().is_empty());
    // A create after that is another one.
    assert_ne!(last.intend(&vpc).await.unwrap().token, intent.token);
}

#[tokio::test(flavor = "multi_thread")]
async fn are_settled_in_one_go() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "bulk").await;
    let intents = ledger
        .intents(Arc::new(Open), Ulid::generate())
        .await
        .unwrap();
    let addresses: Vec<Address> = (0..20).map(subnet).collect();
    let writes = addresses.iter().map(|address| intents.intend(address));
    futures::future::try_join_all(writes).await.unwrap();
    assert_eq!(boto3(s3, "bulk", "answer = len(keys())"), json!(20));
    let unknown = subnet(99);
    let settled = addresses[..15].iter().chain([&unknown]);
    intents.settle(settled).await.unwrap();
    assert_eq!(intents.all_open().len(), 5);
    assert_eq!(boto3(s3, "bulk", "answer = len(keys())"), json!(5));
    let requests = calls(s3, "bulk");
    assert_eq!(
        requests
            .iter()
            .filter(|call| call.action.starts_with("DeleteObject"))
            .count(),
        1
    );
    // Nothing to settle asks nothing.
    intents.settle([&unknown]).await.unwrap();
    assert_eq!(calls(s3, "bulk").len(), requests.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_lost_holder_are_not_written() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "lost-holder").await;
    let vpc = Address::new("net", "vpc", "main");
    let holder = ledger
        .intents(Arc::new(Open), Ulid::generate())
        .await
        .unwrap();
    let intent = holder.intend(&vpc).await.unwrap();
    let late = ledger
        .intents(Arc::new(Lost), Ulid::generate())
        .await
        .unwrap();
    assert_eq!(
        late.intend(&vpc).await.unwrap_err().kind,
        FailureKind::Stopped
    );
    assert_eq!(
        late.settle([&vpc]).await.unwrap_err().kind,
        FailureKind::Stopped
    );
    let there = ledger
        .intents(Arc::new(Open), Ulid::generate())
        .await
        .unwrap();
    assert_eq!(there.open(&vpc).unwrap().token, intent.token);
}

#[tokio::test(flavor = "multi_thread")]
async fn that_cannot_be_read_are_not_passed_over() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "unreadable").await;
    boto3(
        s3,
        "unreadable",
        "s3.put_object(Bucket=bucket, Key='intents/net/vpc/main.json', Body=b'{')",
    );
    let failure = ledger
        .intents(Arc::new(Open), Ulid::generate())
        .await
        .unwrap_err();
    assert!(
        failure.to_string().contains("intents/net/vpc/main.json"),
        "{failure}"
    );
}
