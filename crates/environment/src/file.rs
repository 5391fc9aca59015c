//! The file as it is written: fields with their places, nothing judged yet.
//!
//! Nothing outside of this crate can hold an [`EnvironmentFile`]; what leaves
//! is the validated [`Environment`](crate::Environment). The JSON schema is
//! made of these types, so that an editor knows what the reader knows.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{
    mistake::Sink,
    read::{At, Fields, Read, closest, table},
};

/// An environment of Trunkline: one voice platform in one account and region.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Environment", deny_unknown_fields)]
pub(crate) struct EnvironmentFile {
    /// The environment's name, which is also the file's name without `.toml`.
    #[schemars(
        required,
        regex(pattern = "^[a-z]([a-z0-9-]*[a-z0-9])?$"),
        length(max = 20)
    )]
    pub(crate) environment: Option<At<String>>,
    /// Chooses the defaults.
    #[schemars(required)]
    pub(crate) tier: Option<At<Tier>>,
    /// The AWS account, 12 digits in quotes. Nothing is done in another one.
    #[schemars(required, regex(pattern = "^[0-9]{12}$"))]
    pub(crate) account: Option<At<String>>,
    /// The AWS region, as "eu-central-1".
    #[schemars(required)]
    pub(crate) region: Option<At<String>>,
    /// The network.
    #[schemars(required)]
    pub(crate) network: Option<NetworkFile>,
    /// The EKS cluster.
    #[schemars(default, with = "ClusterFile")]
    pub(crate) cluster: ClusterFile,
    /// Argo CD.
    #[schemars(default, with = "ArgoCdFile")]
    pub(crate) argo_cd: ArgoCdFile,
    /// What Argo CD reads.
    #[schemars(required)]
    pub(crate) workloads: Option<WorkloadsFile>,
    /// Redis.
    #[schemars(default, with = "RedisFile")]
    pub(crate) redis: RedisFile,
}

/// The tier of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Tier {
    /// For trying things out: 2 zones, a single NAT gateway, small, easily
    /// destroyed.
    Sandbox,
    /// For real calls: 3 zones, a NAT gateway in each, protected from
    /// deletion.
    Live,
}

/// How private subnets reach the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Nat {
    /// Not at all.
    None,
    /// Through one gateway in the first zone: cheap, and gone with that zone.
    Single,
    /// Through a gateway in each zone.
    PerZone,
}

/// The network of an environment.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Network", deny_unknown_fields)]
pub(crate) struct NetworkFile {
    /// The VPC's private IPv4 range, /16 to /20. It cannot be changed later.
    #[schemars(required, regex(pattern = "^[0-9.]+/(16|17|18|19|20)$"))]
    pub(crate) cidr: Option<At<String>>,
    /// 2 to 6 zone ids of the region, as "euc1-az1". Left out: the first 2
    /// (sandbox) or 3 (live) zones of the region.
    #[schemars(default, with = "Vec<String>", length(min = 2, max = 6), extend("uniqueItems" = true))]
    pub(crate) zones: Option<At<Vec<At<String>>>>,
    /// How private subnets reach the internet. Left out: "single" in sandbox,
    /// "per-zone" in live.
    #[schemars(default, with = "Nat")]
    pub(crate) nat: Option<At<Nat>>,
}

/// The EKS cluster of an environment.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Cluster", deny_unknown_fields)]
pub(crate) struct ClusterFile {
    #[schemars(skip)]
    span: Range<usize>,
    /// The Kubernetes version, in quotes.
    #[schemars(default, with = "String", regex(pattern = "^1\\.[0-9]+$"))]
    pub(crate) version: Option<At<String>>,
    /// The IPv4 ranges that reach the cluster's public endpoint; an empty
    /// list makes it private. Left out: everybody in sandbox; live must say.
    #[schemars(default, with = "Vec<String>", length(max = 40))]
    pub(crate) public_access: Option<At<Vec<At<String>>>>,
    /// ARNs of the IAM roles and users that administer the cluster, besides
    /// the identity that deploys.
    #[schemars(default, with = "Vec<String>", extend("uniqueItems" = true))]
    pub(crate) admins: Option<At<Vec<At<String>>>>,
    /// Whether AWS refuses to delete the cluster. Left out: no in sandbox,
    /// yes in live.
    #[schemars(default, with = "bool")]
    pub(crate) deletion_protection: Option<At<bool>>,
}

/// Argo CD of an environment.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "ArgoCd", deny_unknown_fields)]
pub(crate) struct ArgoCdFile {
    /// The version of the chart argo-cd.
    #[schemars(
        default,
        with = "String",
        regex(pattern = "^[0-9]+\\.[0-9]+\\.[0-9]+$")
    )]
    pub(crate) version: Option<At<String>>,
}

