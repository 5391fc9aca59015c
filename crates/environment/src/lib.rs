//! The environment file: schema, places, defaults per tier, validation. Pure:
//! the caller reads the file and hands over its text.
//!
//! [`Environment::parse`] is the one way from a text to an [`Environment`];
//! what it holds was validated, so that layers make their specs of it without
//! asking again. All mistakes of a file come at once, as [`Mistakes`].
//!
//! ```
//! use trunkline_environment::Environment;
//!
//! let mistakes = Environment::parse("sandbox.toml", "tier = 'sandbx'").unwrap_err();
//! assert!(mistakes.render(80).contains("did you mean \"sandbox\"?"));
//! ```

mod file;
mod layout;
mod mistake;
mod names;
mod read;
mod region;
mod repository;
mod schema;
mod spec;
mod tier;
mod validate;

pub use file::{Nat, Tier};
pub use layout::{Reach, SubnetPlace};
pub use mistake::{Mistake, Mistakes};
pub use repository::{RepositoryError, RepositoryUrl};
pub use schema::json_schema;
pub use spec::{
    ArgoCd, Cluster, Environment, EnvironmentName, KubernetesVersion, Network, Principal, Redis,
    SERVICE_CIDR, Workloads,
};
