//! What a tier chooses where the file is silent.

use crate::{Nat, Tier};

/// The chart of Argo CD whose values were read (facts: charts).
pub(crate) const ARGO_CD_CHART: &str = "10.1.1";

/// What a tier chooses where the file is silent.
pub(crate) struct Defaults {
    pub(crate) zones: usize,
    pub(crate) nat: Nat,
    pub(crate) deletion_protection: bool,
    /// `None` where the file must say it: nobody opens live to the world by
    /// leaving something out.
    pub(crate) public_access: Option<&'static str>,
    pub(crate) redis_storage_gib: u32,
}

impl Tier {
    /// The tier's defaults.
    pub(crate) fn defaults(self) -> Defaults {
        match self {
            Self::Sandbox => Defaults {
                zones: 2,
                nat: Nat::Single,
                deletion_protection: false,
                public_access: Some("0.0.0.0/0"),
                redis_storage_gib: 8,
            },
            Self::Live => Defaults {
                zones: 3,
                nat: Nat::PerZone,
                deletion_protection: true,
                public_access: None,
                redis_storage_gib: 32,
            },
        }
    }
}
