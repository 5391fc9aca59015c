//! The ledger of an environment, in one S3 bucket: the lease, the intents, the
//! journals of runs and their history. All of it by conditional writes of
//! small objects; there is no state file.
//!
//! | object | what |
//! |---|---|
//! | `lease.json` | who may change the environment now |
//! | `intents/<address>.json` | a create that was about to be sent |
//! | `runs/<run>/summary.json` | a run in short |
//! | `runs/<run>/NNNNNN.jsonl` | its events, in parts |

mod bucket;
mod clock;
mod history;
mod intents;
mod journal;
mod lease;
mod run;
mod store;

use std::sync::Arc;

use trunkline_aws::{Aws, Guard};
use trunkline_engine::Failure;
use trunkline_ids::BucketName;
use ulid::Ulid;

pub use bucket::{Bootstrapped, Setting, bucket_address};
pub use clock::{Clock, Moment, SystemClock};
pub use history::RunRecord;
pub use intents::LedgerIntents;
pub use journal::Journal;
pub use lease::{Claim, Holding, Lease, LeaseError, LeaseGuard, Timing};
pub use run::{RunOutcome, RunStart, RunSummary, StepCounts};

use crate::store::Store;

/// The ledger of an environment.
#[derive(Debug, Clone)]
pub struct Ledger {
    aws: Aws,
    store: Store,
    clock: Arc<dyn Clock>,
    timing: Timing,
}

impl Ledger {
    /// The ledger in `bucket`. `aws` must be open: a guard that asks the lease
    /// would keep the lease from being renewed.
    #[must_use]
    pub fn new(aws: &Aws, bucket: BucketName) -> Self {
        Self {
            store: Store::new(aws, bucket),
            aws: aws.clone(),
            clock: Arc::new(SystemClock),
            timing: Timing::default(),
        }
    }

    /// With other clocks and another life of the lease.
    #[must_use]
    pub fn timed(mut self, clock: Arc<dyn Clock>, timing: Timing) -> Self {
        self.clock = clock;
        self.timing = timing;
        self
    }

    /// The bucket.
    #[must_use]
    pub fn bucket(&self) -> &BucketName {
        &self.store.bucket
    }

    /// Makes the bucket, or repairs it. Doing it again changes nothing.
    ///
    /// # Errors
    /// There is a bucket of this name that is not ours; or S3's.
    pub async fn bootstrap(&self) -> Result<Bootstrapped, Failure> {
        bucket::bootstrap(&self.store, &self.aws).await
    }

    /// Takes the lease, at once or not at all.
    ///
    /// # Errors
    /// Somebody else holds it; or S3's.
    pub async fn acquire(&self, claim: &Claim) -> Result<Lease, LeaseError> {
        lease::acquire(&self.store, &self.clock, self.timing, claim).await
    }

    /// Who holds the lease now, if anybody.
    ///
    /// # Errors
    /// S3's.
    pub async fn holding(&self) -> Result<Option<Holding>, Failure> {
        lease::holding(&self.store).await
    }

    /// The intents, those included that earlier runs left open. `guard` is the
    /// lease's, or [`Open`](trunkline_aws::Open) to only look.
    ///
    /// # Errors
    /// S3's, or an intent cannot be read.
    pub async fn intents(
        &self,
        guard: Arc<dyn Guard>,
        run: Ulid,
    ) -> Result<LedgerIntents, Failure> {
        LedgerIntents::load(self.store.clone(), guard, run).await
    }

    /// Begins the journal of a run.
    ///
    /// # Errors
    /// S3's.
    pub async fn journal(&self, start: RunStart) -> Result<Journal, Failure> {
        Journal::begin(self.store.clone(), start).await
    }

    /// The last runs, newest first.
    ///
    /// # Errors
    /// S3's.
    pub async fn runs(&self, last: usize) -> Result<Vec<RunSummary>, Failure> {
        let holding = self.holding().await?;
        history::runs(&self.store, last, holding.as_ref()).await
    }

    /// One run with its events; `None` if there is none.
    ///
    /// # Errors
    /// S3's, or its summary cannot be read.
    pub async fn run(&self, run: Ulid) -> Result<Option<RunRecord>, Failure> {
        let holding = self.holding().await?;
        history::run(&self.store, run, holding.as_ref()).await
    }
}
