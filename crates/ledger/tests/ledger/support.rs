//! An S3 for all tests of this binary, clients for it, and a second client to
//! look past our own code.

use std::{
    future::Future,
    process::Command,
    sync::{Arc, Mutex},
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

/// A short life: expired 2 s after the last sign.
pub(crate) fn short(heartbeat: Duration) -> Timing {
    Timing {
        heartbeat,
        expiry: Duration::from_secs(2),
        margin: Duration::from_secs(1),
    }
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
    let script = format!(
        "import boto3, json, sys\n\
         s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='eu-central-1',\n\
         \x20 aws_access_key_id='second', aws_secret_access_key='client')\n\
         bucket = sys.argv[2]\n\
         def text(key): return s3.get_object(Bucket=bucket, Key=key)['Body'].read().decode()\n\
         def keys(): return [o['Key'] for o in s3.list_objects_v2(Bucket=bucket).get('Contents', [])]\n\
         answer = None\n\
         {lines}\n\
         print(json.dumps(answer, default=str))\n"
    );
    let ran = Command::new(s3.python())
        .args(["-c", &script, &s3.moto(), &bucket_of(environment)])
        .env_remove("AWS_ENDPOINT_URL")
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    serde_json::from_slice(&ran.stdout).unwrap()
}
