//! An S3 for all tests of this binary, clients for it, and a second client to
//! look past our own code.

use std::{
    future::Future,
    io::{BufRead, BufReader, Lines, Write},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_credential_types::Credentials;
use serde_json::Value;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use trunkline_aws::{Aws, Guard, Open};
use trunkline_fake_aws::{record::Call, testing::TestAws};
use trunkline_ids::{AccountId, BucketName};
use trunkline_ledger::{Claim, Clock, Ledger, Moment, SystemClock, Timing};
use ulid::Ulid;

/// Faults hit every caller of the one S3: tests that set some run alone.
static FAULTS: RwLock<()> = RwLock::const_new(());

/// The S3 of these tests, for a test that sets no faults.
pub(crate) async fn s3() -> (&'static TestAws, RwLockReadGuard<'static, ()>) {
    let turn = FAULTS.read().await;
    (TestAws::shared().await, turn)
}

/// The S3 of these tests, for a test that sets faults.
pub(crate) async fn s3_alone() -> (&'static TestAws, RwLockWriteGuard<'static, ()>) {
    let turn = FAULTS.write().await;
    (TestAws::shared().await, turn)
}

pub(crate) async fn sdk(endpoint: &str, (id, secret): (String, String)) -> SdkConfig {
    let retries = RetryConfig::standard()
        .with_max_attempts(3)
        .with_initial_backoff(Duration::from_millis(20));
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new(id, secret, None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .retry_config(retries)
        .load()
        .await
}

pub(crate) async fn aws(s3: &TestAws, environment: &str, guard: Arc<dyn Guard>) -> Aws {
    let sdk = sdk(&s3.endpoint(), s3.credentials()).await;
    Aws::new(&sdk, environment, AccountId::new(s3.account()), guard)
}

pub(crate) fn bucket_of(environment: &str) -> String {
    format!("trunkline-{environment}-111122223333-eu-central-1-ledger")
}

/// The ledger of an environment, without a bucket yet.
pub(crate) async fn unmade(s3: &TestAws, environment: &str) -> Ledger {
    let aws = aws(s3, environment, Arc::new(Open)).await;
    Ledger::new(&aws, BucketName::new(bucket_of(environment)))
}

/// The ledger of an environment.
pub(crate) async fn ledger(s3: &TestAws, environment: &str) -> Ledger {
    let ledger = unmade(s3, environment).await;
    ledger.bootstrap().await.unwrap();
    ledger
}

pub(crate) fn claim(environment: &str, holder: &str) -> Claim {
    Claim {
        environment: environment.to_owned(),
        holder: holder.to_owned(),
        run: Ulid::generate(),
        doing: "deployed".to_owned(),
    }
}

/// A short life: expired 4 s after the last sign.
pub(crate) fn short(heartbeat: Duration) -> Timing {
    Timing {
        heartbeat,
        expiry: Duration::from_secs(4),
        margin: Duration::from_secs(1),
    }
}

/// Signs often, lives long: for tests of the signs.
pub(crate) fn lively() -> Timing {
    Timing {
        heartbeat: Duration::from_millis(300),
        ..Timing::default()
    }
}

/// How many signs were written and answered.
pub(crate) fn signs(s3: &TestAws, environment: &str) -> usize {
    let lease = format!("{}/lease.json", bucket_of(environment));
    let calls = calls(s3, environment).into_iter();
    calls
        .filter(|call| call.action == "PutObject" && call.ids.contains(&lease))
        .filter(|call| call.succeeded() && call.fault.is_none())
        .count()
}

/// A clock that only moves when it is told to.
#[derive(Debug, Clone)]
pub(crate) struct Hand(Arc<Mutex<Moment>>);

impl Hand {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(SystemClock.now())))
    }

    pub(crate) fn pass(&self, monotonic: Duration, wall: Duration) {
        let mut now = self.0.lock().unwrap();
        now.monotonic += monotonic;
        now.wall += wall;
    }
}

impl Clock for Hand {
    fn now(&self) -> Moment {
        *self.0.lock().unwrap()
    }
}

/// Asks until the answer is something, at most half a minute.
pub(crate) async fn until<T, F>(what: &str, ask: impl Fn() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The calls about a bucket and what is in it.
pub(crate) fn calls(s3: &TestAws, environment: &str) -> Vec<Call> {
    let bucket = bucket_of(environment);
    let about = |call: &Call| {
        let named = call.resource.iter().chain(&call.ids);
        named.into_iter().any(|name| name.starts_with(&bucket))
    };
    s3.record().into_iter().filter(about).collect()
}

/// Runs a few lines of boto3 against moto itself; `s3` is the client and
/// `bucket` the name. What they assign to `answer` comes back.
pub(crate) fn boto3(s3: &TestAws, environment: &str, lines: &str) -> Value {
    static SECOND_CLIENT: Mutex<Option<Python>> = Mutex::new(None);
    let mut client = SECOND_CLIENT.lock().unwrap_or_else(PoisonError::into_inner);
    let client = client.get_or_insert_with(|| Python::start(s3));
    client.run(&bucket_of(environment), lines)
}

/// An interpreter that is kept: boto3 takes a second to load. It ends with its
/// standard input, so with this process.
struct Python {
    child: Child,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Python {
    fn start(s3: &TestAws) -> Self {
        let mut child = Command::new(s3.python())
            .args(["-c", include_str!("second_client.py"), &s3.moto()])
            .env_remove("AWS_ENDPOINT_URL")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, answers }
    }

    fn run(&mut self, bucket: &str, lines: &str) -> Value {
        let asked = serde_json::json!({"bucket": bucket, "lines": lines});
        let input = self.child.stdin.as_mut().unwrap();
        writeln!(input, "{asked}").unwrap();
        let answer = self.answers.next().unwrap().unwrap();
        let mut answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["error"].is_null(), "{}", answer["error"]);
        answer["answer"].take()
    }
}
