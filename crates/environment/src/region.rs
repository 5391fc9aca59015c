//! Regions, zone ids and partitions: forms and facts, no list to be asked.

use crate::read::closest;

/// The regions known when this was written: only to guess what a misspelt one
/// was meant to be. A newer region of the right form is accepted.
const REGIONS: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// Zones that exist but take no cluster: the list that eksctl avoids
/// (`pkg/az`), of which the Amazon EKS user guide names the first three
/// ("Subnet requirements for clusters"), and one that is offered only to
/// accounts that already used it (AWS Regions and Availability Zones,
/// "Constrained Availability Zones").
const WITHOUT_CLUSTERS: &[&str] = &["use1-az3", "usw1-az2", "cac1-az3", "cnn1-az4", "apne1-az3"];

/// The most zones a region has (us-east-1), and so the most that an
/// environment can name.
pub(crate) const MOST_ZONES: usize = 6;

/// How the ids of a region's zones begin: `euc1` for `eu-central-1`. Nothing
/// where the text is no region.
///
/// An id is made of the area, the first letters of the direction and the
/// number (AWS Regions and Availability Zones, "AZ IDs"): `use1`, `apne1`,
/// `usgw1`.
pub(crate) fn zone_prefix(region: &str) -> Option<String> {
    let parts: Vec<&str> = region.split('-').collect();
    let (area, government, direction, number) = match parts.as_slice() {
        [area, "gov", direction, number] => (area, "g", direction, number),
        [area, direction, number] => (area, "", direction, number),
        _ => return None,
    };
    let direction = match *direction {
        "north" => "n",
        "south" => "s",
        "east" => "e",
        "west" => "w",
        "central" => "c",
        "northeast" => "ne",
        "northwest" => "nw",
        "southeast" => "se",
        "southwest" => "sw",
        _ => return None,
    };
    let letters = area.len() == 2 && area.bytes().all(|b| b.is_ascii_lowercase());
    let digit = number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit());
    (letters && digit).then(|| format!("{area}{government}{direction}{number}"))
}

/// The region somebody most likely meant.
pub(crate) fn closest_region(text: &str) -> Option<&'static str> {
    closest(text, REGIONS)
}

/// The number of a zone of the region that starts its ids with `prefix`:
/// 3 for `euc1-az3`. Nothing for other regions, local zones and other texts.
pub(crate) fn zone_number(zone: &str, prefix: &str) -> Option<usize> {
    let number = zone.strip_prefix(prefix)?.strip_prefix("-az")?;
    let number = match number.as_bytes() {
        [digit @ b'1'..=b'9'] => usize::from(digit - b'0'),
        _ => return None,
    };
    (number <= MOST_ZONES).then_some(number)
}

/// Whether EKS takes subnets in this zone.
pub(crate) fn takes_clusters(zone: &str) -> bool {
    !WITHOUT_CLUSTERS.contains(&zone)
}

/// The first `count` zones that take clusters. Whether the account has them
/// is asked of AWS before anything is made.
pub(crate) fn first_zones(prefix: &str, count: usize) -> Vec<String> {
    (1..=MOST_ZONES)
        .map(|number| format!("{prefix}-az{number}"))
        .filter(|zone| takes_clusters(zone))
        .take(count)
        .collect()
}

/// The partition that ARNs of a region name.
pub(crate) fn partition(region: &str) -> &'static str {
    if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else if region.starts_with("cn-") {
        "aws-cn"
    } else {
        "aws"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zone_ids_follow_from_regions() {
        for (region, prefix) in [
            ("eu-central-1", "euc1"),
            ("us-east-1", "use1"),
            ("ap-northeast-1", "apne1"),
            ("ap-southeast-2", "apse2"),
            ("us-gov-west-1", "usgw1"),
            ("cn-northwest-1", "cnnw1"),
            ("me-south-1", "mes1"),
        ] {
            assert_eq!(zone_prefix(region).as_deref(), Some(prefix), "{region}");
        }
        for wrong in [
            "",
            "eu-central",
            "eu-centrl-1",
            "EU-central-1",
            "eu-central-1a",
        ] {
            assert_eq!(zone_prefix(wrong), None, "{wrong}");
        }
        assert!(REGIONS.iter().all(|region| zone_prefix(region).is_some()));
    }

    #[test]
    fn zones_of_a_region_are_told_from_others() {
        assert_eq!(zone_number("euc1-az3", "euc1"), Some(3));
        for wrong in [
            "use1-az1",
            "euc1-az0",
            "euc1-az7",
            "euc1-az",
            "use1-bos1-az1",
            "euc1-az1é",
        ] {
            assert_eq!(zone_number(wrong, "euc1"), None, "{wrong}");
        }
        assert_eq!(first_zones("use1", 3), ["use1-az1", "use1-az2", "use1-az4"]);
    }
}
