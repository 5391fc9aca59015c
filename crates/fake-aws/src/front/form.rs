//! Parameters of the query protocols (EC2, IAM, STS): flat, numbered keys.

use url::form_urlencoded;

/// Parameters in the order they came.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Form(pub(crate) Vec<(String, String)>);

impl Form {
    pub(crate) fn parse(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    /// A request of our own to moto.
    pub(crate) fn new<const N: usize>(pairs: [(&str, &str); N]) -> Self {
        Self(
            pairs
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
        )
    }

    pub(crate) fn encode(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.0)
            .finish()
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The values of `key.1`, `key.2`, … in their order.
    pub(crate) fn list(&self, key: &str) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(name, _)| {
                name.strip_prefix(key)
                    .and_then(|rest| rest.strip_prefix('.'))
                    .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
            })
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The values of the filter `name`, if it is given.
    pub(crate) fn filter(&self, name: &str) -> Option<Vec<&str>> {
        let prefix = self.filter_prefix(name)?;
        Some(self.list(&format!("{prefix}Value")))
    }

    /// Every filter with its values.
    pub(crate) fn filters(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        let names = self.0.iter().filter_map(|(key, value)| {
            Some((
                key.strip_prefix("Filter.")?.strip_suffix(".Name")?,
                value.as_str(),
            ))
        });
        names.map(|(n, name)| (name, self.list(&format!("Filter.{n}.Value"))))
    }

    /// The same request without the filter `name`; the others keep their numbers.
    pub(crate) fn without_filter(&self, name: &str) -> Self {
        let Some(prefix) = self.filter_prefix(name) else {
            return self.clone();
        };
        Self(
            self.0
                .iter()
                .filter(|(key, _)| !key.starts_with(&prefix))
                .cloned()
                .collect(),
        )
    }

    fn filter_prefix(&self, name: &str) -> Option<String> {
        let (key, _) = self.0.iter().find(|(key, value)| {
            key.starts_with("Filter.") && key.ends_with(".Name") && value == name
        })?;
        key.strip_suffix("Name").map(str::to_owned)
    }

    /// The value of the tag `key` in `TagSpecification.N.Tag.M` (EC2) or
    /// `Tags.member.N` (IAM).
    pub(crate) fn tag(&self, key: &str) -> Option<&str> {
        let (name, _) = self
            .0
            .iter()
            .find(|(name, value)| name.ends_with(".Key") && value == key)?;
        self.get(&format!("{}Value", name.strip_suffix("Key")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_filters_and_tags() {
        let form = Form::parse(
            b"Action=DescribeNatGateways&NatGatewayId.1=nat-1&NatGatewayId.2=nat-2\
              &Filter.1.Name=state&Filter.1.Value.1=pending&Filter.1.Value.2=available\
              &Filter.2.Name=vpc-id&Filter.2.Value.1=vpc-1\
              &TagSpecification.1.Tag.1.Key=a%2Fb&TagSpecification.1.Tag.1.Value=c+d",
        );
        assert_eq!(form.get("Action"), Some("DescribeNatGateways"));
        assert_eq!(form.list("NatGatewayId"), ["nat-1", "nat-2"]);
        assert_eq!(form.filter("state"), Some(vec!["pending", "available"]));
        assert_eq!(form.filter("tag:a"), None);
        assert_eq!(form.tag("a/b"), Some("c d"));
        let without = form.without_filter("state");
        assert_eq!(without.filter("state"), None);
        assert_eq!(without.filter("vpc-id"), Some(vec!["vpc-1"]));
        assert_eq!(Form::parse(form.encode().as_bytes()), form);
    }
}
