//! An emulated AWS for tests: moto and the front, in this process, on free
//! ports. Dropping it ends moto.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::runtime::Runtime;
use trunkline_tools::{Progress, Tool};

use crate::eks::{ControlPlanes, NoControlPlane};
use crate::faults::{Fault, Settings};
use crate::front::{Front, FrontConfig};
use crate::moto::Moto;
use crate::record::Call;

/// The account of tests, unless another one is asked for.
pub const ACCOUNT: &str = "111122223333";
/// The region of tests.
pub const REGION: &str = "eu-central-1";

/// A running emulated AWS.
pub struct TestAws {
    account: String,
    credentials: (String, String),
    front: Option<Front>,
    // Of its own, so that one TestAws can serve tests that each have a runtime.
    runtime: Option<Runtime>,
    moto: Moto,
    _folder: tempfile::TempDir,
}

impl TestAws {
    /// Starts moto and the front for the account of tests.
    ///
    /// # Panics
    /// If moto cannot be started: a test without its AWS has nothing to test.
    pub async fn start() -> Self {
        Self::start_with(ACCOUNT, Arc::new(NoControlPlane)).await
    }

    /// Starts for an account and with control planes of the caller's.
    ///
    /// # Panics
    /// If moto cannot be started.
    pub async fn start_with(account: &str, control_planes: Arc<dyn ControlPlanes>) -> Self {
        let account = account.to_owned();
        // Starting blocks (a process, a runtime of its own): not on this runtime's threads.
        let start = std::thread::spawn(move || Self::start_blocking(account, control_planes));
        tokio::task::spawn_blocking(move || start.join())
            .await
            .expect("the starting thread was not cancelled")
            .expect("the starting thread ended")
            .unwrap_or_else(|why| panic!("the emulated AWS did not start: {why}"))
    }

    /// One emulated AWS for all tests of a binary; they use names of their own.
    ///
    /// # Panics
    /// If moto cannot be started.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceLock<TestAws> = OnceLock::new();
        tokio::task::spawn_blocking(|| {
            SHARED.get_or_init(|| {
                Self::start_blocking(ACCOUNT.to_owned(), Arc::new(NoControlPlane))
                    .unwrap_or_else(|why| panic!("the emulated AWS did not start: {why}"))
            })
        })
        .await
        .expect("the start did not panic")
    }

    fn start_blocking(
        account: String,
        control_planes: Arc<dyn ControlPlanes>,
    ) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let folder = tempfile::tempdir().map_err(|e| text(&e))?;
        let moto = Moto::start(&moto_server()?, &account, &folder.path().join("moto.log"))
            .map_err(|e| text(&e))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("test-aws")
            .enable_all()
            .build()
            .map_err(|e| text(&e))?;
        let config = FrontConfig {
            account: account.clone(),
            region: REGION.to_owned(),
            moto: moto.url(),
            port: 0,
            settings: Settings::default(),
            control_planes,
        };
        let front = runtime
            .block_on(Front::start(config))
            .map_err(|e| text(&e))?;
        let credentials = runtime
            .block_on(front.create_user("trunkline-test"))
            .map_err(|e| format!("no user in moto: {e}"))?;
        Ok(Self {
            account,
            credentials,
            front: Some(front),
            runtime: Some(runtime),
            moto,
            _folder: folder,
        })
    }

    /// The front's URL, for `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        self.front().url()
    }

    /// moto's own URL, to look past the front.
    pub fn moto(&self) -> String {
        self.moto.url()
    }

    /// The account id.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// The region.
    pub fn region(&self) -> &str {
        REGION
    }

    /// Access key id and secret of the IAM user `trunkline-test`.
    pub fn credentials(&self) -> (String, String) {
        self.credentials.clone()
    }

    /// The Python that has moto and boto3, for clients independent of ours.
    pub fn python(&self) -> &Path {
        self.moto.python()
    }

    /// The front itself.
    pub fn front(&self) -> &Front {
        self.front.as_ref().expect("the front lives until the drop")
    }

    /// Every call since the start or the last clear.
    pub fn record(&self) -> Vec<Call> {
        self.front().record().since(0)
    }

    /// Forgets the calls so far.
    pub fn clear_record(&self) {
        self.front().record().clear();
    }

    /// Sets a fault; see [`Fault`] for its JSON.
    ///
    /// # Panics
    /// If the JSON is no fault.
    pub fn fault(&self, fault: serde_json::Value) {
        let fault: Fault = serde_json::from_value(fault).expect("a fault");
        self.front().faults().add(fault);
    }

    /// Changes latency, visibility delay and pace.
    pub fn settings(&self, settings: Settings) {
        self.front().set(settings);
    }
}

impl Drop for TestAws {
    fn drop(&mut self) {
        drop(self.front.take());
        if let Some(runtime) = self.runtime.take() {
            // Not the blocking drop: this may run inside another runtime.
            runtime.shutdown_background();
        }
    }
}

/// `moto_server` from the cache, made there if it is missing (some minutes, once).
fn moto_server() -> Result<PathBuf, String> {
    if let Some(found) = trunkline_tools::lookup(Tool::Moto) {
        return Ok(found.path);
    }
    let found = trunkline_tools::ensure(&[Tool::Moto], &Quiet).map_err(|e| format!("{e:#}"))?;
    found
        .into_iter()
        .next()
        .map(|found| found.path)
        .ok_or_else(|| "no moto_server".to_owned())
}

/// A test has nobody to tell.
struct Quiet;

impl Progress for Quiet {
    fn line(&self, _tool: Tool, _text: &str) {}
}
