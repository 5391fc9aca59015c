//! Why a command of the pipeline could not do its work. Failures of steps are
//! not here: they are in the run's report.

use trunkline_engine::{Failure, PlanError};
use trunkline_ids::Address;
use trunkline_ledger::Holding;

/// Nothing was changed when one of these is returned, but for
/// [`Entered`](Self::Entered).
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The credentials are of another account than the file pins.
    #[error("the credentials are of account {actual} ({identity}), the file pins {pinned}")]
    WrongAccount {
        /// What the file says.
        pinned: String,
        /// What AWS says.
        actual: String,
        /// Who AWS says we are.
        identity: String,
    },
    /// The environment asks for something that no layer can make.
    #[error("{0}")]
    Spec(String),
    /// What the layers found wrong before anything was changed.
    #[error("{}", .0.join("\n"))]
    Preflight(Vec<String>),
    /// Something could not be read; nothing is planned for it.
    #[error("could not be read: {}", .0.iter().map(|(a, why)| format!("{a} ({why})")).collect::<Vec<_>>().join(", "))]
    Unknown(Vec<(Address, String)>),
    /// There is no ledger yet.
    #[error("the ledger {bucket} is not there")]
    NotBootstrapped {
        /// The environment's name.
        environment: String,
        /// The bucket's name.
        bucket: String,
    },
    /// Somebody else holds the lease.
    #[error("{0}")]
    Taken(Box<Holding>),
    /// What was shown is not what would be done now.
    #[error("reality has changed since the plan was made: {0} more would be done now")]
    Changed(usize),
    /// Steps would lose data, and nobody said that they may.
    #[error("data would be lost")]
    LosesData(Vec<(Address, String)>),
    /// Our access entry was made, and then this kept the run from going on.
    /// The one case in which something was changed.
    #[error("{0}")]
    Entered(Box<PipelineError>),
    /// A mistake of a layer.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// AWS, Kubernetes or helm said no.
    #[error(transparent)]
    Failed(#[from] Failure),
}
