//! EC2's eventual consistency: what was created a moment ago is not in the
//! lists yet, and asking for it by id says that it does not exist (EC2
//! Developer Guide, "Eventual consistency in the Amazon EC2 API").

use std::time::Duration;

use roxmltree::Document;

use super::super::State;
use super::super::answer::{Answer, AwsError};
use super::super::form::Form;
use crate::xml;

/// How ids begin, the element that holds the own id of a list's entry, and
/// the error for an id that is not there (EC2 Developer Guide, "Error codes").
const KINDS: [(&str, &str, &str); 11] = [
    ("vpc-", "vpcId", "InvalidVpcID.NotFound"),
    ("subnet-", "subnetId", "InvalidSubnetID.NotFound"),
    (
        "igw-",
        "internetGatewayId",
        "InvalidInternetGatewayID.NotFound",
    ),
    ("nat-", "natGatewayId", "NatGatewayNotFound"),
    ("eipalloc-", "allocationId", "InvalidAllocationID.NotFound"),
    ("rtb-", "routeTableId", "InvalidRouteTableID.NotFound"),
    (
        "sgr-",
        "securityGroupRuleId",
        "InvalidSecurityGroupRuleId.NotFound",
    ),
    ("sg-", "groupId", "InvalidGroup.NotFound"),
    ("vpce-", "vpcEndpointId", "InvalidVpcEndpointId.NotFound"),
    ("vol-", "volumeId", "InvalidVolume.NotFound"),
    (
        "eni-",
        "networkInterfaceId",
        "InvalidNetworkInterfaceID.NotFound",
    ),
];

fn delay(state: &State) -> Option<Duration> {
    let delay = Duration::from_millis(state.settings().visibility_ms);
    (!delay.is_zero()).then_some(delay)
}

/// Refuses a Describe that names something too new.
pub(super) fn check(state: &State, form: &Form) -> Result<(), AwsError> {
    let Some(delay) = delay(state) else {
        return Ok(());
    };
    if !form
        .get("Action")
        .is_some_and(|action| action.starts_with("Describe"))
    {
        return Ok(());
    }
    for (key, value) in &form.0 {
        // Ids in filters find nothing, and are no error.
        if key.starts_with("Filter.") || !state.names.younger_than(value, delay) {
            continue;
        }
        let kind = KINDS
            .iter()
            .find(|(prefix, _, _)| value.starts_with(prefix));
        if let Some((_, _, code)) = kind {
            return Err(AwsError::new(
                400,
                code,
                format!("The ID '{value}' does not exist"),
            ));
        }
    }
    Ok(())
}

/// Takes what is too new out of the answer to a Describe.
pub(super) fn hide(state: &State, action: &str, mut answer: Answer) -> Answer {
    let Some(delay) = delay(state) else {
        return answer;
    };
    if !action.starts_with("Describe") || !answer.status.is_success() {
        return answer;
    }
    let text = answer.text().to_owned();
    let Ok(document) = Document::parse(&text) else {
        return answer;
    };
    let young = |id: &str| state.names.younger_than(id, delay);
    let hidden = xml::items(&document).filter(|item| {
        // The VPC too: its main route table and default group are as new as it is.
        [own_id(action), "vpcId"]
            .iter()
            .any(|name| xml::child(*item, name).is_some_and(young))
    });
    let edits: Vec<_> = hidden.map(|item| (item.range(), String::new())).collect();
    if !edits.is_empty() {
        answer.replace_body(xml::splice(&text, edits));
    }
    answer
}

/// The element with an entry's own id in the answer to a Describe.
fn own_id(action: &str) -> &'static str {
    let kind = action
        .trim_start_matches("Describe")
        .trim_end_matches('s')
        .to_ascii_lowercase();
    match kind.as_str() {
        "addresse" => "allocationId",
        "securitygroup" => "groupId",
        "tag" => "resourceId",
        kind => {
            let own = |element: &&str| element.trim_end_matches("Id").eq_ignore_ascii_case(kind);
            KINDS
                .iter()
                .map(|(_, element, _)| *element)
                .find(own)
                .unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_list_is_known_by_the_own_id_of_its_entries() {
        let cases = [
            ("DescribeVpcs", "vpcId"),
            ("DescribeSubnets", "subnetId"),
            ("DescribeInternetGateways", "internetGatewayId"),
            ("DescribeNatGateways", "natGatewayId"),
            ("DescribeAddresses", "allocationId"),
            ("DescribeRouteTables", "routeTableId"),
            ("DescribeSecurityGroups", "groupId"),
            ("DescribeSecurityGroupRules", "securityGroupRuleId"),
            ("DescribeVpcEndpoints", "vpcEndpointId"),
            ("DescribeVolumes", "volumeId"),
            ("DescribeNetworkInterfaces", "networkInterfaceId"),
            ("DescribeTags", "resourceId"),
            ("DescribeAvailabilityZones", ""),
        ];
        for (action, element) in cases {
            assert_eq!(own_id(action), element, "{action}");
        }
    }
}
