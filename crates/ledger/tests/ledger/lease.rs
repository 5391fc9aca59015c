//! The lease: one holder, expiry, take-over, a holder that lost it, a holder
//! that was killed.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use trunkline_aws::{Guard, Open};
use trunkline_engine::FailureKind;
use trunkline_fake_aws::testing::TestAws;
use trunkline_ids::{AccountId, BucketName};
use trunkline_ledger::{Clock, Lease, LeaseError, Ledger, SystemClock, Timing};

use crate::support::{
    Hand, aws, boto3, bucket_of, claim, ledger, lively, s3, sdk, short, signs, until,
};

const RACERS: usize = 16;
const NEVER: Duration = Duration::from_secs(3600);

/// Asks for the lease until it is had.
async fn take(ledger: &Ledger, environment: &str, holder: &str) -> Lease {
    until("the take-over", || async {
        match ledger.acquire(&claim(environment, holder)).await {
            Ok(lease) => Some(lease),
            Err(LeaseError::Taken(_)) => None,
            Err(LeaseError::Failed(failure)) => panic!("{failure}"),
        }
    })
    .await
}

fn holder(s3: &TestAws, environment: &str) -> String {
    let holder = boto3(
        s3,
        environment,
        "answer = json.loads(text('lease.json'))['holder']",
    );
    holder.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_racers_one_wins() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "racers").await;
    let racers = (0..RACERS).map(|racer| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            ledger
                .acquire(&claim("racers", &format!("racer-{racer}")))
                .await
        })
    });
    let ended = futures::future::join_all(racers).await;
    let (mut winners, mut told) = (Vec::new(), Vec::new());
    for one in ended {
        match one.unwrap() {
            Ok(lease) => winners.push(lease),
            Err(LeaseError::Taken(holding)) => told.push(holding.holder),
            Err(LeaseError::Failed(failure)) => panic!("{failure}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(told.len(), RACERS - 1);
    let winner = holder(s3, "racers");
    assert!(told.iter().all(|one| *one == winner), "{winner}: {told:?}");
}

/// The control of the race: who looks first and then writes without a
/// condition wins together with others.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_conditions_several_racers_win() {
    let (s3, _turn) = s3().await;
    ledger(s3, "naive").await;
    let client = aws_sdk_s3::Client::new(&sdk(&s3.endpoint(), s3.credentials()).await);
    let start = Arc::new(tokio::sync::Barrier::new(RACERS));
    let racers = (0..RACERS).map(|_| {
        let (client, start) = (client.clone(), Arc::clone(&start));
        tokio::spawn(async move {
            let bucket = bucket_of("naive");
            let look = client
                .get_object()
                .bucket(&bucket)
                .key("lease.json")
                .send()
                .await;
            start.wait().await;
            if look.is_ok() {
                return false;
            }
            let write = client.put_object().bucket(&bucket).key("lease.json");
            write.send().await.is_ok()
        })
    });
    let ended = futures::future::join_all(racers).await;
    let winners = ended
        .into_iter()
        .filter(|won| *won.as_ref().unwrap())
        .count();
    assert!(winners > 1, "the race would not show two winners");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_it_is_told() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "told").await;
    assert_eq!(ledger.holding().await.unwrap(), None);
    let first = claim("told", "alice@laptop");
    let lease = ledger.acquire(&first).await.unwrap();
    let Err(LeaseError::Taken(holding)) = ledger.acquire(&claim("told", "bob@laptop")).await else {
        panic!("taken twice");
    };
    assert_eq!(holding.holder, "alice@laptop");
    assert_eq!(holding.run, Some(first.run));
    assert_eq!(holding.expiry, Duration::from_secs(60));
    assert!(holding.last_sign < Duration::from_secs(30));
    assert_eq!(
        ledger.holding().await.unwrap().unwrap().run,
        Some(first.run)
    );
    lease.release().await.unwrap();
    assert_eq!(boto3(s3, "told", "answer = keys()"), serde_json::json!([]));
    assert!(ledger.acquire(&claim("told", "bob@laptop")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_keep_it_alive() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "alive").await;
    let timing = short(Duration::from_millis(300));
    let keeper = ledger.clone().timed(Arc::new(SystemClock), timing);
    let lease = keeper.acquire(&claim("alive", "keeper")).await.unwrap();
    // More signs than fit into one life of it.
    until("twenty signs", || async {
        let taken = ledger.acquire(&claim("alive", "other")).await;
        assert!(
            matches!(taken, Err(LeaseError::Taken(_))),
            "taken from a living holder"
        );
        (signs(s3, "alive") >= 20).then_some(())
    })
    .await;
    lease.guard().check().unwrap();
    lease.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_expires_after_the_last_sign() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "expires").await;
    let silent = ledger.clone().timed(Arc::new(SystemClock), short(NEVER));
    let lease = silent.acquire(&claim("expires", "silent")).await.unwrap();
    let guard = lease.guard();
    let next = take(&ledger, "expires", "next").await;
    assert_eq!(holder(s3, "expires"), "next");
    let refused = guard.check().unwrap_err();
    assert!(refused.contains("could not be renewed"), "{refused}");
    assert_eq!(lease.lost().await, refused);
    assert_eq!(
        lease.release().await.unwrap_err().kind,
        FailureKind::Stopped
    );
    assert_eq!(
        holder(s3, "expires"),
        "next",
        "the old holder gave back what is not its"
    );
    next.guard().check().unwrap();
}

