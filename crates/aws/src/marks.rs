//! Ownership marks: two tags that travel in the create request. Only what
//! carries them is changed or deleted.

use trunkline_ids::Address;

/// The tag that names the environment a resource belongs to.
pub const ENVIRONMENT_TAG: &str = "trunkline:environment";
/// The tag that names the resource.
pub const ADDRESS_TAG: &str = "trunkline:address";

pub(crate) fn marks(environment: &str, address: &Address) -> Vec<(String, String)> {
    let kind = address.kind();
    let kind = kind.as_str().rsplit('/').next().unwrap_or_default();
    vec![
        (ENVIRONMENT_TAG.to_owned(), environment.to_owned()),
        (ADDRESS_TAG.to_owned(), address.to_string()),
        (
            "Name".to_owned(),
            format!("{environment}-{kind}-{}", address.name()),
        ),
    ]
}

/// The address a resource is marked with; none unless both marks are there
/// and the environment is `environment`.
pub fn address_of<'a>(
    tags: impl IntoIterator<Item = (&'a str, &'a str)>,
    environment: &str,
) -> Option<Address> {
    let (mut ours, mut address) = (false, None);
    for (key, value) in tags {
        match key {
            ENVIRONMENT_TAG => ours = value == environment,
            ADDRESS_TAG => address = value.parse().ok(),
            _ => {}
        }
    }
    address.filter(|_| ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_read_back() {
        let address = Address::new("net", "vpc", "main");
        let marks = marks("sandbox", &address);
        let tags = || marks.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        assert_eq!(address_of(tags(), "sandbox"), Some(address));
        assert_eq!(address_of(tags(), "live"), None);
        assert_eq!(address_of(tags().skip(1), "sandbox"), None);
        assert_eq!(marks[2].1, "sandbox-vpc-main");
    }
}