/// What Argo CD reads for an environment.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "Workloads", deny_unknown_fields)]
pub(crate) struct WorkloadsFile {
    /// The URL of the Git repository: https://, ssh:// or git@host:path.
    #[schemars(required)]
    pub(crate) repository: Option<At<String>>,
    /// The folder of this environment in the repository.
    #[schemars(default, with = "String")]
    pub(crate) path: Option<At<String>>,
    /// A branch, tag or commit; resolved to a commit before it is deployed.
    #[schemars(default, with = "String")]
    pub(crate) revision: Option<At<String>>,
}

/// Redis of an environment.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename = "Redis", deny_unknown_fields)]
pub(crate) struct RedisFile {
    /// The size of its volume in GiB. It can grow, never shrink.
    #[schemars(default, with = "u32", range(min = 1, max = 16384))]
    pub(crate) storage_gib: Option<At<u32>>,
}

impl EnvironmentFile {
    /// Reads the text. Whatever could be read is returned, whatever could not
    /// is in the sink.
    pub(crate) fn read(text: &str, sink: &mut Sink) -> Self {
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let span = error.span().unwrap_or(text.len()..text.len());
            sink.syntax(&span, format!("no valid TOML: {}", error.message()));
        }
        Self::fields(Fields::new(document.into_inner(), 0..0, "", sink))
    }

    fn fields(mut fields: Fields<'_, '_>) -> Self {
        let file = Self {
            environment: fields.required("environment", "environment = \"sandbox\""),
            tier: fields.required("tier", "tier = \"sandbox\" or tier = \"live\""),
            account: fields.required("account", "account = \"111122223333\""),
            region: fields.required("region", "region = \"eu-central-1\""),
            network: fields.required("network", "a table [network] with cidr"),
            cluster: fields.optional("cluster").unwrap_or_default(),
            argo_cd: fields.optional("argo_cd").unwrap_or_default(),
            workloads: fields.required("workloads", "a table [workloads] with repository"),
            redis: fields.optional("redis").unwrap_or_default(),
        };
        fields.finish();
        file
    }
}

/// Implements [`Read`] for a table by a function over its fields.
macro_rules! read_table {
    ($type:ty, |$fields:ident, $span:ident| $build:expr) => {
        impl Read for $type {
            const TYPE: &'static str = "a table";

            fn read(value: Spanned<DeValue<'_>>, field: &str, sink: &mut Sink) -> Option<Self> {
                let $span = value.span();
                table(value, field, sink, |mut $fields| {
                    let built = $build;
                    $fields.finish();
                    built
                })
            }
        }
    };
}

read_table!(NetworkFile, |fields, _span| Self {
    cidr: fields.required("cidr", "cidr = \"10.20.0.0/16\""),
    zones: fields.optional("zones"),
    nat: fields.optional("nat"),
});

read_table!(ClusterFile, |fields, span| Self {
    span,
    version: fields.optional("version"),
    public_access: fields.optional("public_access"),
    admins: fields.optional("admins"),
    deletion_protection: fields.optional("deletion_protection"),
});

read_table!(ArgoCdFile, |fields, _span| Self {
    version: fields.optional("version"),
});

read_table!(WorkloadsFile, |fields, _span| Self {
    repository: fields.required(
        "repository",
        "repository = \"https://github.com/you/voice-platform\""
    ),
    path: fields.optional("path"),
    revision: fields.optional("revision"),
});

read_table!(RedisFile, |fields, _span| Self {
    storage_gib: fields.optional("storage_gib"),
});

impl ClusterFile {
    /// Where the table stands; the start of the file where it does not.
    pub(crate) fn span(&self) -> &Range<usize> {
        &self.span
    }
}

/// A word out of a fixed set.
trait Word: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

impl Word for Tier {
    const WORDS: &'static [(&'static str, Self)] =
        &[("sandbox", Self::Sandbox), ("live", Self::Live)];
}

impl Word for Nat {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", Self::None),
        ("single", Self::Single),
        ("per-zone", Self::PerZone),
    ];
}

impl<T: Word> Read for T {
    const TYPE: &'static str = String::TYPE;

    fn read(value: Spanned<DeValue<'_>>, field: &str, sink: &mut Sink) -> Option<Self> {
        let span = value.span();
        let text = String::read(value, field, sink)?;
        let found = T::WORDS.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            let words: Vec<&str> = T::WORDS.iter().map(|(word, _)| *word).collect();
            let fix = closest(&text, &words)
                .map(|close| format!("did you mean \"{close}\"?"))
                .unwrap_or_default();
            let problem = format!("expected one of {}", words.join(", "));
            sink.add(&span, field, problem, fix);
        }
        found.map(|(_, value)| *value)
    }
}