/// The holder's clocks stand still, so that it believes in its lease: it
/// hears the truth at its next sign, and does not take the lease back.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_was_replaced_hears_it() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "replaced").await;
    let stuck = ledger
        .clone()
        .timed(Arc::new(Hand::new()), short(Duration::from_secs(8)));
    let lease = stuck.acquire(&claim("replaced", "stuck")).await.unwrap();
    let next = take(&ledger, "replaced", "next").await;
    lease.guard().check().unwrap();
    let why = tokio::time::timeout(Duration::from_secs(30), lease.lost())
        .await
        .unwrap();
    assert_eq!(why, "the lease was taken over by next");
    assert_eq!(lease.guard().check().unwrap_err(), why);
    drop(lease);
    assert_eq!(holder(s3, "replaced"), "next");
    next.release().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_was_deleted_is_lost() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "deleted").await;
    let keeper = ledger.timed(Arc::new(SystemClock), lively());
    let lease = keeper.acquire(&claim("deleted", "keeper")).await.unwrap();
    boto3(
        s3,
        "deleted",
        "s3.delete_object(Bucket=bucket, Key='lease.json')",
    );
    let why = tokio::time::timeout(Duration::from_secs(30), lease.lost())
        .await
        .unwrap();
    assert_eq!(why, "the lease was deleted");
}

/// By either clock: one that ran on, and one that jumped while the machine
/// slept.
#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_silent_holder_do_not_leave() {
    let (s3, _turn) = s3().await;
    let second = Duration::from_secs(1);
    let cases = [
        ("slow", 50 * second, 50 * second),
        ("slept", second, 3600 * second),
    ];
    for (environment, monotonic, wall) in cases {
        let hand = Hand::new();
        let ledger = ledger(s3, environment).await;
        let ledger = ledger.timed(Arc::new(hand.clone()), Timing::default());
        let lease = ledger.acquire(&claim(environment, "holder")).await.unwrap();
        let guarded = aws(s3, environment, Arc::new(lease.guard())).await;
        let client = aws_sdk_s3::Client::new(guarded.sdk());
        let ask = || {
            client
                .list_objects_v2()
                .bucket(bucket_of(environment))
                .send()
        };
        hand.pass(49 * second, 49 * second);
        ask().await.unwrap();
        let asked = calls_of_lists(s3, environment);
        hand.pass(monotonic, wall);
        let error = ask().await.unwrap_err();
        let failure = trunkline_aws::failure("S3", "ListObjectsV2", &error);
        assert_eq!(failure.kind, FailureKind::Stopped, "{failure}");
        assert_eq!(calls_of_lists(s3, environment), asked, "a request left");
        // The control: without the guard it would have left.
        let open = aws(s3, environment, Arc::new(Open)).await;
        let open = aws_sdk_s3::Client::new(open.sdk()).list_objects_v2();
        open.bucket(bucket_of(environment)).send().await.unwrap();
        assert_eq!(calls_of_lists(s3, environment), asked + 1);
        // Once lost is lost, even if the clocks should agree again.
        assert!(lease.guard().check().is_err());
    }
}

fn calls_of_lists(s3: &TestAws, environment: &str) -> usize {
    let calls = crate::support::calls(s3, environment);
    calls
        .iter()
        .filter(|call| call.action == "ListObjectsV2")
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_it_was_given_back_no_request_leaves() {
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "closed").await;
    let lease = ledger.acquire(&claim("closed", "holder")).await.unwrap();
    let guard = lease.guard();
    guard.check().unwrap();
    lease.release().await.unwrap();
    assert_eq!(guard.check().unwrap_err(), "the lease was given back");
}

/// The child of the test below: holds the lease and waits to be killed.
const CHILD: &str = "LEDGER_TEST_CHILD";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_holder_is_taken_over() {
    if let Ok(at) = std::env::var(CHILD) {
        let [endpoint, id, secret] = at.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{at}");
        };
        return hold_until_killed(endpoint, (id.to_owned(), secret.to_owned())).await;
    }
    let (s3, _turn) = s3().await;
    let ledger = ledger(s3, "killed").await;
    let (id, secret) = s3.credentials();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "lease::a_killed_holder_is_taken_over",
            "--nocapture",
        ])
        .env(CHILD, format!("{} {id} {secret}", s3.endpoint()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let holds = lines
        .map_while(Result::ok)
        .any(|line| line.ends_with("holding"));
    assert!(holds, "the child did not get the lease");
    let taken = ledger.acquire(&claim("killed", "next")).await;
    assert!(matches!(taken, Err(LeaseError::Taken(_))));
    child.kill().unwrap();
    child.wait().unwrap();
    let lease = take(&ledger, "killed", "next").await;
    assert_eq!(holder(s3, "killed"), "next");
    lease.release().await.unwrap();
}

async fn hold_until_killed(endpoint: &str, credentials: (String, String)) {
    let sdk = sdk(endpoint, credentials).await;
    let account = AccountId::new("111122223333");
    let aws = trunkline_aws::Aws::new(&sdk, "killed", account, Arc::new(Open));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ledger = Ledger::new(&aws, BucketName::new(bucket_of("killed")))
        .timed(clock, short(Duration::from_millis(300)));
    let lease = ledger.acquire(&claim("killed", "child")).await.unwrap();
    println!("holding");
    lease.lost().await;
}
