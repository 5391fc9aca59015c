//! Kubernetes versions that EKS offers (EKS User Guide, "Amazon EKS Kubernetes
//! release calendar", as gathered in 2026-11).

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::error::invalid_parameter;
use super::paging;
use crate::front::{AwsError, Form};

/// The version of a CreateCluster that names none.
pub(super) const DEFAULT: &str = "1.35";

struct Version {
    name: &'static str,
    released: Date,
    standard_until: Date,
    extended_until: Date,
}

const fn day(year: i16, month: i8, day: i8) -> Date {
    Date::constant(year, month, day)
}

const VERSIONS: [Version; 5] = [
    Version {
        name: "1.36",
        // Both dates of 1.36 are inferred from the rhythm of the others.
        released: day(2026, 6, 2),
        standard_until: day(2027, 8, 2),
        extended_until: day(2028, 8, 2),
    },
    Version {
        name: "1.35",
        released: day(2026, 1, 27),
        standard_until: day(2027, 3, 27),
        extended_until: day(2028, 3, 27),
    },
    Version {
        name: "1.34",
        released: day(2025, 10, 2),
        standard_until: day(2026, 12, 2),
        extended_until: day(2027, 12, 2),
    },
    Version {
        name: "1.33",
        released: day(2025, 5, 29),
        standard_until: day(2026, 7, 29),
        extended_until: day(2027, 7, 29),
    },
    Version {
        name: "1.32",
        released: day(2025, 1, 23),
        standard_until: day(2026, 3, 23),
        extended_until: day(2027, 3, 23),
    },
];

/// Whether a cluster of that version can be created.
pub(super) fn offered(name: &str) -> bool {
    VERSIONS.iter().any(|version| version.name == name)
}

/// DescribeClusterVersions.
pub(super) fn describe(query: &Form) -> Result<Value, AwsError> {
    let today = jiff::Timestamp::now().to_zoned(TimeZone::UTC).date();
    let wanted: Vec<&str> = values(query, "clusterVersions");
    if let Some(unknown) = wanted.iter().find(|name| !offered(name)) {
        return Err(invalid_parameter(format!(
            "cluster version {unknown} is not valid"
        )));
    }
    let all = query.get("includeAll") == Some("true");
    let status = query.get("versionStatus").map(str::to_owned).or_else(|| {
        query
            .get("status")
            .map(|status| status.replace('-', "_").to_uppercase())
    });
    let views: Vec<(String, Value)> = VERSIONS
        .iter()
        .filter(|version| wanted.is_empty() || wanted.contains(&version.name))
        .map(|version| (version.name.to_owned(), view(version, today)))
        .filter(|(_, view)| all || !wanted.is_empty() || view["versionStatus"] != "UNSUPPORTED")
        .filter(|(_, view)| {
            status
                .as_ref()
                .is_none_or(|wanted| view["versionStatus"] == **wanted)
        })
        .filter(|(_, view)| {
            query.get("defaultOnly") != Some("true") || view["defaultVersion"] == true
        })
        .collect();
    paging::page("clusterVersions", views, query)
}

/// The values of a list in a query: the key repeated.
fn values<'a>(query: &'a Form, key: &str) -> Vec<&'a str> {
    query
        .0
        .iter()
        .filter(|(name, _)| name == key)
        .map(|(_, value)| value.as_str())
        .collect()
}

fn view(version: &Version, today: Date) -> Value {
    let status = if today <= version.standard_until {
        "STANDARD_SUPPORT"
    } else if today <= version.extended_until {
        "EXTENDED_SUPPORT"
    } else {
        "UNSUPPORTED"
    };
    json!({
        "clusterVersion": version.name,
        "clusterType": "eks",
        "defaultPlatformVersion": "eks.1",
        "defaultVersion": version.name == DEFAULT,
        "releaseDate": midnight(version.released),
        "endOfStandardSupportDate": midnight(version.standard_until),
        "endOfExtendedSupportDate": midnight(version.extended_until),
        "status": status.to_lowercase().replace('_', "-"),
        "versionStatus": status,
    })
}

fn midnight(date: Date) -> i64 {
    date.to_zoned(TimeZone::UTC)
        .map(|time| time.timestamp().as_second())
        .unwrap_or_default()
}
