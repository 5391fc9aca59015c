//! The catalogue: one file per release. Adding one is that file, its line in
//! [`catalog`], and its test.

pub(crate) mod argo_cd;

use serde_json::Value;
use trunkline_ids::Address;

use crate::spec::AddonsSpec;

/// One release as wished, before its chart is at hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its address.
    pub address: Address,
    /// The name of the release.
    pub release: String,
    /// The namespace, which an object of the platform makes.
    pub namespace: String,
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub version: String,
    /// The repository of the chart's makers.
    pub repository: String,
    /// Values made from the spec. No secrets: helm keeps them in clear.
    pub values: Value,
    /// What must be there first.
    pub after: Vec<Address>,
    /// How long the install is expected to take, in seconds.
    pub seconds: u64,
}

/// All releases of an environment.
#[must_use]
pub fn catalog(spec: &AddonsSpec) -> Vec<Entry> {
    vec![argo_cd::entry(spec)]
}
