//! Answers that are lost after the work was done, and an S3 that fails for a
//! while.

use std::sync::Arc;

use serde_json::{Value, json};
use trunkline_aws::{Guard, Open};
use trunkline_engine::Intents;
use trunkline_fake_aws::testing::TestAws;
use trunkline_ids::Address;
use trunkline_ledger::SystemClock;
use ulid::Ulid;

use crate::support::{boto3, calls, claim, ledger, lively, s3_alone, signs, until};

fn lose(s3: &TestAws, action: &str, times: u32) {
    s3.fault(json!({
        "service": "s3", "action": action, "times": times, "do": {"type": "drop_answer"},
    }));
}

fn lost(s3: &TestAws, environment: &str) -> usize {
    let calls = calls(s3, environment);
    calls.iter().filter(|call| call.fault.is_some()).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_whose_answer_was_lost_is_held() {
    let (s3, _turn) = s3_alone().await;
    let ledger = ledger(s3, "lost-lease").await;
    // Once, so that the SDK tries again and is refused; and so often that
    // no try is answered.
    for times in [1, 3] {
        lose(s3, "PutObject", times);
        let lease = ledger
            .acquire(&claim("lost-lease", "holder"))
            .await
            .unwrap();
        lease.guard().check().unwrap();
        lease.release().await.unwrap();
    }
    assert!(lost(s3, "lost-lease") >= 2);
    assert_eq!(boto3(s3, "lost-lease", "answer = keys()"), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_whose_answer_was_lost_was_given() {
    let (s3, _turn) = s3_alone().await;
    let ledger = ledger(s3, "lost-sign").await;
    let ledger = ledger.timed(Arc::new(SystemClock), lively());
    let lease = ledger.acquire(&claim("lost-sign", "holder")).await.unwrap();
    let signs = || signs(s3, "lost-sign");
    for times in [1, 3] {
        lose(s3, "PutObject", times);
        let before = lost(s3, "lost-sign");
        until("the lost answer", || async {
            (lost(s3, "lost-sign") > before).then_some(())
        })
        .await;
        let given = signs();
        until("two further signs", || async {
            (signs() >= given + 2).then_some(())
        })
        .await;
        lease.guard().check().unwrap();
    }
    lease.release().await.unwrap();
    assert_eq!(boto3(s3, "lost-sign", "answer = keys()"), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_given_back_although_the_answer_was_lost() {
    let (s3, _turn) = s3_alone().await;
    let ledger = ledger(s3, "lost-release").await;
    let lease = ledger
        .acquire(&claim("lost-release", "holder"))
        .await
        .unwrap();
    lose(s3, "DeleteObject", 1);
    lease.release().await.unwrap();
    assert_eq!(lost(s3, "lost-release"), 1);
    assert!(ledger.acquire(&claim("lost-release", "next")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_whose_answer_was_lost_is_written() {
    let (s3, _turn) = s3_alone().await;
    let ledger = ledger(s3, "lost-intent").await;
    let run = Ulid::generate();
    let intents = ledger.intents(Arc::new(Open), run).await.unwrap();
    lose(s3, "PutObject", 1);
    let address = Address::new("net", "vpc", "main");
    let intent = intents.intend(&address).await.unwrap();
    assert_eq!(lost(s3, "lost-intent"), 1);
    let token: Value = boto3(
        s3,
        "lost-intent",
        "answer = json.loads(text('intents/net/vpc/main.json'))['token']",
    );
    assert_eq!(token, json!(intent.token));
}
