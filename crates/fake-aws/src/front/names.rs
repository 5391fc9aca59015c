//! What the front has learnt from answers: which id belongs to which address
//! and since when it exists, so that later calls are recorded by address and
//! the visibility delay can be kept.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Ids that passed by in answers to creates.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    address: Option<String>,
    since: Instant,
}

impl Names {
    /// Notes an id out of the answer to a create. One that is known already
    /// (the create was repeated with its client token) is no younger for it.
    pub(crate) fn note(&self, id: &str, address: Option<&str>) {
        let mut known = self.lock();
        let known = known.entry(id.to_owned()).or_insert_with(|| Known {
            address: None,
            since: Instant::now(),
        });
        if let Some(address) = address {
            known.address = Some(address.to_owned());
        }
    }

    /// The address of the first id that has one, the most specific (last) first.
    pub(crate) fn address_of(&self, ids: &[String]) -> Option<String> {
        let known = self.lock();
        ids.iter()
            .rev()
            .find_map(|id| known.get(id)?.address.clone())
    }

    /// Whether an id was made less than `delay` ago.
    pub(crate) fn younger_than(&self, id: &str, delay: Duration) -> bool {
        self.lock()
            .get(id)
            .is_some_and(|known| known.since.elapsed() < delay)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ids that a create has given, out of its answer.
pub(crate) fn created(action: &str, xml: &str) -> Vec<String> {
    own_id(action)
        .map(|element| crate::xml::texts(xml, &element))
        .unwrap_or_default()
}

/// The element that holds the id of what an EC2 create makes
/// (botocore `ec2/2016-11-15/service-2.json`, `locationName`s of the results).
fn own_id(action: &str) -> Option<String> {
    let special = match action {
        "AllocateAddress" => Some("allocationId"),
        "CreateSecurityGroup" => Some("groupId"),
        "AuthorizeSecurityGroupIngress" | "AuthorizeSecurityGroupEgress" => {
            Some("securityGroupRuleId")
        }
        "AssociateRouteTable" | "AssociateAddress" => Some("associationId"),
        "RunInstances" => Some("instanceId"),
        _ => None,
    };
    if let Some(element) = special {
        return Some(element.to_owned());
    }
    let kind = action.strip_prefix("Create")?;
    let (first, rest) = kind.split_at_checked(1)?;
    Some(format!("{}{rest}Id", first.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_that_a_create_gives_is_told_from_those_it_mentions() {
        let subnet = "<R><subnet><vpcId>vpc-1</vpcId><subnetId>subnet-1</subnetId></subnet></R>";
        assert_eq!(created("CreateSubnet", subnet), ["subnet-1"]);
        let address = "<R><allocationId>eipalloc-1</allocationId></R>";
        assert_eq!(created("AllocateAddress", address), ["eipalloc-1"]);
        assert!(created("DescribeSubnets", subnet).is_empty());
    }

    #[test]
    fn later_calls_are_known_by_the_address_of_their_ids() {
        let names = Names::default();
        names.note("vpc-1", Some("net/vpc/main"));
        let ids = ["vpc-1".to_owned(), "igw-1".to_owned()];
        assert_eq!(names.address_of(&ids).as_deref(), Some("net/vpc/main"));
        names.note("igw-1", Some("net/internet-gateway/main"));
        assert_eq!(
            names.address_of(&ids).as_deref(),
            Some("net/internet-gateway/main")
        );
    }
}
